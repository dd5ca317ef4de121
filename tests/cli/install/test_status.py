"""The house on one screen: what is well, what is not, and what it is called."""

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from bus.topics import Topic, Topics, Verb
from cli.house import as_admin
from cli.install import status
from cli.install.status import DeviceState, ServiceState, State
from config.model import Broker, Page, Settings

NOW = datetime(2026, 11, 21, 6, 40, 20, tzinfo=UTC).timestamp()
ONLINE = {Topic(Verb.SERVICE, "collector_host"): b"online"}


def unit(**more: str) -> dict[str, str]:
    return {"Id": "boondock-collector@host.service", "ActiveState": "active", "Result": "success"} | more


@pytest.mark.parametrize(
    ("found", "said", "state", "text"),
    [
        (unit(), ONLINE, "ok", "online"),
        (unit(NRestarts="3"), ONLINE, "ok", "restarted 3 times"),
        (unit(NRestarts="1"), ONLINE, "ok", "restarted once"),
        (unit(), {}, "wrong", "the broker does not hear it"),
        # The broker refused us.
        (unit(), None, "ok", "what it says is not known"),
        (unit(ActiveState="inactive"), {}, "idle", "has no device"),
        # nginx has no voice on the broker.
        (unit(Id="boondock-page.service"), {}, "ok", "running"),
        (
            unit(Id="boondock-page.service", ActiveState="failed", Result="exit-code", ExecMainStatus="78"),
            {},
            "wrong",
            "there is none; sudo journalctl -u boondock-page.service",
        ),
        (
            unit(ActiveState="failed", Result="exit-code", ExecMainStatus="78"),
            {},
            "wrong",
            "settings are wrong",
        ),
        (unit(ActiveState="activating", Result="watchdog", ExecMainStatus="6"), {}, "wrong", "watchdog"),
        (
            unit(ActiveState="failed", Result="exit-code", ExecMainStatus="216"),
            {},
            "wrong",
            "journalctl -u boon",
        ),
    ],
)
def test_a_service_is_what_systemd_and_the_broker_say(
    found: dict[str, str], said: dict[Topic, bytes] | None, state: str, text: str
) -> None:
    service = status._service(found, said)
    assert service.state == state
    assert text in service.text


def test_a_device_is_as_old_as_its_reading_and_one_that_was_never_heard_is_listed() -> None:
    said = {
        Topic(Verb.STATE, "mppt"): b'{"ts": "2026-11-21T06:40:10.000Z", "power": 84}',
        Topic(Verb.AVAILABILITY, "mppt"): b"online",
        Topic(Verb.STATE, "thermo"): b"{}",
        Topic(Verb.STATE, "broken"): b"21.5",
    }
    assert list(status._devices({"tank"}, said, NOW)) == [
        DeviceState("broken", "unknown", None),
        DeviceState("mppt", "online", 10.0),
        DeviceState("tank", "unknown", None),
        DeviceState("thermo", "unknown", None),
    ]


def test_topics_of_strangers_do_not_stop_it() -> None:
    topics = Topics()
    assert status._by_topic(topics, {"camper/state/Fridge": b"1", topics.state("pi"): b"{}"}) == {
        Topic(Verb.STATE, "pi"): b"{}"
    }


@pytest.mark.parametrize(
    ("services", "reached", "well"),
    [
        ([ServiceState("a", "ok", ""), ServiceState("b", "idle", "")], True, True),
        ([ServiceState("a", "ok", "")], False, False),
        ([ServiceState("a", "wrong", "")], True, False),
    ],
)
def test_all_is_well_if_all_run_and_the_statistician_answers(
    services: list[ServiceState], *, reached: bool, well: bool
) -> None:
    assert State(services=services, reached=reached).well is well


def test_a_house_without_its_page_is_well_and_says_so() -> None:
    found = State(
        [ServiceState("page", "wrong", "there is none")], faults=["page: there is none"], reached=True
    )
    assert found.well
    out = io.StringIO()
    status.show(found, Console(file=out, width=100))
    assert "1 problem." in out.getvalue()
    assert not State([ServiceState("controller", "wrong", "x")], reached=True).well


@pytest.mark.parametrize(
    ("table", "shown"),
    [
        (Page(), "none: sudo boondock configure page"),
        (Page(enabled=True, listen=("wlan0",)), "https://boondock.local/"),
    ],
)
def test_the_pages_address_is_told(table: Page, shown: str) -> None:
    assert dict(status._facts(Settings(page=table)))["page"] == shown


def test_the_screen_has_everything() -> None:
    state = State(
        [ServiceState("controller", "ok", "online")],
        [DeviceState("mppt", "online", 10.0), DeviceState("tank", "offline", None)],
        ["collector_ble: radio: [is] off"],
        ["host: failed"],
        {"disk": "1 of 2 GB free"},
        reached=True,
    )
    out = io.StringIO()
    status.show(state, Console(file=out, width=100))
    for words in (
        "controller  online",
        "10 s ago",
        "none yet",
        "disk     1 of 2",
        "! collector_ble: radio: [is] off",
        "! host: failed",
        "2 problems",
    ):
        assert words in out.getvalue()


@pytest.mark.parametrize(
    ("age", "text"), [(None, "none yet"), (3.4, "3 s ago"), (-1.0, "0 s ago"), (-7200.0, "7200 s ahead")]
)
def test_an_age_is_told(age: float | None, text: str) -> None:
    assert text in status._aged(age)


def test_root_is_admin_where_the_house_has_users(tmp_path: Path) -> None:
    assert as_admin(Broker(), tmp_path).username is None
    (tmp_path / "boondock-admin-password").write_text("pw\n")
    assert (as_admin(Broker(), tmp_path).username, as_admin(Broker(), tmp_path).password) == ("admin", "pw")
    own = Broker(username="anna", password="x")  # noqa: S106 — of nobody
    assert as_admin(own, tmp_path) is own


@pytest.mark.parametrize("undecided", [True, False])
def test_an_update_that_nobody_has_decided_about_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, undecided: bool
) -> None:
    pending = tmp_path / "update.json"
    if undecided:
        pending.touch()
    monkeypatch.setattr(status, "PENDING", str(pending))
    monkeypatch.setattr(status, "_ask", lambda _settings, _state: {})
    problems = status.look(Settings(), now=NOW).problems
    assert [one for one in problems if "boondock update --resume" in one] == problems
    assert bool(problems) is undecided


@pytest.mark.parametrize(
    ("devices", "problems", "last"),
    [
        ([DeviceState("mppt", "online", 1.0)], [], "All is well."),
        (
            [DeviceState("mppt", "online", 1.0), DeviceState("door", "offline", None)],
            [],
            "The services are well.",
        ),
        ([DeviceState("mppt", "online", 1.0)], ["x: y"], "1 problem."),
        ([], ["x: y", "z: y"], "2 problems."),
    ],
)
def test_the_last_line_says_how_it_is_and_silent_devices_are_named(
    devices: list[DeviceState], problems: list[str], last: str
) -> None:
    out = io.StringIO()
    status.show(
        State([ServiceState("a", "ok", "")], devices, problems, reached=True), Console(file=out, width=100)
    )
    assert out.getvalue().splitlines()[-1] == last
    silent = any(device.age is None for device in devices)
    assert ("No reading yet of door: wired" in out.getvalue()) is silent
