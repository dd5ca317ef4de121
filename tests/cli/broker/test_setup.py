"""`boondock broker`: what it writes, that it may run again, that no secret shows, that a broker takes it."""

import base64
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.broker import hashed, new_password, verifies
from cli.broker.files import needs_restart, render
from cli.broker.rights import users
from cli.install.texts import PROCESSES, broker_text
from config.model import Settings
from tests.client import PATIENCE, Client
from tests.journeys.house import House
from tests.secured import ROOT, SecuredBroker, boondock_broker, open_folder

PUBLISHER = "[user.z]\nrole = 'publisher'\ndevices = "
PHONE = '[user.phone]\nrole = "operator"\n'


@pytest.fixture
def secured() -> Iterator[SecuredBroker]:
    with open_folder() as folder:
        broker = SecuredBroker(folder, PHONE)
        yield broker
        broker.stop()


def snapshot(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """Every file with its content, rights and time of writing."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        stat = path.stat()
        found[str(path.relative_to(folder))] = (path.read_bytes(), stat.st_mode, stat.st_mtime_ns)
    return found


def kept(secured: SecuredBroker) -> dict[str, tuple[bytes, int, int]]:
    return snapshot(secured.out) | snapshot(secured.secrets)


def test_nobody_but_its_account_reads_the_brokers_secrets(secured: SecuredBroker) -> None:
    modes = {name: mode & 0o777 for name, (_, mode, _) in snapshot(secured.out).items()}
    assert modes == {"mosquitto.conf": 0o644, "acl": 0o600, "passwords": 0o600}
    assert {mode & 0o777 for _, mode, _ in snapshot(secured.secrets).values()} == {0o600}
    assert secured.secrets.stat().st_mode & 0o777 == 0o700


def test_a_second_run_changes_nothing(secured: SecuredBroker) -> None:
    before = kept(secured)
    assert "Nothing changed" in secured.setup().stdout
    assert kept(secured) == before


def test_a_lost_right_comes_back(secured: SecuredBroker) -> None:
    (secured.out / "passwords").chmod(0o644)
    secured.setup()
    assert (secured.out / "passwords").stat().st_mode & 0o777 == 0o600


def test_a_dry_run_writes_nothing_at_all() -> None:
    with open_folder() as folder:
        (folder / "boondock.toml").write_text("[lan]\nlisten = ['127.0.0.2']\n")
        done = boondock_broker(folder / "boondock.toml", folder / "out", folder / "credstore", "--dry-run")
        assert done.returncode == 0, done.stderr
        assert "+allow_anonymous false" in done.stdout
        assert [path.name for path in folder.iterdir()] == ["boondock.toml"]


def test_what_changes_is_shown_without_a_secret(secured: SecuredBroker) -> None:
    secured.say(PHONE + '[user.guest]\nrole = "viewer"\n')
    said = secured.setup("--renew", "phone").stdout
    assert "+user guest" in said
    assert re.findall(r"^([+~-]\w+)$", said, re.MULTILINE) == ["+guest", "~phone"]
    assert "boondock-guest-password (a new password)" in said
    for path in secured.secrets.iterdir():
        assert path.read_text().strip() not in said
    assert "$7$" not in said
    assert "-user phone" not in said, "only what differs is shown"


def test_a_user_that_is_gone_does_not_get_the_old_password_back(secured: SecuredBroker) -> None:
    old = secured.login("phone")
    secured.say("")
    assert "nobody's password any more" in secured.setup().stdout
    assert "phone" not in (secured.out / "passwords").read_text()
    secured.say(PHONE)
    secured.setup()
    assert secured.login("phone") != old


def test_a_password_is_shown_when_asked_for_and_nothing_is_written(secured: SecuredBroker) -> None:
    before = kept(secured)
    said = secured.setup("--show", "phone").stdout
    assert secured.login("phone")[1] in said
    assert secured.login("admin")[1] not in said
    assert kept(secured) == before


@pytest.mark.parametrize(
    ("settings", "arguments", "code", "text"),
    [
        ("", ["--show", "nobody"], 1, "there is no user nobody: there are boondock_statistician, "),
        ("", ["--renew", "nobody"], 1, "there is no user nobody"),
        ("", ["--show", "viewer"], 1, "viewer has no password yet"),
        ("[lan]\nlisten = ['nic9']", [], 1, "lan.listen: nic9 has no IPv4 address now"),
        ("[lan]\nlisten = ['::1']", [], 78, "lan.listen: '::1' is neither; allowed: IPv4 addresses"),
        ("[lan]\nwebsockets = 9001", [], 78, "lan.listen: it is missing"),
        ("[lan]\nwebsockets = 8883\nlisten = ['lo']", [], 78, "lan.websockets: 8883 is lan.port already"),
        ("[lan]\nport = 1883\nlisten = ['lo']", [], 78, "lan.port: 1883 is broker.port already"),
        ("[lan]\nlisten = ['lo']\nnames = ['a b']", [], 78, "lan.names: 'a b' is no name"),
        ("[user.admin]\nrole = 'viewer'", [], 78, "user.admin: this user is there anyway"),
        ("[user.boondock_x]\nrole = 'viewer'", [], 78, "user.boondock_x: this user is there anyway"),
        ("[user.X]\nrole = 'viewer'", [], 78, "user.X: this is no id"),
        ("[user.x]", [], 78, "user.x.role: it may do nothing"),
        ("[user.x]\nrole = 'publisher'", [], 78, "user.x.devices: it speaks for none; allowed: ids of its"),
        *(
            (
                f"[device.a]\nkind = 'raspberry_pi'\n[user.y]\nrole = 'publisher'\ndevices = ['b']\n{user}",
                [],
                78,
                text,
            )
            for user, text in (
                (
                    PUBLISHER + "['relay']",
                    "user.z.devices: relay is no stranger's; allowed: devices of its own",
                ),
                (PUBLISHER + "['alarm']", "user.z.devices: alarm is no stranger's"),
                (PUBLISHER + "['a']", "user.z.devices: a is device.a"),
                (PUBLISHER + "['b']", "user.z.devices: b is user.y"),
                (PUBLISHER + "['+']", "user.z.devices: '+' is no id"),
                (PUBLISHER + "['a/b']", "user.z.devices: 'a/b' is no id"),
                (PUBLISHER + f"['{'c' * 65}']", "is no id"),
                (PUBLISHER + "['c']\ncommands = ['d.e']", "user.z.commands: 'd.e' is none of its"),
                (PUBLISHER + "['c']\ncommands = ['c']", "user.z.commands: 'c' is none of its"),
                (PUBLISHER + "['c']\ncommands = ['c.+']", "user.z.commands: 'c.+' is none of its"),
                ("[user.z]\nrole = 'viewer'\ndevices = ['c']", "user.z.devices: only a publisher speaks"),
                ("[user.z]\ntopics = ['c/#']\ncommands = ['c.d']", "user.z.commands: only a publisher"),
            )
        ),
        ("[user.x]\nrole = 'root'", [], 78, "user.x.role: 'root' is not allowed"),
        ("[user.x]\ntopics = ['camper/#']", [], 78, "user.x.topics: 'camper/#' reaches into camper"),
        ("[user.x]\ntopics = ['#']", [], 78, "user.x.topics: '#' is no filter of one tree"),
        ("[user.x]\ntopics = ['+/set/#']", [], 78, "user.x.topics: '+/set/#' is no filter of one tree"),
        ("[user.x]\ntopics = ['$SYS/#']", [], 78, "user.x.topics: '$SYS/#' is no filter of one tree"),
        ('[user.x]\ntopics = ["a\\nuser b"]', [], 78, "is no filter of one tree"),
        ("[user.x]\ntopics = ['a/#/b']", [], 78, "is no filter of one tree"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_written(
    tmp_path: Path, settings: str, arguments: list[str], code: int, text: str
) -> None:
    (tmp_path / "boondock.toml").write_text(settings)
    done = boondock_broker(tmp_path / "boondock.toml", tmp_path / "out", tmp_path / "credstore", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("base", ["camper", "fleet/van", "a-b"])
@pytest.mark.parametrize("topic", ["fleet/#", "fleet/+/state", "fleet/van/x", "camper", "a-b/+"])
def test_no_topic_of_others_reaches_into_ours(tmp_path: Path, base: str, topic: str) -> None:
    (tmp_path / "boondock.toml").write_text(f"[broker]\nbase = '{base}'\n[user.x]\ntopics = ['{topic}']\n")
    done = boondock_broker(tmp_path / "boondock.toml", tmp_path / "out", tmp_path / "s", "--dry-run")
    inside = topic.partition("/")[0] == base.partition("/")[0]
    assert done.returncode == (78 if inside else 0), done.stderr


def test_our_hash_is_the_one_mosquitto_makes(tmp_path: Path) -> None:
    password = new_password()
    file = tmp_path / "passwd"
    subprocess.run(["mosquitto_passwd", "-c", "-b", str(file), "van", password], check=True, timeout=10)
    theirs = file.read_text().strip().removeprefix("van:")
    assert verifies(theirs, password)
    assert not verifies(theirs, password + "x")
    ours = hashed(password)
    assert verifies(ours, password)
    assert [len(base64.b64decode(part)) for part in ours.split("$")[3:]] == [12, 64]
    assert hashed(password) != ours, "each has a salt of its own"


@pytest.mark.parametrize(
    "text",
    ["", "x", "$6$salt$hash", "$7$0$QUJD$QUJD", "$7$101$Q$Q", "$7$101$QUJD$", "$7$9999999999$QUJD$QUJD"],
)
def test_what_is_no_hash_verifies_nothing(text: str) -> None:
    assert not verifies(text, "password")


def test_passwords_differ_and_are_long() -> None:
    made = {new_password() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"([a-z2-9]{6}-){4}[a-z2-9]{6}", one) for one in made)


def test_a_running_broker_takes_a_new_user_by_reload_and_drops_an_old_password(
    secured: SecuredBroker,
) -> None:
    secured.start()
    old = secured.login("phone")
    phone = Client(secured.port, "camper/#", login=old)
    dropped = threading.Event()
    phone._client.on_disconnect = lambda *_: dropped.set()
    secured.say(PHONE + '[user.guest]\nrole = "viewer"\n')
    said = secured.setup("--renew", "phone", "--reload").stdout
    assert f"process {secured.pid}" in said
    guest = Client(secured.port, "camper/#", login=secured.login("guest"))
    fresh = Client(secured.port, "camper/#", login=secured.login("phone"))
    admin = Client(secured.port, login=secured.login("admin"))
    admin.publish("camper/state/shunt", "{}")
    for client in (guest, fresh):
        assert client.on("camper/state/shunt") == b"{}"
    assert dropped.wait(PATIENCE), "who came with the old password is out"
    for client in (phone, guest, fresh, admin):
        client.close()


def test_a_reload_without_a_broker_is_an_error(secured: SecuredBroker) -> None:
    done = boondock_broker(secured.config, secured.out, secured.secrets, "--reload")
    assert done.returncode == 1
    assert f"no mosquitto runs with -c {secured.out}/mosquitto.conf" in done.stderr


def test_a_changed_listener_asks_for_a_restart(secured: SecuredBroker) -> None:
    secured.say("[lan]\nlisten = ['127.0.0.2']\n" + PHONE)
    assert "systemctl restart boondock-mosquitto" in secured.setup().stdout


@pytest.mark.parametrize(
    ("old", "new", "restart"),
    [
        ("listener 1883 127.0.0.1\n", "listener 1884 127.0.0.1\n", True),
        ("listener 1883\n", "listener 1883\nsocket_domain ipv4\n", True),
        ("max_keepalive 60\nlistener 1\n", "max_keepalive 600\nlistener 1\n", False),
        ("# listener 1\n", "# listener 2\n", False),
    ],
)
def test_only_listeners_need_a_restart(old: str, new: str, restart: bool) -> None:  # noqa: FBT001 — a column of the table
    assert needs_restart(old, new) is restart


def test_for_2_1_each_listener_says_that_nobody_is_anonymous() -> None:
    settings = Settings()
    assert "listener_allow_anonymous" not in render(settings, Path("/x"), "2.0")
    text = render(settings, Path("/x"), "2.1")
    assert re.findall(r"^listener.*$", text, re.MULTILINE) == [
        "listener 1883 127.0.0.1",
        "listener_allow_anonymous false",
    ]


def test_traps_of_2_0_11_are_not_in_any_template() -> None:
    text = "\n".join(path.read_text() for path in (ROOT / "mosquitto").glob("*.conf"))
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    words = {line.split(" ")[0] for line in lines}
    assert words.isdisjoint({"per_listener_settings", "message_size_limit", "bind_interface", "http_dir"})
    assert sum(line.startswith("listener ") for line in lines) == lines.count("socket_domain ipv4")


def test_the_units_find_each_password_where_it_is_written() -> None:
    written = {user.secret: user.name for user in users(Settings())}
    for unit in PROCESSES:
        for transport in ("ble", "mqtt") if "@" in unit else ("",):
            text = broker_text(unit, {}, [], users=True).replace("%i", transport)
            found = re.search(r"^LoadCredential=broker__password:(\S+)$", text, re.MULTILINE)
            user = re.search(r"^Environment=BOONDOCK_BROKER__USERNAME=(\S+)$", text, re.MULTILINE)
            assert found
            assert user
            assert written[found[1]] == user[1]


def test_a_name_without_a_password_comes_into_a_broker_that_asks_nobody(tmp_path: Path) -> None:
    variables = {"controller": {"BOONDOCK_BROKER__USERNAME": "boondock_controller"}}
    with House(tmp_path, '[controller]\npins = "simulated"\n', variables=variables) as house:
        house.start("controller")
        assert house.client.latest("camper/service/controller") == b"online"


FAKE = """#!/bin/sh
case "$1" in
-h) echo "mosquitto version {version}" ;;
*) echo "Error: no such option" >&2; exit 3 ;;
esac
"""


@pytest.fixture
def other_mosquitto(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a Mosquitto in front that says it is of a version, and finds fault with every configuration."""

    def install(version: str) -> None:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "mosquitto").write_text(FAKE.format(version=version))
        (tmp_path / "bin" / "mosquitto").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    return install


@pytest.mark.parametrize(
    ("version", "code", "text"),
    [
        ("2.0.11", 0, "+# Written by `boondock broker` for Mosquitto 2.0;"),
        ("2.0.22", 0, "+# Written by `boondock broker` for Mosquitto 2.0;"),
        ("2.1.2", 0, "+listener_allow_anonymous false"),
        ("3.0.0", 1, "this is Mosquitto 3.0.0; known are 2.0 and 2.1"),
        ("1.6.9", 1, "this is Mosquitto 1.6.9; known are 2.0 and 2.1"),
        ("", 1, "this is Mosquitto unknown; known are 2.0 and 2.1"),
        ("2", 1, "this is Mosquitto 2; known are 2.0 and 2.1"),
    ],
)
def test_it_writes_for_the_mosquitto_that_is_there(
    tmp_path: Path, other_mosquitto: Callable[[str], None], version: str, code: int, text: str
) -> None:
    other_mosquitto(version)
    (tmp_path / "boondock.toml").write_text("")
    done = boondock_broker(tmp_path / "boondock.toml", tmp_path / "out", tmp_path / "s", "--dry-run")
    assert done.returncode == code, done.stderr
    assert text in done.stdout + done.stderr


def test_a_2_1_that_finds_fault_is_not_told_to_reload(
    secured: SecuredBroker, other_mosquitto: Callable[[str], None]
) -> None:
    secured.start()
    old = Client(secured.port, login=secured.login("phone"))
    other_mosquitto("2.1.2")
    arguments = ("--renew", "phone", "--reload")
    done = boondock_broker(secured.config, secured.out, secured.secrets, *arguments)
    assert done.returncode == 1
    assert f"Mosquitto refuses {secured.out}/mosquitto.conf: Error: no such option" in done.stderr
    old.publish("camper/set/relay/pump", "ON")
    assert old._client.is_connected(), "its files are as they were when it read them"
    old.close()


def test_the_broker_has_nothing_to_complain_of(secured: SecuredBroker) -> None:
    secured.start()
    Client(secured.port, "camper/#", login=secured.login("phone")).close()
    secured.kill()
    log = (secured.folder / "mosquitto.log").read_text()
    assert "Error" not in log
    assert "Warning" not in log


@pytest.mark.parametrize(
    ("host", "told"),
    [("192.0.2.7", True), ("127.0.0.1", False), ("localhost", False), ("::1", False)],
)
def test_a_broker_on_another_machine_is_told(tmp_path: Path, host: str, told: bool) -> None:  # noqa: FBT001 — a case
    config = tmp_path / "boondock.toml"
    config.write_text(f'[broker]\nhost = "{host}"\nport = 1884\n')
    done = boondock_broker(config, tmp_path / "out", tmp_path / "kept", "--dry-run", "--mosquitto", "2.0")
    said = f"[broker] names {host}:1884, which is not this machine: "
    assert (done.returncode, said in done.stderr) == (0, told), done.stderr
    assert ("next: docs/broker-elsewhere.md" in done.stderr) is told
