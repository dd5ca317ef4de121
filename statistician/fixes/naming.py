"""Fixes of what an entity is: its names, what a user knows better than about, the unit of its rows."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, replace

import msgspec
from msgspec import UNSET, UnsetType

from bus.commands import Code, Refused
from bus.messages import to_iso
from bus.topics import ID
from statistician.api import Context, full_name, parts
from statistician.arithmetic import HOUR, MINUTES_5, hour_of, period_of
from statistician.arithmetic.algorithm import Row
from statistician.arithmetic.live import LiveEntity
from statistician.arithmetic.units import canonical, convert, difference
from statistician.fixes.joining import Joined, Joint, join, separate
from statistician.fixes.params import Change, ChangeUnit, DeviceRename, EntityRename, SetMetadata, Summary
from statistician.records import EntityRecord, Said, Since, Span, StoredRow, Table
from statistician.store.fixes import Entry, Undo
from statistician.store.statistics import EVER, Cut, Shift

_TEXTS = ("name", "unit", "device_class", "state_class")
_Setting = str | int | bool | None


def override(record: EntityRecord, field: str, word: str | None) -> EntityRecord:
    """Return the record with a field that a user has set; it holds in place of what about said last."""
    if all(one.field != field for one in record.said):
        before: str | None = getattr(record, field)
        record = replace(record, said=(*record.said, Said(field, before)))
    return _with(record, field, word)


def release(record: EntityRecord, field: str) -> EntityRecord:
    """Return the record with a field as about says it."""
    for one in record.said:
        if one.field == field:
            said = tuple(other for other in record.said if other.field != field)
            return _with(replace(record, said=said), field, one.word)
    return record


def _with(record: EntityRecord, field: str, word: str | None) -> EntityRecord:
    # The newest stretch of the history was wrong, not the time before.
    if field == "unit":
        kept = record.kept_unit
        if kept is not None and canonical(kept) == canonical(record.unit):
            # The rows were labelled with the wrong word.
            kept = canonical(word)
        return replace(record, unit=word, units=_last(record.units, canonical(word)), kept_unit=kept)
    if field == "state_class":
        return replace(record, state_class=word, classes=_last(record.classes, word))
    return replace(record, **{field: word})  # type: ignore[arg-type]  # name and device_class are texts


def _last(history: tuple[Since, ...], word: str | None) -> tuple[Since, ...]:
    if not history:
        return (Since(0, word),)
    return (*history[:-1], Since(history[-1].since, word))


def described(source: EntityRecord, other: EntityRecord, since: int) -> EntityRecord:
    """Describe an entity as the other's device does from a time on; what a user has set of it stays."""
    said = {one.field: one.word for one in other.said}
    mine = {one.field for one in source.said}
    words: dict[str, str | None] = {name: getattr(other, name) for name in _TEXTS if name not in mine}
    both = [Said(name, said.get(name, getattr(other, name))) for name in _TEXTS if name in mine]
    both += [one for one in other.said if one.field not in mine]
    units, its_units = [one.units or (Since(0, canonical(one.unit)),) for one in (source, other)]
    classes, its_classes = [one.classes or (Since(0, one.state_class),) for one in (source, other)]
    new = replace(source, device=other.device, entity=other.entity, **words)  # type: ignore[arg-type]  # all are texts
    return replace(
        new,
        first=min(source.first, other.first),
        said=tuple(both),
        units=_history(units, its_units, since),
        classes=_history(classes, its_classes, since),
        kept_unit=other.kept_unit if source.kept_unit is None else source.kept_unit,
        kept_angle=other.kept_angle if source.kept_angle is None else source.kept_angle,
    )


def _history(mine: tuple[Since, ...], others: tuple[Since, ...], since: int) -> tuple[Since, ...]:
    """Return what was said of one entity, and from a time on of the other."""
    found = [one for one in mine if one.since < since]
    for one in (Since(max(other.since, since), other.word) for other in others):
        # Of those that begin at once the last counts.
        if found and found[-1].since == one.since:
            found.pop()
        if not found or found[-1].word != one.word:
            found.append(one)
    return tuple(found)


def set_metadata(context: Context, asked: SetMetadata) -> Change:
    """Set what a user knows better; it stays over a restart and over a new about."""
    record = before = context.find(asked.entity).record
    retention = context.store.own_retention().get(record.id)
    fields: dict[str, _Setting] = {}
    for field in _TEXTS:
        word: str | UnsetType | None = getattr(asked, field)
        if word is not UNSET:
            record = release(record, field) if word is None else override(record, field, word)
            fields[field] = getattr(record, field)
    if asked.enabled is not UNSET:
        record = replace(record, enabled=asked.enabled)
        fields["enabled"] = asked.enabled
    if asked.retention_days is not UNSET:
        context.store.fixes.set_retention(record.id, asked.retention_days)
        fields["retention_days"] = asked.retention_days
    if not fields:
        raise Refused(
            Code.INVALID, f"nothing to set: allowed are {', '.join(_TEXTS)}, retention_days, enabled"
        )
    context.store.put_entities([record])
    undo = Undo(records=[before], retention={record.id: retention})
    return Change.of([record], undo, rows=False, fields=fields)


def undo_set_metadata(context: Context, entry: Entry, undo: Undo) -> Change:
    """Give each field back to whom it belonged; what about said meanwhile counts."""
    asked = msgspec.json.decode(entry.params, type=SetMetadata)
    (before,) = undo.records
    record = context.entities[before.id].record
    overridden = {one.field for one in before.said}
    fields: dict[str, _Setting] = {}
    for field in _TEXTS:
        if getattr(asked, field) is UNSET:
            continue
        word: str | None = getattr(before, field)
        record = override(record, field, word) if field in overridden else release(record, field)
        fields[field] = getattr(record, field)
    if asked.enabled is not UNSET:
        record = replace(record, enabled=before.enabled)
        fields["enabled"] = before.enabled
    if asked.retention_days is not UNSET:
        context.store.fixes.set_retention(record.id, undo.retention[record.id])
        fields["retention_days"] = undo.retention[record.id]
    context.store.put_entities([record])
    return Change.of([record], rows=False, fields=fields)


def change_unit(context: Context, asked: ChangeUnit) -> Change:
    """Convert every row and adjustment of an entity."""
    record = context.find(asked.entity).record
    if record.kept_unit is None:
        raise Refused(Code.NOT_FOUND, f"entity: {asked.entity!r} has no statistics yet")
    if asked.old_unit is not None and canonical(asked.old_unit) != canonical(record.kept_unit):
        raise Refused(Code.INVALID, f"old_unit: the rows are in {record.kept_unit!r}, not {asked.old_unit!r}")
    return _converted(context, record, asked.unit)


def undo_change_unit(context: Context, _entry: Entry, undo: Undo) -> Change:
    """Convert back."""
    (before,) = undo.records
    return _converted(context, context.entities[before.id].record, before.kept_unit or "")


def _converted(context: Context, record: EntityRecord, unit: str) -> Change:
    old = record.kept_unit or ""
    try:
        factor = difference(1.0, old, unit)
        offset = convert(0.0, old, unit)
    except ValueError as error:
        raise Refused(Code.INVALID, f"unit: {error}") from error
    five, hours = _scale_rows(context, record.id, factor, offset)
    adjustments = tuple(one._replace(amount=one.amount * factor) for one in record.adjustments)
    after = replace(record, kept_unit=canonical(unit), adjustments=adjustments)
    context.store.put_entities([after])
    told = {"unit": after.kept_unit}
    return Change.of([after], Undo(records=[record]), five_minute_rows=five, hourly_rows=hours, fields=told)


def device_rename(context: Context, asked: DeviceRename) -> Change:
    """Let the entities of a device go on as those of another; one that joined meanwhile is merged."""
    if not ID.match(asked.to):
        raise Refused(Code.INVALID, f"to: {asked.to!r} is no name; allowed are a to z, 0 to 9 and _")
    lives = context.find_device(asked.device)
    if asked.device == asked.to:
        raise Refused(Code.INVALID, "to: it is the same name")
    return _rename(context, [(live, asked.to, live.record.entity) for live in lives])


def entity_rename(context: Context, asked: EntityRename) -> Change:
    """Let an entity go on as another; one that joined meanwhile is merged."""
    live = context.find(asked.entity)
    device, key = parts(asked.to, "to")
    if (device, key) == (live.record.device, live.record.entity):
        raise Refused(Code.INVALID, "to: it is the same name")
    return _rename(context, [(live, device, key)])


@dataclass(slots=True)
class _Work:
    """What a rename has done so far."""

    undo: Undo = dataclasses.field(default_factory=Undo)
    joined: list[Joined] = dataclasses.field(default_factory=list)
    merged: list[EntityRecord] = dataclasses.field(default_factory=list)


def _rename(context: Context, moves: Iterable[tuple[LiveEntity, str, str]]) -> Change:
    work = _Work()
    devices: set[str] = set()
    for live, device, key in moves:
        devices |= {live.record.device, device}
        work.undo.records.append(live.record)
        target = context.entities.find(device, key)
        if target is None:
            work.joined.append(Joined(replace(live.record, device=device, entity=key)))
        else:
            work.undo.records.append(target.record)
            _merge(context, live, target, work)
    # Their names must be free before others take them.
    records = [*work.merged, *(joined.record for joined in work.joined)]
    context.store.put_entities(records)
    cuts = work.undo.cuts
    return Change(
        Summary(
            entities=tuple(full_name(joined.record) for joined in work.joined),
            five_minute_rows=sum(len(cut.taken[Table.FIVE_MINUTES.value]) for cut in cuts),
            hourly_rows=sum(len(cut.taken[Table.HOUR.value]) for cut in cuts),
        ),
        {record.id for record in records},
        work.undo,
        records=records,
        spans=_spans(context, ((cut.entity, cut.ts) for cut in cuts)),
        rows=True,
        states=True,
        given={cut.other: cut.entity for cut in cuts},
        adjusted=[one for joined in work.joined for one in joined.adjusted],
        devices=devices,
    )


def _spans(context: Context, cuts: Iterable[tuple[int, int]]) -> dict[int, Span]:
    """Return the periods in which two series meet, as far as the states of both are kept."""
    return {number: Span(ts, ts) for number, ts in cuts if context.horizon <= ts < context.open}


def _merge(context: Context, live: LiveEntity, target: LiveEntity, work: _Work) -> None:
    """Continue an entity's series by that of the one whose name it takes."""
    source, other = live.record, target.record
    ts = _begin(context, live, target)
    work.merged.append(other.merge_into(source.id))
    record = described(source, other, ts)
    series = context.store.statistics
    five, hour = period_of(ts), hour_of(ts)
    if not series.between(Table.HOUR, other.id, hour, hour + 1):
        hour += HOUR
    places = {Table.FIVE_MINUTES: five, Table.HOUR: hour}
    factor, offset = _scale(record, other)
    cut = Cut(
        source.id,
        other.id,
        ts,
        five,
        hour,
        factor,
        offset,
        lost=series.rows_from(source.id, places),
        taken=series.rows_from(other.id, places),
        frames=context.store.states.frames_after(source.id, ts),
    )
    # It may have a row of the period in which the other begins.
    last = series.latest(source.id, five + MINUTES_5)
    tables = context.store.fixes
    work.undo.imported.extend(one for one in tables.imports(source.id) if one[1] >= hour)
    work.undo.adjusted.extend(one for one in tables.adjusted(source.id) if one[1] >= five)
    if (factor, offset) != (1.0, 0.0):
        _scale_rows(context, other.id, factor, offset)
    series.cut_off(cut)
    series.give(cut, other.id, source.id)
    work.undo.cuts.append(cut)
    record = _kept(context, record)
    joined = Joined(record)
    work.joined.append(joined)
    _join(context, joined, cut, last)
    work.undo.shifts.extend(joined.shifts)


def _join(context: Context, joined: Joined, cut: Cut, last: StoredRow | None) -> None:
    first = context.store.statistics.first_of_sums(cut.entity, cut.five, cut.hour)
    if first is None or last is None or last.row.sum is None:
        return
    carried = last.row if last.start == first.start else Row()
    growth = first.row.sum or 0.0
    join(context, joined, Joint(last, first, growth, cut.five, cut.hour, carried, renamed=True))


def _begin(context: Context, live: LiveEntity, target: LiveEntity) -> int:
    """Say when the other series begins, ms. Raises Refused if this one has not ended by then."""
    source, other = live.record, target.record
    begins = _first(context, other)
    latest = context.store.statistics.latest(source.id)
    ends = -1 if latest is None else latest.start
    if live.newest is not None:
        # Its rows may go on beyond it with what was known last.
        ends = live.newest.ts
    if begins == EVER:
        # It is only described so far: what comes from now on is its own.
        return max(context.now, ends + 1)
    if ends >= begins:
        raise Refused(
            Code.INVALID,
            f"to: {full_name(other)} has data from {to_iso(begins)} on, but {full_name(source)} goes on until"
            f" {to_iso(ends)}; only a series that begins after the other has ended can continue it."
            f" If {full_name(other)} is the older one, rename it to {full_name(source)}; else remove what it"
            " has until then (delete_states, clear), and ask again",
        )
    if None not in (source.kept_angle, other.kept_angle) and source.kept_angle != other.kept_angle:
        raise Refused(Code.INVALID, f"to: of {full_name(source)} and {full_name(other)} one is a direction")
    return begins


def _first(context: Context, record: EntityRecord) -> int:
    """Say when an entity's series begins, ms, as exactly as its states, its rows and its record tell."""
    state = context.store.states.first_of(record.id, record.first)
    begins = EVER if state is None else state
    for table in Table:
        row = context.store.statistics.first_row(table, record.id)
        if row is not None:
            known = (at for at in (state, record.first) if at is not None and row <= at < row + table.length)
            begins = min(begins, next(known, row))
    return begins


def _scale(record: EntityRecord, other: EntityRecord) -> tuple[float, float]:
    """Factor and offset that bring the other's rows to the unit of this one's. Raises Refused."""
    old, new = other.kept_unit or "", record.kept_unit or ""
    if not old or not new or canonical(old) == canonical(new):
        return 1.0, 0.0
    try:
        return difference(1.0, old, new), convert(0.0, old, new)
    except ValueError as error:
        raise Refused(
            Code.INVALID, f"to: the rows of {full_name(other)} are in another unit: {error}"
        ) from error


def _scale_rows(context: Context, number: int, factor: float, offset: float) -> list[int]:
    """Convert an entity's rows and adjustments; returns how many rows by table."""
    context.store.fixes.scale_adjusted(number, factor)
    return [context.store.statistics.scale(table, number, factor=factor, offset=offset) for table in Table]


def _kept(context: Context, record: EntityRecord) -> EntityRecord:
    """Return the record with what users did to it as it is on disk."""
    its = context.store.fixes.adjustments(record.id).get(record.id, ())
    renewals = context.store.fixes.renewals().get(record.id, ())
    return replace(record, adjustments=tuple(its), renewals=renewals)


def undo_rename(context: Context, entry: Entry, undo: Undo) -> Change:
    """Give the names back, and to each entity what is its own, also what came since."""
    cuts = {cut.entity for cut in undo.cuts}
    devices: set[str] = set()
    records: dict[int, EntityRecord] = {}
    for before in undo.records:
        now = context.entities[before.id].record
        devices |= {before.device, now.device} if now.merged_into is None else {before.device}
        stranger = context.entities.find(before.device, before.entity)
        if stranger is not None and stranger.record.id not in {record.id for record in undo.records}:
            raise Refused(
                Code.INVALID,
                f"id: there is another {full_name(before)} by now; rename that before you take this back",
            )
        shifts = [shift for shift in undo.shifts if shift.entity == before.id]
        record = separate(context, now, shifts, entry.id) if now.merged_into is None else now
        merged = now.merged_into is not None or before.id in cuts
        # What is said of the new name since then is the other's.
        its = before if merged else replace(record, device=before.device, entity=before.entity)
        records[before.id] = its
    for cut in undo.cuts:
        _give_back(context, cut, undo.shifts)
    context.store.fixes.put("imported", undo.imported)
    context.store.fixes.put("adjusted", undo.adjusted)
    _settle(context, undo, records)
    context.store.put_entities(_in_order(context, records))
    return Change(
        Summary(
            entities=tuple(full_name(record) for record in undo.records),
            five_minute_rows=sum(len(cut.taken[Table.FIVE_MINUTES.value]) for cut in undo.cuts),
            hourly_rows=sum(len(cut.taken[Table.HOUR.value]) for cut in undo.cuts),
        ),
        set(records),
        records=_in_order(context, records),
        spans=_spans(context, ((cut.other, cut.ts) for cut in undo.cuts)) | _rests(context, undo),
        rows=True,
        states=True,
        given={cut.entity: cut.other for cut in undo.cuts},
        devices=devices,
    )


def _rests(context: Context, undo: Undo) -> dict[int, Span]:
    """Return the periods since a cut, in which the older entity has had no rows."""
    spans = _spans(context, ((cut.entity, cut.ts) for cut in undo.cuts))
    return {number: Span(span.since, context.open - 1) for number, span in spans.items()}


def _in_order(context: Context, records: dict[int, EntityRecord]) -> list[EntityRecord]:
    """First those that give a name free."""
    return sorted(
        records.values(), key=lambda record: context.entities[record.id].record.merged_into is not None
    )


def _give_back(context: Context, cut: Cut, shifts: list[Shift]) -> None:
    series = context.store.statistics
    series.give(cut, cut.entity, cut.other)
    scaled = 0 if (cut.factor, cut.offset) == (1.0, 0.0) else 2
    if scaled:
        _scale_rows(context, cut.other, 1 / cut.factor, -cut.offset / cut.factor)
    shifted = 2 if any(shift.entity == cut.entity for shift in shifts) else 0
    for name, rows in cut.taken.items():
        series.put_back(
            Table(name), [(row, scaled + (0 if row.row.sum is None else shifted)) for row in rows]
        )
    for name, rows in cut.lost.items():
        context.store.statistics.put(Table(name), [row._replace(rev=row.rev + 2) for row in rows])
    for start, state in cut.frames:
        context.store.states.put_frames(start, [state])


def _settle(context: Context, undo: Undo, records: dict[int, EntityRecord]) -> None:
    """Give records the adjustments that are on disk, and the unit of rows that were made since."""
    for cut in undo.cuts:
        other, now = records[cut.other], context.entities[cut.entity].record
        if other.kept_unit is None and context.store.statistics.latest(other.id) is not None:
            other = replace(other, kept_unit=now.kept_unit, kept_angle=now.kept_angle)
        records[cut.other] = other
    for number, record in records.items():
        records[number] = _kept(context, record)
