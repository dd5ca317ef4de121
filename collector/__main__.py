"""`python -m collector ble`: the process that reads one transport."""

import argparse
import logging
import sys

from bus.clock import Clock, system_clock
from bus.owner import owner_of_devices
from bus.process import set_up_logging
from collector.ownership import Owned, check, owned_devices
from collector.service import BleCollector
from collector.transports.ble import Radio
from collector.transports.ble_ladder import Ladder
from config.load import find, give_up, load_or_exit
from config.mistakes import ConfigError
from config.model import Settings

log = logging.getLogger(__name__)

TRANSPORTS = ("ble",)


def main() -> int:
    """Run the collector of the transport named on the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="collector", description=__doc__)
    parser.add_argument("transport", choices=TRANSPORTS)
    transport: str = parser.parse_args().transport
    set_up_logging()
    settings = load_or_exit()
    try:
        check(settings, str(find()))
    except ConfigError as error:
        give_up(error)
    clock = system_clock(trusted=settings.clock.trusted)
    return run_ble(settings, owned_devices(settings, transport, clock.monotonic()), clock)


def run_ble(settings: Settings, devices: list[Owned], clock: Clock) -> int:
    """Run the BLE collector until it is asked to stop; returns the exit code."""
    process, publisher = owner_of_devices("collector_ble", settings, clock, [])
    service = BleCollector(devices, publisher, clock=clock, journal=process.journal, emit=process.emit)
    if not devices:
        log.warning("no device of boondock.toml is read over Bluetooth; listening all the same")
    radio = Radio(
        adapter=settings.ble.adapter,
        mode=settings.ble.mode,
        emit=process.emit,
        ladder=Ladder(silence=settings.ble.watchdog),
        monotonic=clock.monotonic,
    )
    radio.start()
    try:
        return process.run(service)
    finally:
        radio.stop()


if __name__ == "__main__":
    sys.exit(main())
