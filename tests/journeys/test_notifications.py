"""From a value on the broker to the phone: a real controller, a real forwarder, a server of push messages."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bus.messages import to_iso
from tests.broker import Mosquitto
from tests.emulators.ntfy import Ntfy
from tests.journeys.test_outputs import PATIENCE, Van

pytest.importorskip("apprise", reason="the extra `notify` is not installed: run scripts/setup dev")

SETTINGS = """
[controller]
pins = "simulated"

[alarm.battery_low]
name = "House battery low"
when = "smartshunt.soc < 20"
until = "smartshunt.soc > 25"
for = 0
text = "Charge soon."

[[notify]]
name = "phone"
repeat = 60
"""


@contextmanager
def house(folder: Path, broker: Mosquitto, url: str) -> Iterator[Van]:
    """A controller and a forwarder; the address is in a secret file."""
    (folder / "secrets").mkdir()
    (folder / "secrets" / "notify__phone__url").write_text(url, encoding="utf-8")
    one = Van(folder, broker, SETTINGS)
    controller = one.spawn("controller")
    one.forwarder = one.spawn("forwarder")
    try:
        for name in ("controller", "forwarder"):
            one.client.wait(lambda m, n=name: m.topic.endswith(f"/{n}") and m.payload == b"online")  # type: ignore[misc]  # a bound default
        yield one
    finally:
        for process in (one.forwarder, controller):
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)
        one.client.close()


def say(van: Van, soc: float) -> None:
    """The battery monitor says its state of charge."""
    body = {"ts": to_iso(time.time_ns() // 1_000_000), "soc": soc}
    van.client.publish("camper/state/smartshunt", json.dumps(body), retain=True)


def restart(van: Van) -> subprocess.Popen[bytes]:
    """Kill the forwarder, and start it again."""
    assert van.forwarder is not None
    van.forwarder.kill()
    van.forwarder.wait()
    van.forwarder = van.spawn("forwarder")
    return van.forwarder


def backdate(file: Path, seconds: float) -> None:
    """Let what waits have waited so much longer."""
    kept = json.loads(file.read_bytes())
    kept["mark"]["at"] += seconds
    file.write_text(json.dumps(kept))


def test_an_alarm_that_a_killed_forwarder_had_heard_comes_to_the_phone_once(
    tmp_path: Path, broker: Mosquitto
) -> None:
    file = tmp_path / "state" / "notifications.json"
    with Ntfy() as ntfy, house(tmp_path, broker, ntfy.url("van-secret")) as van:
        say(van, 18.5)
        van.until(lambda: file.exists() and b"battery_low" in file.read_bytes(), "nothing was kept")
        assert van.forwarder is not None
        van.forwarder.kill()
        van.forwarder.wait()
        backdate(file, 40.0)
        van.forwarder = van.spawn("forwarder")
        van.until(lambda: bool(ntfy.pushed), "nothing came")
        (one,) = ntfy.pushed
        assert one.topic == "van-secret"
        assert one.title == "House battery low"
        assert one.message.startswith("Charge soon (it is 18.5), since ")
        van.client.wait(lambda m: b'"sent_notifications.phone":1' in m.payload)
        restart(van)
        van.client.wait(lambda m: b'"uptime"' in m.payload, since=len(van.client.messages))
        assert len(ntfy.pushed) == 1
        log = (tmp_path / "forwarder.log").read_text() + "".join(str(m.payload) for m in van.client.messages)
        assert "van-secret" not in log


@pytest.mark.long
def test_an_alarm_is_told_acknowledged_and_over(tmp_path: Path, broker: Mosquitto) -> None:
    with Ntfy(500) as ntfy, house(tmp_path, broker, ntfy.url("van-secret")) as van:
        say(van, 18.5)
        van.client.wait(lambda m: b"has an error of its own" in m.payload, patience=90)
        ntfy.status = 200
        van.until(lambda: len(ntfy.pushed) == 1, "nothing came")
        van.until(lambda: len(ntfy.pushed) == 2, "it was not repeated")
        assert "still since" in ntfy.pushed[1].message
        van.client.publish("camper/set/alarm/battery_low", "acknowledge")
        say(van, 30.0)
        van.until(lambda: len(ntfy.pushed) == 3, "its end was not told")
        assert ntfy.pushed[2].title == "House battery low: over"
