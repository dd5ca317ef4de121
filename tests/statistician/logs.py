"""Logs for the replay player: what it is given, and the rows that it makes, by entity and period."""

import json
from collections.abc import Iterable
from pathlib import Path

from bus.messages import from_iso, to_iso
from statistician.records import StoredRow, Table
from statistician.replay import Player
from statistician.replay.lines import parse
from statistician.store import Store

Line = dict[str, object]
FIELD = Path(__file__).parent / "field"


class Played:
    """What a log became: rows by entity, and the last time it names."""

    def __init__(self, path: Path, lines: Iterable[Line], *, keep_days: int = 10) -> None:
        text = [json.dumps(line).encode() for line in lines]
        times = [
            from_iso(str(line[word]))
            for line in map(json.loads, text)
            for word in ("end", "ts", "up")
            if word in line
        ]
        self.end = times[-1]

        def opened() -> Store:
            store = Store(path)
            store.engine.run("PRAGMA synchronous = off")
            return store

        player = Player(opened, keep_days)
        for line in parse(text):
            player.play(line)
        player.finish()
        self.store = opened()

    def rows(self, entity: str, table: Table = Table.FIVE_MINUTES) -> list[StoredRow]:
        """An entity's rows in order of time."""
        device, key = entity.split(".")
        number = next(e.id for e in self.store.entities() if (e.device, e.entity) == (device, key))
        return self.store.statistics.between(table, number, 0, 2**60)

    def hours(self, entity: str) -> dict[str, tuple[float | None, float | None]]:
        """The sum and the coverage of each hour by its start, as 13:00."""
        return {
            to_iso(row.start)[11:16]: (row.row.sum, row.row.coverage) for row in self.rows(entity, Table.HOUR)
        }

    def check(self, entity: str, growth: float) -> None:
        """Hold an entity's rows against what must be so whatever the clocks said."""
        for table in (Table.FIVE_MINUTES, Table.HOUR):
            rows = self.rows(entity, table)
            assert all(row.start < self.end for row in rows), "a row is ahead"
            assert all(0 < (row.row.coverage or 0) <= 1 for row in rows)
            assert {row.row.sum_decrease for row in rows} <= {0.0}
            sums = [row.row.sum for row in rows]
            assert sums == sorted(sums, key=float), "a sum falls"  # type: ignore[arg-type]  # all have one
        last = self.rows(entity)[-1].row
        assert (last.sum, last.sum_increase) == (growth, growth)


def field(name: str) -> list[Line]:
    """A log of the field."""
    return [json.loads(text) for text in (FIELD / f"{name}.jsonl").read_text().splitlines()]


def counter(entity: str) -> Line:
    """The declaration of a counter."""
    return {"entity": entity, "state_class": "total_increasing", "unit": "Wh", "device_class": "energy"}


def readings(stamps: Iterable[int], entity: str = "van.e") -> list[Line]:
    """A counter that grows by 1 with every reading, stamped so (ms)."""
    return [{"entity": entity, "ts": to_iso(ts), "value": 100.0 + n} for n, ts in enumerate(stamps)]


def end(lines: list[Line], minutes: int = 12) -> Line:
    """The end of a log some minutes after its last line, by the clock of that line."""
    last = next(line["ts"] for line in reversed(lines) if "ts" in line)
    return {"end": to_iso(from_iso(str(last)) + minutes * 60_000)}
