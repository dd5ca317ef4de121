"""A house of which the truth is known: when each reading was really taken, and what its counter really said.

`House` does to the statistician what happens to one, and remembers what is true; times are ms.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from bus.clock import Now, Stamp, put_right
from bus.messages import ClockQuality, Reading, encode_reading, of_device
from statistician.arithmetic import MINUTES_5
from statistician.records import StoredRow, Table
from tests.statistician.rig import MINUTE, SECOND, START, TOPICS, Rig

EVERY = 50 * SECOND
# An absence of the process that hides something.
NOTICED = MINUTE
Sent = tuple[str, bytes]


@dataclass(slots=True)
class Device:
    """One device with a growing counter `e` and a measurement `v`; of the `stream` it is numbered in."""

    name: str
    stream: str | None
    count: float = 100.0
    # How far its own clock is ahead of the truth; None: it stamps with the machine's clock.
    ahead: int | None = None
    first: float | None = None
    # When its values were measured, the counter's last that counts, and when what is known of them ended.
    heard: dict[str, list[int]] = field(default_factory=lambda: {"v": [], "e": []})
    cuts: list[int] = field(default_factory=list)
    seq: int = 0


def _backlog(device: Device, sent: Sent) -> Sent:
    return TOPICS.backlog("ble", device.stream or ""), of_device(device.name, sent[1])


class House:
    """The machine's clock is `ahead` of the truth; the truth is the rig's monotonic clock."""

    def __init__(self, path: Path, *, expire: float | None, estimated: int | None = None) -> None:
        self.rig = Rig(path, now=START)
        self.expire = expire
        # Every step of a clock.
        self.steps = 0
        self.compiled = 0
        self._sent: dict[int, Sent] = {}
        self.devices = [Device("van", "ble-1"), Device("box", None, ahead=0)]
        if estimated is not None:
            self.rig.close()
            self.rig.quality = "estimated"
            self.rig.set_clock(START + estimated)
            self.rig.start()
            self.steps += 1
        for device in self.devices:
            self._about(device)

    def _about(self, device: Device) -> None:
        service = '"service": "ble", ' if device.stream else ""
        expire = "" if self.expire is None else f'"expire_after": {self.expire}, '
        self.rig.message(
            TOPICS.about(device.name),
            (
                f'{{"name": "{device.name}", {service}{expire}"entities": {{'
                '"v": {"name": "v", "state_class": "measurement"},'
                '"e": {"name": "e", "state_class": "total_increasing"}}}'
            ).encode(),
        )

    @property
    def true(self) -> int:
        """What time it really is."""
        return self.rig.now - self.rig.stepped

    def pass_time(self, ms: int) -> None:
        """Let time pass with a look at every boundary."""
        self.rig.run_until(self.rig.now + ms)

    def step(self, ahead: int) -> None:
        """The machine's clock is set to so much ahead of the truth."""
        if self.rig.quality != "ok":
            # No estimated clock is set wrong: it never falls behind what is stored.
            self.rig.quality = "ok"
            self.step(0)
        self.steps += self.rig.stepped != ahead
        self.rig.set_clock(self.true + ahead)
        self.rig.settle()

    def set_estimated(self, ahead: int) -> None:
        """The machine's clock is set and nobody says yet that it is synchronised."""
        self.steps += 1
        self.rig.set_clock(self.true + ahead)
        self.rig.settle()

    def synchronise(self) -> None:
        """The machine's clock is right from now on."""
        self.step(0)

    def read(self, glitch: float | None = None) -> None:
        """Every device is read once; `glitch` is what its counter says instead, times its value."""
        for device in self.devices:
            self._send(*self._reading(device, glitch))

    def _reading(self, device: Device, glitch: float | None = None, *, late: bool = False) -> Sent:
        device.count += 1.0 + device.count % 3
        said = device.count if glitch is None else device.count * glitch
        if glitch is None:
            device.heard["e"].append(self.true)
        device.first = device.count if device.first is None else device.first
        device.heard["v"].append(self.true)
        quality: ClockQuality = self.rig.quality if device.ahead is None else "ok"
        ts = self.rig.now if device.ahead is None else self.true + device.ahead
        if device.stream:
            device.seq += 1
        reading = Reading(
            ts=ts,
            values={"v": 12 + device.count % 2, "e": said},
            clock=quality,
            stream=device.stream,
            seq=device.seq if device.stream else None,
            after=0 if device.seq == 1 else None,
            late=late,
        )
        return TOPICS.state(device.name), encode_reading(reading)

    def _send(self, topic: str, payload: bytes) -> None:
        self._sent[self.rig.message(topic, payload)] = topic, payload

    def live(self, minutes: float, glitches: dict[int, float] | None = None) -> None:
        """Read every now and then for so long; `glitches` by the number of the reading."""
        for n in range(max(1, round(minutes * MINUTE / EVERY))):
            self.pass_time(EVERY)
            self.read((glitches or {}).get(n))

    def lose(self, minutes: float, by: int | None = None) -> None:
        """The first numbered reading is lost; those after it are live, ahead of it, until all come again.

        Halfway the machine's clock is set to so much ahead of the truth, if `by` says so.
        """
        again: list[tuple[Device, Sent, Stamp]] = []
        count = max(4, round(minutes * MINUTE / EVERY))
        for n in range(count):
            self.pass_time(EVERY)
            if by is not None and n == count // 2:
                self.step(by)
            for device in self.devices:
                sent = self._reading(device)
                if device.stream:
                    again.append((device, sent, self._clock.stamp))
                if n > 0 or not device.stream:
                    self._send(*sent)
        for device, (topic, payload), stamp in again:
            self._send(*_backlog(device, (topic, put_right(payload, stamp, self._clock)[0])))

    @property
    def _clock(self) -> Now:
        """As the outbox of a collector on this machine sees it."""
        return Now(self.rig.stepped, self.rig.now, self.rig.quality)

    def remember(self, minutes: float) -> None:
        """All devices are silent for so long, and tell afterwards what they measured meanwhile."""
        if self.rig.quality != "ok" or self.rig.stepped or self.devices[1].ahead:
            # They would remember a wrong time.
            self.live(minutes)
            return
        told: list[Sent] = []
        for _ in range(max(1, round(minutes * MINUTE / EVERY))):
            self.pass_time(EVERY)
            told += [self._reading(device, late=True) for device in self.devices]
        for one in told:
            self._send(*one)

    def stop(self, minutes: float, *, backlog: bool) -> None:
        """The process is away; with a `backlog` what is numbered comes afterwards, else all is lost."""
        self.rig.commit()
        self._end()
        off = self.true
        waiting: list[Sent] = []
        newest: Sent = "", b""
        for _ in range(round(minutes * MINUTE / EVERY)):
            self.rig.now += EVERY
            # What nobody heard is part of the growth, but nothing known.
            for device in self.devices:
                if device.stream and backlog:
                    newest = self._reading(device)
                    waiting.append(_backlog(device, newest))
                else:
                    device.count += 1.0 + device.count % 3
        self.rig.start()
        for device in self.devices:
            if self.true - off > NOTICED and not (device.stream and waiting):
                device.cuts.append(off)
        if waiting:
            # The broker has kept it.
            self._send(*newest)
        for one in waiting:
            self._send(*one)

    def _end(self) -> None:
        self.rig.close()
        self._note()
        # All was stored and acknowledged.
        self._sent = {}

    def _note(self) -> None:
        counters = self.rig.journal.counters
        self.compiled += counters["compiled_periods"] - counters["removed_future_periods"]

    def crash(self) -> None:
        """The process is killed; what was not acknowledged the broker delivers again."""
        self._note()
        lost = [one for mid, one in self._sent.items() if mid not in self.rig.notes.acknowledged]
        self.rig.crash()
        self._sent = {}
        for one in lost:
            self._send(*one)

    def restart(self) -> None:
        """The process ends and starts again at once."""
        self._end()
        self.rig.start()

    def known(self, device: Device, key: str, start: int, end: int) -> int:
        """For how long of a span a value was really known."""
        heard = device.heard[key]
        found = 0
        for at, after in zip(heard, [*heard[1:], end], strict=True):
            until = min([after, *(cut for cut in device.cuts if cut >= at)])
            if self.expire is not None:
                until = min(until, at + round(self.expire * SECOND))
            found += max(0, min(until, end) - max(at, start))
        return found

    def check(self) -> None:
        """Hold all rows against the truth."""
        for device in self.devices:
            growth = device.count - (device.first or 0.0)
            last = self.rig.rows("e", device=device.name)[-1].row
            got = (last.sum, last.sum_increase, last.sum_decrease)
            assert got == (growth, growth, 0.0), f"{device.name}: {got}, true is {growth}"
            for key in ("v", "e"):
                for table in Table:
                    rows = self.rig.rows(key, table, device.name)
                    assert all(row.start <= self.rig.now for row in rows), "a row is ahead"
                    assert all(0 < (row.row.coverage or 0) <= 1 for row in rows), "coverage"
                self._check_coverage(device, key)
        self._check_runs()

    def _check_coverage(self, device: Device, key: str) -> None:
        rows = self.rig.rows(key, device=device.name)
        if self.steps == 0:
            wrong = [row for row in rows if not self._is_known(device, key, row)]
            assert wrong == [], f"{device.name}.{key}"
        got = sum(row.row.coverage or 0 for row in rows) * MINUTES_5
        end = self.closed - self.rig.stepped
        right = self.known(device, key, 0, end)
        apart = abs(got - right)
        assert apart <= 1 + self.steps * 4 * EVERY, f"{device.name}.{key}: {got}, true is {right}"

    @property
    def closed(self) -> int:
        """Up to when periods are compiled."""
        return (self.rig.store.statistics.last_run() or 0) + MINUTES_5

    def _is_known(self, device: Device, key: str, row: StoredRow) -> bool:
        right = self.known(device, key, row.start, row.start + MINUTES_5) / MINUTES_5
        return abs(right - (row.row.coverage or 0)) < 1e-9

    def _check_runs(self) -> None:
        found = self.rig.store.engine.all("SELECT start FROM runs ORDER BY start")
        runs = [int(start or 0) for (start,) in found]
        keep = self.rig.settings.keep_days * 24 * 60 * MINUTE
        holes = [b - a for a, b in pairwise(runs) if b - a != MINUTES_5]
        assert [hole for hole in holes if hole < keep] == [], "a hole"
        self._note()
        assert self.compiled == len(runs), "a period twice"
