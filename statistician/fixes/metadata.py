"""Fixes of what an entity is: what a user knows better than about, and the unit its rows are in."""

from dataclasses import replace

import msgspec
from msgspec import UNSET, UnsetType

from bus.commands import Code, Refused
from statistician.arithmetic.units import canonical, convert, difference
from statistician.context import Context, full_name
from statistician.fixes.params import Change, ChangeUnit, SetMetadata, Summary
from statistician.records import EntityRecord, Said, Since, Table
from statistician.store.fixes import Entry, Undo

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
    new = replace(source, device=other.device, entity=other.entity, **words)  # type: ignore[arg-type]  # all are texts
    return replace(
        new,
        first=min(source.first, other.first),
        said=tuple(both),
        units=_history(
            source.units or (Since(0, canonical(source.unit)),),
            other.units or (Since(0, canonical(other.unit)),),
            since,
        ),
        classes=_history(
            source.classes or (Since(0, source.state_class),),
            other.classes or (Since(0, other.state_class),),
            since,
        ),
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
    return Change(
        Summary(entities=(full_name(record),), fields=fields),
        {record.id},
        Undo(records=[before], retention={record.id: retention}),
        records=[record],
    )


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
    return Change(Summary(entities=(full_name(record),), fields=fields), {record.id}, records=[record])


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
    tables = context.store.fixes
    five, hours = (
        context.store.series.scale(table, record.id, factor=factor, offset=offset) for table in Table
    )
    tables.scale_adjusted(record.id, factor)
    adjustments = tuple(one._replace(amount=one.amount * factor) for one in record.adjustments)
    after = replace(record, kept_unit=canonical(unit), adjustments=adjustments)
    context.store.put_entities([after])
    return Change(
        Summary(
            entities=(full_name(record),),
            five_minute_rows=five,
            hourly_rows=hours,
            fields={"unit": after.kept_unit},
        ),
        {record.id},
        Undo(records=[record]),
        records=[after],
        rows=True,
    )
