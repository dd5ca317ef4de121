"""Bytes written for each state on a database that has grown; the clock is simulated, the writing is real."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import layouts
from bench.device import Ground, ground
from bench.measure import Goal, goals, page, progress, table, written_bytes
from bus.about import MEASUREMENT, About, Entity
from config.model import Statistician as Settings
from statistician.entities import Entities
from statistician.records import Batch, State
from statistician.store import Store
from tests.statistician.rig import SECOND, START, Rig

_RATE = 10
_DEVICES = 5
_ENTITIES = 50
_GOALS = {5: 650.0, 30: 280.0}
_CHUNK = 5000
# A write-ahead log that was just begun still grows, and every growth costs the file system a journal entry.
_WARM_UP_S = 900


@dataclass(frozen=True, slots=True)
class Wear:
    """Bytes a state: by the process, and by the device below it."""

    process: float
    device: float


class _Odometer:
    """Counts what is written while it runs."""

    def __init__(self, on: Ground) -> None:
        self._on = on
        self._device = on.sectors_bytes()
        self._process = written_bytes()

    def read(self, states: int) -> Wear:
        process = written_bytes() - self._process
        return Wear(process / states, (self._on.sectors_bytes() - self._device) / states)


def measure(*, quick: bool) -> str:
    """Measure both layouts at both commit intervals; return the table."""
    rows = 3000 if quick else 300_000
    seconds = 120 if quick else 1800
    ours: dict[int, Wear] = {}
    alone: dict[int, Wear] = {}
    theirs: dict[int, Wear] = {}
    with ground() as on:
        for interval in _GOALS:
            progress(f"wear: {rows} rows, then {seconds} s at {_RATE} states/s, commit every {interval} s")
            ours[interval] = _ours(on, rows, seconds, interval)
            alone[interval] = _alone(on, rows, seconds, interval)
            theirs[interval] = _theirs(on, rows, seconds, interval)
        hindrance, counted = on.why, on.device is not None
    layout = {"ours, the whole service": ours, "ours, states alone": alone, layouts.NAME: theirs}
    figures = [
        (name, f"{interval} s", f"{wear.process:.0f}", f"{wear.device:.0f}" if counted else "not measured")
        for name, wears in layout.items()
        for interval, wear in wears.items()
    ]
    figures += [("ratio of states alone", f"{i} s", *_ratio(alone[i], theirs[i])) for i in _GOALS]
    remark = (
        f"{_RATE} states/s of {_ENTITIES} entities for {seconds} s of a simulated clock, on {rows} rows."
        " Ours is the service with its 5-minute and hourly rows, the peer writes states alone. The device's"
        " figure holds the journal of ext4 too; the process's is what /proc says of write_bytes."
    )
    found = []
    for interval, bound in _GOALS.items():
        whole, states = (w[interval].device if counted else w[interval].process for w in (ours, alone))
        why = f"the states alone take {states:.0f}, their statistics the rest"
        found.append(
            Goal(
                f"bytes a state at {interval} s, {'device' if counted else 'process'}", whole, bound, why=why
            )
        )
    return page(
        table(("layout", "commit every", "process B/state", "device B/state"), figures),
        remark,
        hindrance,
        goals(found),
    )


def _second(moment: int, dice: random.Random) -> Iterator[tuple[int, float]]:
    """Entity and value of the states of one second: a device at a time reports all its entities."""
    first = moment // SECOND % _DEVICES * _RATE
    for entity in range(first, first + _RATE):
        yield entity, round(dice.uniform(10, 15), 3)


def _history(rows: int, dice: random.Random) -> Iterator[list[State]]:
    chunk: list[State] = []
    for moment in range(START - rows // _RATE * SECOND, START, SECOND):
        chunk += [State(moment, entity + 1, value, None) for entity, value in _second(moment, dice)]
        if len(chunk) >= _CHUNK:
            yield chunk
            chunk = []
    yield chunk


def _ours(on: Ground, rows: int, seconds: int, interval: int) -> Wear:
    path = on.folder / f"ours-{interval}.db"
    dice = random.Random(1)  # noqa: S311 — the same states in every run
    _filled(path, rows, dice).close()
    rig = Rig(path, settings=Settings(commit_interval=float(interval)))
    odometer = _Odometer(on)
    for second in range(-_WARM_UP_S, seconds):
        if second == 0:
            odometer = _Odometer(on)
        rig.now += SECOND
        device = rig.now // SECOND % _DEVICES
        rig.reading(f"d{device}", {f"e{entity}": value for entity, value in _second(rig.now, dice)})
        rig.settle()
    wear = odometer.read(seconds * _RATE)
    rig.close()
    path.unlink()
    return wear


def _filled(path: Path, rows: int, dice: random.Random) -> Store:
    store, entities = Store(path), Entities([])
    first = START - rows // _RATE * SECOND
    records = []
    for device in range(_DEVICES):
        its = range(device * _RATE, (device + 1) * _RATE)
        about = About(name="d", entities={f"e{n}": Entity(name="e", state_class=MEASUREMENT) for n in its})
        records += entities.describe(f"d{device}", about, first)
    store.commit(Batch(entities={record.id: record for record in records}))
    for chunk in _history(rows, dice):
        store.commit(Batch(states=chunk))
    return store


def _alone(on: Ground, rows: int, seconds: int, interval: int) -> Wear:
    path = on.folder / f"alone-{interval}.db"
    dice = random.Random(1)  # noqa: S311 — the same states in every run
    store = _filled(path, rows, dice)
    wear = _commits(on, seconds, interval, dice, lambda states: store.commit(Batch(states=states)))
    store.close()
    path.unlink()
    return wear


def _theirs(on: Ground, rows: int, seconds: int, interval: int) -> Wear:
    path = on.folder / f"theirs-{interval}.db"
    dice = random.Random(1)  # noqa: S311 — the same states in every run
    peer = layouts.RowidIndex(path)
    for chunk in _history(rows, dice):
        peer.put(chunk)
    wear = _commits(on, seconds, interval, dice, peer.put)
    peer.close()
    path.unlink()
    return wear


def _commits(
    on: Ground, seconds: int, interval: int, dice: random.Random, commit: Callable[[list[State]], None]
) -> Wear:
    odometer = _Odometer(on)
    batch: list[State] = []
    for second in range(1, seconds + 1):
        moment = START + second * SECOND
        batch += [State(moment, entity + 1, value, None) for entity, value in _second(moment, dice)]
        if second % interval == 0:
            commit(batch)
            batch = []
    return odometer.read(seconds * _RATE)


def _ratio(ours: Wear, theirs: Wear) -> tuple[str, str]:
    # In memory nothing is written.
    return tuple(
        f"{a / b:.2f}" if b else "-"
        for a, b in ((ours.process, theirs.process), (ours.device, theirs.device))
    )  # type: ignore[return-value]  # two of two
