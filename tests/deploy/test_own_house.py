"""scripts/run with a boondock.toml of one's own: its broker, where it keeps what, what it refuses."""

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bus.topics import Topics
from config.addresses import is_here
from config.model import Broker, Lan, Settings, Statistician, Storage, User
from scripts import broker as run_broker
from scripts.broker import BrokerError, Chosen, choose
from scripts.kept import Kept, left_out
from scripts.places import CannotStartError, Places
from tests.broker import Mosquitto
from tests.client import Client
from tests.deploy.started import PATIENCE, Started, eventually
from tests.lan import ADDRESS
from tests.lan import Lan as Network
from tests.ports import free_port
from tests.secured import open_folder

TOPICS = Topics()
PI = '[device.pi]\nkind = "raspberry_pi"\n[collector]\nrun = []\n'
ENDS = "Ctrl-C ends everything."


@pytest.fixture
def house(start: Callable[..., Started], tmp_path: Path) -> Callable[..., Started]:
    """Start a run of a file with this text, with all it keeps in a folder of its own."""
    count = iter(range(9))

    def one(text: str, *options: str, data: bool = True) -> Started:
        number = next(count)
        file = tmp_path / f"own{number}.toml"
        file.write_text(PI + text)
        kept = ["--data", str(tmp_path / f"data{number}")] if data else []
        return start("--config", str(file), *kept, *options)

    return one


@pytest.fixture
def network() -> Iterator[Network]:
    with open_folder() as folder:
        made = Network(folder)
        made.start()
        yield made
        made.broker.stop()


def answers(client: Client, base: str = "camper") -> bool:
    """Whether the house's only device is read through this broker."""
    return eventually(lambda: client.latest(Topics(base).state("pi")) is not None)


def refused(run: Started) -> str:
    """The one line of a run that does not start."""
    assert run.process.wait(PATIENCE) != 0, run.text()
    assert run.processes() == []
    (line,) = run.text().splitlines()
    return line


def test_it_starts_a_broker_of_its_own_where_nothing_listens(
    house: Callable[..., Started], tmp_path: Path
) -> None:
    port = free_port()
    text = f"[broker]\nport = {port}\nusername = 'van'\n[lan]\nlisten = ['127.0.0.2']\n"
    run = house(f"{text}[statistician]\ndatabase = '{tmp_path}/usb/house.db'\n")
    assert run.shows(ENDS), run.text()
    assert f"broker      127.0.0.1:{port}, started by this run" in run.text()
    assert "[lan]: for the installed house" in run.text()
    assert "[broker] username: not needed here" in run.text()
    # --data goes before the database of the settings.
    assert f"database    {tmp_path / 'data0' / 'statistics.db'}\n" in run.text()
    client = Client(port, "camper/#")
    assert answers(client), run.text()
    client.close()
    run.ends(signal.SIGINT)
    assert (run.process.returncode, run_broker.is_free(port)) == (0, True)


def test_a_broker_that_runs_already_is_used_and_left_alone(
    house: Callable[..., Started], broker: Mosquitto
) -> None:
    run = house(f"[broker]\nport = {broker.port}\nhost = 'localhost'\n")
    assert run.shows(ENDS), run.text()
    assert f"broker      localhost:{broker.port}, was running already; no TLS, no user name" in run.text()
    client = Client(broker.port, "camper/#")
    assert answers(client), run.text()
    client.wait(lambda m: m.topic == TOPICS.service("statistician") and m.payload == b"online")
    assert not any("mosquitto" in one for one in run.processes())
    run.ends(signal.SIGINT)
    client.wait(lambda m: m.topic == TOPICS.service("statistician") and m.payload == b"offline")
    client.close()


def test_a_broker_with_tls_and_a_password_is_used(house: Callable[..., Started], network: Network) -> None:
    user, password = network.broker.login("admin")
    table = (
        f"[broker]\nhost = '{ADDRESS}'\nport = {network.port}\ntls_ca = '{network.ca}'\nusername = '{user}'\n"
    )
    run = house(f"{table}password = '{password}'\n")
    assert run.shows(ENDS), run.text()
    assert "was running already; TLS, user admin" in run.text()
    assert f'-h {ADDRESS} -p {network.port} --cafile {network.ca} -u admin -P "$PASSWORD" -v' in run.text()
    assert password not in run.text()
    client = Client(network.broker.port, "camper/#", login=(user, password))
    assert answers(client), run.text()
    client.close()
    run.ends(signal.SIGINT)
    for wrong, word in (
        ("password = 'other'", "(Not authorized)"),
        ("", "Not authorized"),
    ):
        line = refused(house(f"{table}{wrong}\n"))
        assert line.startswith(f"run: the broker at {ADDRESS}:{network.port} refuses user "), line
        assert word in line
    bare = f"[broker]\nhost = '{ADDRESS}'\nport = {network.port}\n"
    assert "does it want TLS ([broker] tls_ca)?" in refused(house(bare))


def test_what_is_no_broker_is_told(house: Callable[..., Started]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert refused(house(f"[broker]\nport = {port}\n")) == f"run: no broker at 127.0.0.1:{port}"


def test_a_second_house_of_one_base_is_refused_and_one_of_another_is_not(
    house: Callable[..., Started], broker: Mosquitto
) -> None:
    table = f"[broker]\nport = {broker.port}\n"
    first = house(table)
    assert first.shows(ENDS), first.text()
    client = Client(broker.port, "camper/#", "boat/#")
    client.wait(lambda m: m.topic == TOPICS.service("statistician") and m.payload == b"online")
    line = refused(house(table))
    assert line.startswith(
        f"run: a house with the base topic camper is on the broker at 127.0.0.1:{broker.port}"
    )
    assert "statistician" in line
    assert "give this one another [broker] base" in line
    second = house(f"{table}base = 'boat'\n")
    assert second.shows(ENDS), second.text()
    assert "mosquitto_sub -p" in second.text()
    assert "'boat/#'" in second.text()
    assert answers(client, "boat"), second.text()
    client.close()


def test_what_a_broker_remembers_of_a_dead_house_stops_nobody(
    house: Callable[..., Started], broker: Mosquitto
) -> None:
    client = Client(broker.port)
    client.publish(TOPICS.service("statistician"), "online", retain=True)
    run = house(f"[broker]\nport = {broker.port}\n")
    assert run.shows(ENDS), run.text()
    client.close()


def test_the_database_of_the_settings_is_used_without_data(
    house: Callable[..., Started], tmp_path: Path
) -> None:
    database, state = tmp_path / "usb" / "house.db", tmp_path / "state"
    text = f"[broker]\nport = {free_port()}\n[statistician]\ndatabase = '{database}'\n"
    text += f"[storage]\nstate = '{state}'\n"
    run = house(text, data=False)
    assert run.shows(ENDS), run.text()
    assert f"database    {database}\n" in run.text()
    assert eventually(database.exists), run.text()
    assert eventually(lambda: any(state.iterdir())), run.text()


def test_a_place_that_cannot_be_written_is_named(house: Callable[..., Started], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    text = f"[broker]\nport = {free_port()}\n[statistician]\ndatabase = '{tmp_path}/file/house.db'\n"
    assert refused(house(text, data=False)) == (
        f"run: [statistician] database: {tmp_path}/file: File exists; name another place, "
        "or keep all with --data DIR"
    )


def test_the_demo_says_that_its_port_is_another(start: Callable[..., Started]) -> None:
    with socket.socket() as taken:
        # Whoever has it: the demo must do without.
        with suppress(OSError):
            taken.bind(("127.0.0.1", run_broker.PORT))
            taken.listen()
        run = start()
        assert run.shows(ENDS), run.text()
    (said,) = [line for line in run.text().splitlines() if "is taken" in line]
    port = int(said.split("broker is at port ")[1].split(",")[0])
    assert said.startswith("Port 1883 is taken, by another broker or program: the demo's broker is at port")
    assert said.endswith(f"Lines without -p {port} reach the other one.")
    lines = [line for line in run.text().splitlines() if "mosquitto_" in line]
    assert lines
    assert all(f" -p {port} " in line for line in lines), lines


@pytest.mark.parametrize(
    ("host", "here"),
    [
        *((here, True) for here in ("localhost", "LocalHost.", "127.0.0.1", "127.3.2.1", "::1")),
        *((elsewhere, False) for elsewhere in ("192.168.1.20", "van.local", "localhost.example")),
    ],
)
def test_what_is_this_machine(host: str, *, here: bool) -> None:
    assert is_here(host) is here


def test_a_broker_elsewhere_is_never_started_here() -> None:
    elsewhere = Broker(host="van.local", port=8883, tls_ca="/ca.crt", username="it's")
    chosen = choose(elsewhere, None)
    assert chosen == Chosen(elsewhere, own=False)
    assert chosen.how == "elsewhere, as [broker] says; TLS, user it's"
    assert chosen.options == """ -h van.local -p 8883 --cafile /ca.crt -u 'it'"'"'s' -P "$PASSWORD\""""


def test_a_broker_with_tls_is_not_replaced_by_one_without() -> None:
    port = free_port()
    with pytest.raises(BrokerError, match=f"nothing listens at 127.0.0.1:{port}, .* take tls_ca out"):
        choose(Broker(port=port, tls_ca="/ca.crt"), None)


def test_ones_own_broker_is_where_the_processes_are_told() -> None:
    port = free_port()
    assert choose(Broker(host="::1", port=1), port) == Chosen(Broker(host="127.0.0.1", port=port), own=True)


def test_what_is_left_out_is_told_only_where_it_is() -> None:
    settings = Settings(lan=Lan(listen=("wlan0",)), user={"anna": User(role="viewer")})
    assert next(left_out(settings, own=True)).startswith("[lan] and [user]: for the installed house")
    assert list(left_out(settings, own=False)) == list(left_out(Settings(), own=True)) == []


def test_the_examples_own_places_are_the_installed_houses_and_not_a_runs(tmp_path: Path) -> None:
    places = Places(tmp_path, tmp_path / "run", tmp_path / "data", tmp_path / "logs", tmp_path)
    assert Kept.as_said(Settings(), places, data=False) == Kept.of(places)
    runtime = Settings(storage=Storage(runtime=str(tmp_path / "memory")))
    assert Kept.as_said(runtime, places, data=True).runtime == tmp_path / "memory"
    unwritable = Settings(statistician=Statistician(database="/proc/none/house.db"))
    with pytest.raises(CannotStartError, match=r"\[statistician\] database: /proc/none: "):
        Kept.as_said(unwritable, places, data=False)
