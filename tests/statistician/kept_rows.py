"""Years of rows with gaps, as the statistician keeps them: 5-minute rows of the last days, hours for ever."""

import random
from itertools import groupby
from pathlib import Path

from bus.messages import from_iso
from statistician.arithmetic import DAY, HOUR, MINUTES_5, hour_of
from statistician.arithmetic.algorithm import Row, hourly
from statistician.records import StoredRow, Table
from tests.statistician.requests_rig import AskingRig

# Both half-hour changes of Lord Howe lie between: on 4 October 2025, and on 5 April 2026, when the clocks of
# Chatham change too.
FIRST = from_iso("2025-09-20T00:00:00Z")
NOW = from_iso("2026-04-12T07:22:31Z")
# Before this 5-minute rows are gone.
CUT = hour_of(NOW - 10 * DAY)
LAST = from_iso("2026-04-12T07:15:00Z")


class Kept:
    """A rig with rows of van.m, van.a (a direction) and van.e, and the counter's true steps by period."""

    def __init__(self, path: Path) -> None:
        self.rig = AskingRig(path, now=NOW)
        self.rig.about("van", m="measurement", a="measurement_angle", e="total_increasing")
        self.rig.commit()
        self.rig.now = NOW
        self.numbers = {record.entity: record.id for record in self.rig.store.entities()}
        self.steps: dict[int, float] = {}
        dice = random.Random(9)  # noqa: S311 — not for secrets
        rows: dict[str, list[tuple[int, Row]]] = {"m": [], "a": [], "e": []}
        total, silent = 0.0, 0
        for start in range(FIRST, LAST + 1, MINUTES_5):
            silent = dice.randrange(1, 400) if silent == 0 and dice.random() < 0.003 else max(0, silent - 1)
            if silent:
                continue
            self.steps[start] = dice.choice((0.0, 0.25, 1.5, dice.random()))
            total += self.steps[start]
            known, mean = dice.choice((1.0, 1.0, 0.5)), dice.uniform(-5, 5)
            rows["m"].append((start, Row(mean, None, mean - dice.random(), mean + 1, coverage=known)))
            rows["a"].append((start, Row(dice.uniform(0, 360), 300 * known, coverage=known)))
            rows["e"].append(
                (start, Row(state=total, sum=total, sum_increase=total, sum_decrease=0.0, coverage=known))
            )
        for key, found in rows.items():
            self.keep(key, found)

    def keep(self, key: str, rows: list[tuple[int, Row]]) -> None:
        """Store 5-minute rows since CUT, and the hours that are over."""
        number, put = self.numbers[key], self.rig.store.statistics.put
        put(Table.FIVE_MINUTES, [StoredRow(number, start, row, 0) for start, row in rows if start >= CUT])
        kind = {"m": "measurement", "a": "measurement_angle", "e": "total_increasing"}[key]
        hours = []
        for hour, of_hour in groupby(rows, lambda pair: hour_of(pair[0])):
            whole = hourly([row for _, row in of_hour], kind)
            if whole is not None and hour + HOUR <= NOW:
                hours.append(StoredRow(number, hour, whole, 0))
        put(Table.HOUR, hours)

    def sum_at(self, ts: int) -> float:
        """The sum at a 5-minute border: before CUT an hour's steps are spread evenly over it."""
        hour = hour_of(ts)
        if ts >= CUT:
            return sum(step for start, step in self.steps.items() if start < ts)
        inside = sum(self.steps.get(start, 0.0) for start in range(hour, hour + HOUR, MINUTES_5))
        before = sum(step for start, step in self.steps.items() if start < hour)
        return before + inside * (ts - hour) / HOUR
