"""Wi-SUN sticks of every dialect, meters that lack properties: from a pseudo terminal to the state topic."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import momonga
import pytest
from momonga.momonga_sk_wrapper import MomongaSkWrapper

from collector.device import Owned
from collector.devices.description import LineError
from collector.devices.lines import Line, MeterPlace
from collector.transports.route_b import _TOLD, RouteB
from config.model import Device
from tests.clock import FakeTime
from tests.collector.rig import Rig
from tests.collector.test_route_b import QUICK
from tests.emulators.wisun import DIALECTS, METER, PASSWORD, RBID, Dialect, Meter, Stick

PLACE = MeterPlace(0x21, b"\x88\x88", METER)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    # It listens two seconds for what a stick still has to say; ours has nothing.
    monkeypatch.setattr(MomongaSkWrapper, "_clear_buf", lambda _: None)


class Bed:
    """A meter on a stick in a real collector; the stick speaks `dialect`."""

    def __init__(self, folder: Path, time: FakeTime, dialect: Dialect, place: MeterPlace | None) -> None:
        self.time = time
        self.meter = Meter(self._japan, used=lambda at: at.toordinal() * 48 + at.hour * 2)
        self.stick = Stick(folder, self.meter, dialect)
        self._place = place
        device = Device(
            kind="route_b_meter",
            port=self.stick.port,
            route_b_id=RBID,
            route_b_password=PASSWORD,
            every=10.0,
        )
        self.rig = Rig(folder, time, {"meter": device}, "serial", self._line)

    def _japan(self) -> datetime:
        at = datetime.fromtimestamp(self.time.wall_ms / 1000)  # noqa: DTZ006 — made Japan's in the next line
        return at - at.astimezone().utcoffset() + timedelta(hours=9)  # type: ignore[operator]  # it has one

    def _line(self, device: Owned) -> tuple[str, Callable[[], Line]]:
        port = device.settings.port or ""
        return port, lambda: RouteB(port, RBID, PASSWORD, QUICK, place=self._place)

    def said(self) -> dict[str, object]:
        """What the state topic says after one more poll."""
        self.rig.run(10)
        return self.rig.said("meter")[-1]

    def why(self, entity: str) -> str | None:
        """What health says of an entity."""
        return self.rig.journal.problems.get(f"entity.meter.{entity}")

    def close(self) -> None:
        """Close the line and the stick."""
        self.rig.close()
        self.stick.unplug()


Make = Callable[[Dialect], Bed]


@pytest.fixture
def make(tmp_path: Path, time: FakeTime) -> Iterator[Callable[..., Bed]]:
    beds: list[Bed] = []

    def made(dialect: str = "BP35C2", place: MeterPlace | None = None) -> Bed:
        beds.append(Bed(tmp_path, time, DIALECTS[dialect], place))
        return beds[-1]

    yield made
    for bed in beds:
        bed.close()


@pytest.mark.parametrize("place", [None, PLACE], ids=["searched for", "at a known place"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_stick_of_each_dialect_joins_reads_and_joins_again(
    make: Callable[..., Bed], dialect: str, place: MeterPlace | None
) -> None:
    bed = make(dialect, place)
    said = bed.said()
    assert (said["grid_power"], said["current_r"], said["coefficient"]) == (512, 3.1, 1)
    assert said["grid_import_energy"] == said["half_hour_import_energy"]
    # The single hop dialect has no word for how well a frame was heard.
    assert (said.get("signal_strength") is not None) == bed.stick.dialect.side
    bed.stick.lose_session(comes_back=False)
    bed.meter.power = -77
    bed.rig.run(70)
    assert bed.said()["grid_power"] == -77
    assert bed.stick.sessions == 2
    assert len(bed.stick.scans) <= (4 if place is None else 0), "one of the wrong dialect for each join"
    assert bed.rig.problem("meter") is None


def test_a_stick_that_takes_no_scan_at_all_is_told_in_words_for_its_owner(make: Callable[..., Bed]) -> None:
    bed = make()
    bed.stick.refuses_to_scan = True
    bed.rig.run(1)
    told = bed.rig.problem("meter") or ""
    assert "the stick refuses a command: is it a Wi-SUN stick for route B" in told
    assert "SKSCAN" not in told
    assert "Momonga" not in told


ENERGY = "grid_import_energy"


@pytest.mark.parametrize(
    ("lacking", "entity", "why"),
    [
        (0xE1, ENERGY, "does not give the unit of its counts (property E1)"),
        (0xE0, ENERGY, "does not give its count (property E0)"),
        (0xE7, "grid_power", "does not give its power (property E7)"),
        (0xE8, "current_r", "does not give its currents (property E8)"),
        (0xEA, "half_hour_import_energy", "does not give its count of the last half hour (property EA)"),
    ],
)
@pytest.mark.parametrize("listed", [True, False], ids=["its map lists it", "its map lists it not"])
def test_what_a_meter_does_not_give_is_unknown_with_the_reason(
    make: Callable[..., Bed], lacking: int, entity: str, why: str, *, listed: bool
) -> None:
    bed = make()
    (bed.meter.hidden if listed else bed.meter.lacking).add(lacking)
    said = bed.said()
    assert said[entity] is None
    assert why in (bed.why(entity) or "")
    assert said["coefficient"] == 1, "the others are read"
    bed.meter.hidden.clear()
    if listed:
        assert bed.said()[entity] is not None
        assert bed.why(entity) is None, "and it is solved when the meter gives it again"


@pytest.mark.parametrize("lacking", [0xD3, 0xD7, 0xE3])
def test_what_a_meter_need_not_have_is_no_trouble(make: Callable[..., Bed], lacking: int) -> None:
    bed = make()
    bed.meter.fed = lambda _: 12
    bed.meter.lacking.add(lacking)
    said = bed.said()
    assert isinstance(said[ENERGY], float)
    assert ("grid_export_energy" in said) == (lacking != 0xE3)
    assert bed.rig.journal.problems == {}


def test_a_coefficient_that_is_listed_and_not_given_leaves_no_guess(make: Callable[..., Bed]) -> None:
    bed = make()
    bed.meter.hidden.add(0xD3)
    assert bed.said()[ENERGY] is None
    assert "does not give its coefficient (property D3)" in (bed.why(ENERGY) or "")


def test_a_refused_property_costs_one_question_more_and_not_one_for_each_other(
    make: Callable[..., Bed],
) -> None:
    bed = make()
    bed.meter.hidden.add(0xE1)
    bed.said()
    for _ in range(3):
        bed.said()
    sent = bed.stick.commands.count("SKSENDTO")
    bed.said()
    assert bed.stick.commands.count("SKSENDTO") - sent == 2


ERRORS = [
    one
    for one in vars(momonga).values()
    if isinstance(one, type)
    and issubclass(one, momonga.MomongaError)
    and one is not momonga.MomongaResponseNotPossible
]


@pytest.mark.parametrize("error", [*ERRORS, ValueError, OSError])
def test_no_error_of_the_library_is_the_owners_text(error: type[Exception], tmp_path: Path) -> None:
    stick = Stick(tmp_path, Meter(datetime.now, used=lambda _: 1))
    line = RouteB(stick.port, RBID, PASSWORD, QUICK)
    try:
        line.open()
        assert line._session is not None
        line._session.data = _raises(error)  # type: ignore[method-assign,assignment]  # the library's part
        with pytest.raises(LineError) as told:
            line.properties((0xE7,))
    finally:
        line.close()
        stick.unplug()
    assert "Momonga" not in str(told.value)
    assert "gibberish" not in str(told.value)
    assert any(text in str(told.value) for _, text in _TOLD) or "library momonga failed" in str(told.value)


def _raises(error: type[Exception]) -> Callable[[object], dict[int, bytes | None]]:
    def raise_it(_: object) -> dict[int, bytes | None]:
        raise error("gibberish 0x5f")

    return raise_it
