"""What a run consists of: the broker, the house's own processes, and for the demo its emulated hardware."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from collector.device import TRANSPORTS
from config.model import Broker
from scripts import broker, demo_van
from scripts.children import ROOT, Program
from scripts.kept import Kept
from scripts.places import Places
from scripts.served import Page

DEMO = ROOT / "tests" / "emulators" / "demo.toml"
# What each process is called on screen, and how it is started: python -m ...
SERVICES: Mapping[str, tuple[str, ...]] = {
    "statistician": ("statistician",),
    "controller": ("controller",),
    "forwarder": ("forwarder",),
    **{f"collector_{transport}": ("collector", transport) for transport in TRANSPORTS},
}
# The order of the end: who publishes, who stores, what carries.
_PUBLISHES, _STORES, _CARRIES = range(3)
# systemd's words are for the one who was started by it, not for what he starts.
_NOT_INHERITED = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "CREDENTIALS_DIRECTORY")

_BUS = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <auth>EXTERNAL</auth>
  <listen>unix:path={socket}</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    return kept | {"PYTHONUNBUFFERED": "1", "MALLOC_ARENA_MAX": "1"}


def the_broker(places: Places, port: int, page: Page) -> Program:
    """Write the broker's configuration, with the listener of the page, and return the broker."""
    configuration = places.temporary / "mosquitto.conf"
    configuration.write_text(broker.render(port, page.listener))
    configuration.chmod(0o644)
    return Program("broker", broker.command(), _environment(), _CARRIES, broker.account(), configuration)


def the_page(page: Page) -> Program:
    """Return what serves the page's files where the broker does not."""
    return Program("page", page.server, _environment(), _CARRIES)


def bus_socket(places: Places) -> Path:
    """Return where the demo's D-Bus listens."""
    # Below the memory directory, whose path is short: a socket's path may have 107 bytes.
    return places.runtime / "bus"


def the_bus(places: Places) -> Program:
    """Write the configuration of the demo's D-Bus and return the bus."""
    configuration = places.temporary / "bus.conf"
    configuration.write_text(_BUS.format(socket=bus_socket(places)))
    argv = ["dbus-daemon", "--nofork", "--nopidfile", f"--config-file={configuration}"]
    return Program("bus", argv, _environment(), _CARRIES)


def the_hardware(places: Places, port: int) -> Program:
    """Return the demo's emulated hardware, whose devices lie in a folder of this run."""
    address = f"unix:path={bus_socket(places)}"
    argv = [sys.executable, "-m", "tests.emulators.demo", "--bus-address", address]
    argv += ["--folder", str(demo_van.folder(places)), "--broker-port", str(port)]
    argv += ["--counters", str(places.data / "state" / "demo-counters.json")]
    # What it makes for itself goes with the run, also when it is killed.
    return Program("hardware", argv, _environment() | {"TMPDIR": str(places.runtime)}, _CARRIES)


def the_services(
    places: Places,
    configuration: Path,
    where: Broker,
    *,
    demo: bool,
    sends: bool = True,
    kept: Kept | None = None,
) -> list[Program]:
    """Return the house's own processes, told where this run keeps what and where its broker is.

    `sends`: there are outputs, or people to tell of alarms.
    """
    kept = kept or Kept.of(places)
    environment = _environment() | {
        "BOONDOCK_CONFIG": str(configuration),
        "BOONDOCK_BROKER__HOST": where.host,
        "BOONDOCK_BROKER__PORT": str(where.port),
        "BOONDOCK_STATISTICIAN__DATABASE": str(kept.database),
        "BOONDOCK_STORAGE__STATE": str(kept.state),
        "BOONDOCK_STORAGE__RUNTIME": str(kept.runtime),
    }
    own: Mapping[str, Mapping[str, str]] = {}
    services = dict(SERVICES)
    if not sends:
        del services["forwarder"]
    if demo:
        environment |= demo_van.settings(places)
        own = demo_van.environments(places, bus_socket(places))
        if demo_van.missing(places):
            del services["collector_i2c"]
    return [
        Program(
            name,
            [sys.executable, "-m", *argv],
            {**environment, **own.get(name, {})},
            _STORES if name == "statistician" else _PUBLISHES,
        )
        for name, argv in services.items()
    ]
