"""Houses whose broker serves the page: one of published devices, and one of real processes with users."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.broker import Mosquitto
from tests.client import Client
from tests.emulators.gpio_board import Board
from tests.journeys.house import House
from tests.page.van import DEVICES, LAMP, Van
from tests.ports import free_port
from tests.secured import SecuredBroker, open_folder

_LISTENER = """
listener {port} 127.0.0.1
protocol websockets
socket_domain ipv4
http_dir {folder}
"""
SETTINGS = """
[relay.pump]
name = "Water pump"
pin = 27
[relay.heater]
name = "Heater"
pin = 24
only_if = ["fresh_water.level > 90"]
[user.van]
role = "publisher"
devices = ["smartshunt", "mppt", "fresh_water", "fridge", "lamps"]
commands = ["lamps.reading"]
"""
SERVICES = ("statistician", "controller")
OPEN_SETTINGS = """
[statistician]
commit_interval = 0.2
[device.mppt]
kind = "victron_solar_charger"
name = "Solar charger"
address = "C0:11:22:33:44:66"
key = "ffffffffffffffffffffffffffffffff"
"""


@contextmanager
def told_house(folder: Path, page: Path) -> Iterator[tuple[Van, str]]:
    """A broker without users on which a client speaks for a van; the page's address is there too."""
    port = free_port()
    broker = Mosquitto(folder, extra=_LISTENER.format(port=port, folder=page.parent)).start()
    client = Client(broker.port)
    try:
        yield Van(client, broker.port), f"http://127.0.0.1:{port}/index.html"
    finally:
        client.close()
        broker.stop()


@contextmanager
def open_house(folder: Path, page: Path) -> Iterator[tuple[House, str]]:
    """The statistician and the Bluetooth collector on a broker without users; the page's address."""
    port = free_port()
    broker = Mosquitto(folder, extra=_LISTENER.format(port=port, folder=page.parent))
    with House(folder, OPEN_SETTINGS, broker=broker) as house:
        house.start("statistician", "collector_ble")
        yield house, f"http://127.0.0.1:{port}/index.html"


class RealHouse:
    """The statistician and the controller on a broker with users; a client speaks for other devices."""

    def __init__(self, house: House, broker: SecuredBroker, address: str) -> None:
        self.house = house
        self.broker = broker
        self.address = address
        self.van = Van(Client(broker.port, "camper/set/#", login=broker.login("van")), broker.port)
        self.van.appears("lamps", *LAMP)

    @property
    def admin(self) -> Client:
        """A client that may do all, and that has seen all."""
        return self.house.client

    def hears(self, topic: str, payload: bytes, *, since: int) -> None:
        """Wait until it was published after the admin's message number `since`. Raises TimeoutError."""
        self.admin.wait(lambda message: message.topic == topic and message.payload == payload, since=since)

    @contextmanager
    def without_broker(self) -> Iterator[None]:
        """Kill the broker for a while; it keeps nothing, so who owns a device then says all once more."""
        self.broker.kill()
        seen = len(self.admin.messages)
        try:
            yield
        finally:
            self.broker.start()
        for client in (self.admin, self.van.client):
            client.wait_ready()
        for name, (about, values) in {**DEVICES, "lamps": LAMP}.items():
            self.van.appears(name, about, values)
        self.hears("camper/availability/relay", b"online", since=seen)
        self.hears("camper/service/statistician", b"online", since=seen)

    def login(self, user: str) -> str:
        """What follows the page's address in a link that logs a user in."""
        name, password = self.broker.login(user)
        return f"#user={name}&password={password}"


@contextmanager
def real_house(folder: Path, page: Path) -> Iterator[RealHouse]:
    """Start it, and end it."""
    with open_folder() as open_to_all:
        broker = SecuredBroker(open_to_all, SETTINGS)
        port = free_port()
        conf = broker.out / "mosquitto.conf"
        conf.write_text(conf.read_text() + _LISTENER.format(port=port, folder=page.parent))
        # As journeys.house.secured_house logs its processes in.
        variables = {}
        for name in SERVICES:
            user, password = broker.login(f"boondock_{name}")
            (folder / name).mkdir()
            (folder / name / "broker__password").write_text(password + "\n")
            variables[name] = {"BOONDOCK_BROKER__USERNAME": user, "BOONDOCK_SECRETS": str(folder / name)}
        variables["controller"] |= Board(folder / "board").environment
        with House(
            folder, SETTINGS, broker=broker, login=broker.login("admin"), variables=variables
        ) as house:
            house.start(*SERVICES)
            real = RealHouse(house, broker, f"http://127.0.0.1:{port}/index.html")
            try:
                yield real
            finally:
                real.van.client.close()
