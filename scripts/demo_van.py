"""How the demo's processes find its emulated hardware, and what a person can try with it."""

from collections.abc import Mapping
from pathlib import Path

from bus.topics import Topics, Verb
from scripts.places import Places
from tests.emulators import demo_hardware, demo_i2c, demo_serial, demo_tcp, gpio_board

_DEMO = "tests/emulators/demo.toml"
# As demo.toml has them.
DEVICES: Mapping[str, tuple[str, ...]] = {
    "Bluetooth": (
        *("smartshunt", "mppt", "shore_charger", "gas_bottle", "fridge_thermometer"),
        *("pack_1", "pack_2"),
    ),
    "VE.Direct": ("inverter",),
    "RS485": ("epever",),
    "Modbus TCP": ("shore_meter",),
    "I2C": ("fridge", "starter", "fresh_water"),
    "pins": ("shore", "waste_water"),
    "host": ("pi",),
    "MQTT": ("outside",),
}


def folder(places: Places) -> Path:
    """Return the folder in which the hardware process puts its devices."""
    # In memory, whose path is short: umockdev makes sockets in it.
    return places.runtime / "van"


def log(places: Places) -> Path:
    """Return the file that the demo's output writes."""
    return places.data / "outputs" / "van.csv"


def missing(places: Places) -> str | None:
    """Return what the machine lacks for the emulated I2C bus, None if the bus is there."""
    return None if (folder(places) / demo_hardware.I2C).exists() else demo_i2c.missing() or "its emulator"


def settings(places: Places) -> dict[str, str]:
    """Return the ports of this run's devices, as settings in the environment."""
    here = folder(places)
    number = (here / demo_hardware.MODBUS).read_text(encoding="ascii")
    return {
        "BOONDOCK_DEVICE__INVERTER__PORT": str(here / demo_serial.VEDIRECT),
        "BOONDOCK_DEVICE__EPEVER__PORT": str(here / demo_serial.EPEVER),
        "BOONDOCK_DEVICE__SHORE_METER__PORT": f"tcp://{demo_tcp.HOST}:{number}",
        "BOONDOCK_OUTPUT__LOG__PATH": str(log(places)),
        # The emulated air is never silent for long: a bluetoothd that came back is noticed soon.
        "BOONDOCK_BLE__WATCHDOG": "10",
    }


def environments(places: Places, bus_socket: Path) -> Mapping[str, Mapping[str, str]]:
    """Return what single services need besides: who sees which hardware."""
    here = folder(places)
    return {
        "collector_ble": {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={bus_socket}"},
        "collector_i2c": {"UMOCKDEV_DIR": str(here / demo_hardware.I2C), "LD_PRELOAD": demo_i2c.PRELOAD},
        "collector_gpio": gpio_board.Board(here / demo_hardware.INPUTS).environment,
        "controller": gpio_board.Board(here / demo_hardware.RELAYS).environment,
    }


def lines(topics: Topics, where: str, port: int) -> list[str]:
    """Return what to try, a line to copy each; `where` are mosquitto's options for this run's broker."""
    boondock = f"BOONDOCK_BROKER__PORT={port} .venv/bin/boondock" if where else ".venv/bin/boondock"
    wires = [f"{wire}: {', '.join(devices)}" for wire, devices in DEVICES.items()]
    return [
        f"  readings    mosquitto_sub{where} -v -t '{topics.every(Verb.STATE, levels=1)}'",
        *(f"              {'; '.join(wires[at : at + 4])}" for at in range(0, len(wires), 4)),
        f"  pump on     mosquitto_pub{where} -t {topics.set('relay', 'pump')} -m ON",
        f"  its water   mosquitto_sub{where} -v -t {topics.state('fresh_water')}",
        f"  sockets on  mosquitto_pub{where} -t {topics.set('relay', 'household_power')} -m ON",
        f"  a lamp on   mosquitto_pub{where} -t {topics.set('epever', 'load')} -m ON",
        f"  the air     {boondock} scan ble --config {_DEMO}",
    ]
