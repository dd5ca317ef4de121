"""A device that was replaced by another of its kind: its counters begin anew, the statistics have no step."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.about import Entity
from bus.messages import from_iso
from statistician.arithmetic import DAY, HOUR
from statistician.store.backup import Snapshot
from tests.statistician.fixes.test_imports import body
from tests.statistician.rig import MINUTE, SECOND, START, TOPICS, AskingRig, Json

VAN = {
    "charged": Entity(name="charged", unit="kWh", state_class="total_increasing"),
    "net": Entity(name="net", unit="kWh", state_class="total"),
    "volt": Entity(name="volt", unit="V", state_class="measurement"),
}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[AskingRig]:
    rig = AskingRig(tmp_path / "s.db")
    rig.describe("van", VAN)
    yield rig
    rig.close()


def feed(
    rig: AskingRig, minutes: range, first: float | None, reset: int | None = None, *, step: float = 1.0
) -> None:
    """Counters that grow by `step` at each of the minutes."""
    for number, minute in enumerate(minutes):
        rig.run_until(START + minute * MINUTE + SECOND)
        value = None if first is None else first + number * step
        resets = {} if reset is None else {"net": reset}
        rig.reading("van", {"charged": value, "net": value, "volt": 12.0 + minute / 100}, last_reset=resets)


def changes(rig: AskingRig, entity: str, period: str = "hour") -> list[float]:
    rows: dict[str, list[Json]] = rig.data("statistics", entities=[entity], period=period)["rows"]
    return [round(row["change"], 9) for row in rows[entity]]


COUNTERS = ("charged", "net")
REPLACED = START + 62 * MINUTE
# The old shunt's last reading is at 60 minutes, the new one's first at 65 or later.
OLD, NEW = range(0, 61, 5), range(65, 121, 5)


@pytest.mark.parametrize("first", [0.0, 3.0, 95.0, 111.5, 4000.0], ids=lambda first: f"from {first}")
@pytest.mark.parametrize("reset", [None, START - DAY], ids=["no reset", "a reset"])
@pytest.mark.parametrize("asked", ["before", "in the same period", "long after"])
@pytest.mark.parametrize("restart", [False, True])
def test_the_counter_of_another_device_adds_nothing_but_what_it_grows(
    rig: AskingRig, *, first: float, reset: int | None, asked: str, restart: bool
) -> None:
    def replace() -> None:
        rig.data("device_replaced", device="van", at=REPLACED)
        if restart:
            rig.restart()

    feed(rig, OLD, 100.0, reset)
    rig.run_until(REPLACED + SECOND)
    if asked == "before":
        replace()
    feed(rig, NEW, first, reset)
    if asked == "in the same period":
        replace()
    rig.run_until(START + 2 * HOUR + 2 * MINUTE)
    if asked == "long after":
        replace()
    rig.commit()
    # 1 at 60 minutes, nothing at 65, 1 each until 115, 1 at 120.
    for entity in ("van.charged", "van.net"):
        assert changes(rig, entity) == [11.0, 11.0]
    series = changes(rig, "van.charged", "5minute")
    assert max(series) == 1.0
    rig.data("recompile", start=START)
    rig.reading(
        "van",
        {"charged": 109.5, "net": 109.5},
        ts=START + 51 * MINUTE,
        last_reset={"net": reset} if reset else {},
    )
    rig.commit()
    assert changes(rig, "van.charged") == changes(rig, "van.net") == [11.0, 11.0]


@pytest.mark.parametrize("asked", ["before", "after"])
def test_what_the_old_one_sends_late_still_counts_and_nulls_in_between_change_nothing(
    rig: AskingRig, asked: str
) -> None:
    feed(rig, OLD, 100.0)
    rig.run_until(REPLACED + SECOND)
    if asked == "before":
        rig.data("device_replaced", device="van")
    feed(rig, range(65, 186, 5), None)
    feed(rig, range(190, 241, 5), 5000.0)
    if asked == "after":
        rig.data("device_replaced", device="van", at=START + 100 * MINUTE)
    rig.reading("van", {"charged": 115.0}, ts=START + 61 * MINUTE)
    rig.run_until(START + 4 * HOUR + 2 * MINUTE)
    rig.commit()
    assert sum(changes(rig, "van.charged")) == 15.0 + 9.0
    assert sum(changes(rig, "van.net")) == 12.0 + 9.0


def test_without_it_the_step_counts_and_an_undo_brings_that_back(rig: AskingRig) -> None:
    feed(rig, OLD, 100.0)
    feed(rig, NEW, 4000.0)
    rig.run_until(START + 2 * HOUR + 2 * MINUTE)
    before = body(rig)
    assert changes(rig, "van.charged") == [11.0, 3899.0]
    number = rig.data("device_replaced", device="van", at=REPLACED)
    assert number["entities"] == ["van.charged", "van.net"]
    rig.commit()
    assert changes(rig, "van.charged") == [11.0, 11.0]
    rig.restart()
    rig.data("undo", fix=number["id"])
    rig.commit()
    assert body(rig) == before


def test_twice_replaced_is_twice_no_step(rig: AskingRig) -> None:
    feed(rig, OLD, 100.0)
    rig.data("device_replaced", device="van")
    feed(rig, range(65, 96, 5), 5000.0)
    rig.data("device_replaced", device="van")
    feed(rig, range(100, 121, 5), 7.0)
    rig.run_until(START + 2 * HOUR + 2 * MINUTE)
    assert sum(changes(rig, "van.charged")) == 12.0 + 6.0 + 3.0
    assert [one["verb"] for one in rig.data("fixes")] == ["device_replaced"] * 2


def test_a_reset_of_the_new_one_counts(rig: AskingRig) -> None:
    feed(rig, OLD, 100.0, START)
    rig.run_until(REPLACED)
    rig.data("device_replaced", device="van", at=REPLACED)
    feed(rig, range(65, 86, 5), 50.0, START)
    feed(rig, range(90, 121, 5), 1.0, START + 88 * MINUTE)
    rig.run_until(START + 2 * HOUR + 2 * MINUTE)
    assert sum(changes(rig, "van.net")) == sum(changes(rig, "van.charged")) == 12.0 + 4.0 + 6.0


def test_it_goes_along_with_a_rename(rig: AskingRig) -> None:
    feed(rig, OLD, 100.0)
    rig.run_until(REPLACED)
    rig.data("device_replaced", device="van", at=REPLACED)
    rig.data("device_rename", device="van", to="bus")
    rig.describe("bus", VAN)
    for minute in NEW:
        rig.run_until(START + minute * MINUTE + SECOND)
        rig.reading("bus", {"charged": 4000.0 + minute})
    rig.restart()
    rig.run_until(START + 2 * HOUR + 2 * MINUTE)
    assert changes(rig, "bus.charged") == [11.0, 51.0]


@pytest.mark.parametrize(
    ("params", "code", "text"),
    [
        ({"device": "no"}, "not_found", "device: there is no device 'no'"),
        ({"device": "plain"}, "not_found", "device: 'plain' has no counters"),
        ({"device": "van", "at": START + DAY}, "invalid", "at: allowed are times until now"),
        ({"device": "van", "at": START - 11 * DAY}, "limit", "at: states are kept for 10 days"),
        ({"device": "van", "at": "soon"}, "invalid", "at: "),
    ],
)
def test_what_cannot_have_been_replaced_is_said(rig: AskingRig, params: Json, code: str, text: str) -> None:
    feed(rig, range(0, 10, 5), 100.0)
    rig.reading("plain", {"mode": "on"})
    rig.commit()
    before = body(rig)
    found = rig.refusal("device_replaced", **params)
    assert (found[0], found[1][: len(text)]) == (code, text)
    assert body(rig) == before


def test_a_new_counter_that_begins_where_the_old_one_ended_is_noticed(rig: AskingRig) -> None:
    feed(rig, OLD, 100.0)
    rig.data("device_replaced", device="van")
    feed(rig, NEW, 112.0)
    rig.run_until(START + 2 * HOUR + 2 * MINUTE)
    assert changes(rig, "van.charged") == [11.0, 11.0]


def test_what_was_imported_since_it_was_replaced_is_of_the_new_one(rig: AskingRig) -> None:
    feed(rig, OLD, 100.0)
    rig.data("device_replaced", device="van")
    feed(rig, NEW, 4000.0)
    rig.run_until(START + 2 * HOUR + MINUTE)
    rig.reading("van", {"charged": None})
    rig.run_until(START + 6 * HOUR + 2 * MINUTE)
    rig.data(
        "import_statistics",
        entity="van.charged",
        rows=[{"start": START + 4 * HOUR, "state": 4020.0, "sum": 0.0}],
    )
    rig.reading("van", {"charged": 4025.0})
    rig.run_until(START + 7 * HOUR + 2 * MINUTE)
    assert changes(rig, "van.charged")[-2:] == [9.0, 5.0]


def test_it_goes_along_when_names_are_merged(rig: AskingRig) -> None:
    feed(rig, OLD, 100.0)
    rig.run_until(START + 61 * MINUTE)
    rig.describe("bus", VAN)
    for minute in NEW:
        rig.run_until(START + minute * MINUTE + SECOND)
        rig.reading("bus", {"charged": 112.0 if minute < 90 else 4000.0 + minute})
    rig.data("device_replaced", device="bus", at=START + 87 * MINUTE)
    rig.commit()
    rig.data("device_rename", device="van", to="bus")
    rig.restart()
    rig.data("recompile", start=START)
    rig.run_until(START + 2 * HOUR + 2 * MINUTE)
    assert changes(rig, "bus.charged") == [11.0, 1.0 + 25.0]


@pytest.mark.parametrize("first", [0.0, 95.0, 111.0, 4000.0])
@pytest.mark.parametrize("restart", [False, True])
def test_another_device_that_takes_the_name_is_no_step_and_no_reset(
    rig: AskingRig, *, first: float, restart: bool
) -> None:
    feed(rig, OLD, 100.0)
    rig.run_until(REPLACED)
    # As `boondock replace van other` asks: the old one is removed, the other gets its name.
    rig.message(TOPICS.about("van"), b"")
    at = from_iso(rig.data("info")["now"])
    if restart:
        rig.restart()
    rig.describe("van", VAN)
    feed(rig, NEW, first)
    rig.data("device_replaced", device="van", at=at)
    rig.run_until(START + 2 * HOUR + 2 * MINUTE)
    rig.commit()
    # 12 until minute 60, and 10 from minute 65 to 115.
    assert sum(changes(rig, "van.charged")) == sum(changes(rig, "van.net")) == 22.0


def test_a_restored_copy_goes_on_with_the_sums_of_the_true_order(rig: AskingRig) -> None:
    feed(rig, range(0, 61, 5), 100.0)
    rig.commit()
    copy = rig.path.with_name("copy.db")
    with Snapshot(rig.path) as snapshot:
        copy.write_bytes(b"".join(snapshot))
    feed(rig, range(65, 91, 5), 113.0)
    rig.close()
    # What came in between is lost with the database, but not what the counter grew by.
    for end in ("-wal", "-shm"):
        rig.path.with_name(f"{rig.path.name}{end}").unlink(missing_ok=True)
    copy.replace(rig.path)
    rig.start()
    feed(rig, range(95, 121, 5), 119.0)
    rig.run_until(START + 2 * HOUR + 2 * MINUTE)
    rig.commit()
    # The reading of minute 120 is of the next hour.
    assert sum(changes(rig, "van.charged")) == 123.0 - 100.0


@pytest.mark.parametrize("first", [3.0, 95.0, 111.0, 4000.0], ids=lambda first: f"from {first}")
@pytest.mark.parametrize("order", ["replaced first", "renamed first"])
@pytest.mark.parametrize("restart", [False, True])
def test_what_the_new_one_measured_under_its_own_name_goes_along(
    rig: AskingRig, *, first: float, order: str, restart: bool
) -> None:
    feed(rig, OLD, 100.0)
    rig.describe("bus", VAN)
    for number, minute in enumerate(NEW):
        rig.run_until(START + minute * MINUTE + SECOND)
        rig.reading("bus", {"charged": first + number, "net": first + number, "volt": 12.5})
        if minute == 100:
            before = [changes(rig, f"{name}.{key}", "5minute") for name in ("van", "bus") for key in COUNTERS]
            done = []
            if order == "replaced first":
                done.append(rig.data("device_replaced", device="van", at=REPLACED)["id"])
            done.append(rig.data("device_rename", device="van", to="bus")["id"])
            if order == "renamed first":
                done.append(rig.data("device_replaced", device="bus", at=REPLACED)["id"])
            if restart:
                rig.restart()
    rig.run_until(START + 2 * HOUR + 6 * MINUTE)
    rig.commit()
    for entity in ("bus.charged", "bus.net"):
        # 12 of the old one until minute 60; of the new one 10 until minute 115, and 1 at 120.
        assert sum(changes(rig, entity)) == 22.0
        assert sum(changes(rig, entity, "5minute")) == 23.0
    for fix in reversed(done):
        rig.data("undo", fix=fix)
    rig.run_until(START + 2 * HOUR + 11 * MINUTE)
    rig.commit()
    after = [changes(rig, f"{name}.{key}", "5minute") for name in ("van", "bus") for key in COUNTERS]
    # What came since then is the new one's.
    assert [now[: len(then)] for now, then in zip(after, before, strict=True)] == before
