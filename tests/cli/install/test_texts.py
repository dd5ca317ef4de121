"""Texts that the installer writes: boot files, additions to a Mosquitto that was here, drop-ins."""

import shlex
import subprocess
from pathlib import Path

import pytest

from cli.install import texts
from cli.install.texts import (
    PRIVATE,
    PROCESSES,
    backup_text,
    boot_folder,
    broker_text,
    lan_text,
    with_i2c,
    with_uart,
    without_console,
)
from config.addresses import is_here


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "dtparam=i2c_arm=on\n"),
        ("#dtparam=i2c_arm=on\ndtparam=audio=on\n", "dtparam=i2c_arm=on\ndtparam=audio=on\n"),
        ("# dtparam=i2c_arm=on\n", "dtparam=i2c_arm=on\n"),
        ("dtparam=i2c_arm=off\n", "dtparam=i2c_arm=on\n"),
        ("dtparam=i2c=off\n", "dtparam=i2c_arm=on\n"),
        ("dtparam=spi=on,i2c_arm=off,audio=on\n", "dtparam=spi=on,i2c_arm=on,audio=on\n"),
        # Of several lines the last counts.
        ("dtparam=i2c_arm=on\ndtparam=i2c_arm=off\n", "dtparam=i2c_arm=on\ndtparam=i2c_arm=on\n"),
        # What is said of one model is not said of all.
        ("[pi4]\ndtparam=i2c_arm=on\n", "[pi4]\ndtparam=i2c_arm=on\n\n[all]\ndtparam=i2c_arm=on\n"),
        ("[pi4]\n#dtparam=i2c_arm=on\n[all]\n", "[pi4]\n#dtparam=i2c_arm=on\n[all]\ndtparam=i2c_arm=on\n"),
        ("[cm4]\notg_mode=1", "[cm4]\notg_mode=1\n\n[all]\ndtparam=i2c_arm=on\n"),
        # Another bus is another's.
        ("dtparam=i2c_vc=on\n", "dtparam=i2c_vc=on\ndtparam=i2c_arm=on\n"),
        ("dtparam=i2c_arm_baudrate=400000\n", "dtparam=i2c_arm_baudrate=400000\ndtparam=i2c_arm=on\n"),
    ],
)
def test_i2c_is_on_for_every_model(before: str, after: str) -> None:
    assert with_i2c(before) == after
    assert with_i2c(after) == after, "a second time there is nothing to do"


@pytest.mark.parametrize(
    "line", ["dtparam=i2c_arm=on", "dtparam=i2c=on", "dtparam=spi=on,i2c_arm", "dtparam=i2c_arm=1"]
)
def test_what_is_on_stays_as_it_is_written(line: str) -> None:
    assert with_i2c(f"{line}\n") == f"{line}\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "enable_uart=1\n"),
        ("enable_uart=0\n", "enable_uart=1\n"),
        ("enable_uart = 1\n", "enable_uart = 1\n"),
        ("[pi3]\nenable_uart=1\n", "[pi3]\nenable_uart=1\n\n[all]\nenable_uart=1\n"),
    ],
)
def test_the_uart_is_on(before: str, after: str) -> None:
    assert with_uart(before) == after
    assert with_uart(after) == after


@pytest.mark.parametrize("port", ["serial0,115200", "ttyAMA0,115200", "ttyS0,115200n8", "ttyAMA10"])
def test_no_console_is_on_the_serial_port_and_the_screens_stays(port: str) -> None:
    line = f"console={port} console=tty1 root=PARTUUID=1-02 rootfstype=ext4 rootwait\n"
    assert without_console(line) == "console=tty1 root=PARTUUID=1-02 rootfstype=ext4 rootwait\n"


def test_the_folder_of_the_newer_layout_goes_first(tmp_path: Path) -> None:
    assert boot_folder(tmp_path) is None
    for name in ("boot", "boot/firmware"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.txt").touch()
        assert boot_folder(tmp_path) == tmp_path / name


DEBIAN = """pid_file /run/mosquitto/mosquitto.pid
persistence true
persistence_location /var/lib/mosquitto/
log_dest file /var/log/mosquitto/mosquitto.log
include_dir /etc/mosquitto/conf.d
"""


def conf(root: Path, more: str = "", main: str = DEBIAN) -> None:
    (root / "etc/mosquitto/conf.d").mkdir(parents=True, exist_ok=True)
    (root / "etc/mosquitto/mosquitto.conf").write_text(main)
    (root / "etc/mosquitto/conf.d/house.conf").write_text(more)


def test_there_may_be_none(tmp_path: Path) -> None:
    assert texts.existing_broker(tmp_path) is None


@pytest.mark.parametrize(
    ("more", "port", "passwords"),
    [
        ("", 1883, False),
        ("listener 1884\nallow_anonymous true\n", 1884, False),
        ("port 1885\npassword_file /etc/mosquitto/passwd\n", 1885, True),
        ("listener 8883\ncertfile /x\nlistener 1884 127.0.0.1\npassword_file /p\n", 1884, True),
        ("listener 9001\nprotocol websockets\nlistener 1890\n", 1890, False),
        ("  password_file   /etc/mosquitto/passwd  \nallow_anonymous true\n", 1883, False),
        ("# password_file /etc/mosquitto/passwd\n", 1883, False),
        ("listener 0 /run/mosquitto.sock\n", 1883, False),
    ],
)
def test_its_port_and_whether_it_asks_for_passwords(
    tmp_path: Path, more: str, port: int, *, passwords: bool
) -> None:
    conf(tmp_path, more)
    found = texts.existing_broker(tmp_path)
    assert found is not None
    assert (found.port, found.asks_passwords) == (port, passwords)


@pytest.mark.parametrize(
    ("more", "expected"),
    [("per_listener_settings true\n", "each listener"), ("plugin /x.so\n", "plugin"), ("", None)],
)
def test_where_users_cannot_be_added(tmp_path: Path, more: str, expected: str | None) -> None:
    conf(tmp_path, more)
    found = texts.existing_broker(tmp_path)
    assert found is not None
    assert (found.obstacle or "").count(expected or "") if expected else found.obstacle is None


def test_our_include_says_only_what_is_not_said_and_does_not_count_itself(tmp_path: Path) -> None:
    conf(tmp_path, "set_tcp_nodelay false\n")
    found = texts.existing_broker(tmp_path)
    assert found is not None
    text = texts.include_text(found)
    assert "set_tcp_nodelay" not in text
    assert "max_queued_messages 2000" in text
    (tmp_path / "etc/mosquitto/conf.d/boondock.conf").write_text(text)
    again = texts.existing_broker(tmp_path)
    assert again is not None
    assert texts.include_text(again) == text


def test_users_are_added_and_taken_out_and_the_others_stay() -> None:
    old = "anna:$7$1$a$b\nboondock_controller:$7$old\n"
    ours = "boondock_controller:$7$new\nadmin:$7$x\n"
    text = texts.with_users(old, ours, ["boondock_controller", "admin"])
    assert text == ours + "anna:$7$1$a$b\n"
    assert texts.without_users(text, ["boondock_controller", "admin"]) == "anna:$7$1$a$b\n"


@pytest.mark.parametrize("old", ["", "user anna\ntopic readwrite #\n", "topic read #"])
def test_rights_are_added_once_and_taken_out_whole(old: str) -> None:
    once = texts.with_rights(old, "user boondock_controller\ntopic read x\n")
    twice = texts.with_rights(once, "user boondock_controller\ntopic read y\n")
    assert twice.count("boondock_controller") == 1
    assert "topic read y" in twice
    assert texts.without_rights(twice) == old


UNIT = "boondock-collector@.service"


def allowed(text: str) -> str | None:
    return next(
        (line.partition("=")[2] for line in text.splitlines() if line.startswith("IPAddressAllow")), None
    )


@pytest.mark.parametrize(
    ("host", "found", "expected"),
    [
        ("127.0.0.1", [], None),
        ("localhost", [], None),
        ("::1", [], None),
        ("127.0.1.1", [], None),
        ("192.168.1.9", [], "192.168.1.9"),
        ("fd00::9", [], "fd00::9"),
        ("203.0.113.9", [], "203.0.113.9"),
        # A name may have another address tomorrow, and the name server must be asked.
        ("homeassistant.local", ["192.168.1.9"], PRIVATE),
        ("homeassistant.local", [], PRIVATE),
        ("homeassistant.local", ["fe80::1%eth0"], PRIVATE),
        ("mqtt.example.org", ["8.8.8.8"], "any"),
    ],
)
def test_a_process_may_speak_to_its_broker_alone(host: str, found: list[str], expected: str | None) -> None:
    assert allowed(broker_text(UNIT, {"host": host}, found, users=False)) == expected
    assert is_here(host) is (expected is None)


def test_a_broker_here_without_users_needs_no_drop_in() -> None:
    assert [broker_text(unit, {}, [], users=False) for unit in PROCESSES] == [""] * len(PROCESSES)


def test_each_process_is_the_user_that_the_broker_knows() -> None:
    text = broker_text(UNIT, {}, [], users=True)
    assert "Environment=BOONDOCK_BROKER__USERNAME=boondock_collector_%i" in text
    assert "LoadCredential=broker__password:boondock-collector-%i-password" in text
    assert allowed(text) is None


def test_the_network_comes_in_where_lan_opens_a_port() -> None:
    assert lan_text({}) == lan_text({"listen": []}) == ""
    assert allowed(lan_text({"listen": ["wlan0"]})) == PRIVATE


@pytest.mark.parametrize(
    ("page", "lines"),
    [
        ({}, []),
        ({"listen": ["wlan0"]}, []),
        ({"enabled": True}, []),
        ({"enabled": True, "listen": []}, []),
        ({"enabled": True, "listen": ["wlan0"], "tls": False}, ["IPAddressAllow"]),
        ({"enabled": True, "listen": ["wlan0"]}, ["IPAddressAllow", "LoadCredential"]),
    ],
)
def test_the_page_gets_the_network_and_a_certificate_only_where_it_is_open(
    page: dict[str, object], lines: list[str]
) -> None:
    text = texts.page_text(page, "/x/server.pem")
    assert [line.partition("=")[0] for line in text.splitlines()[2:]] == lines
    assert ("LoadCredential=server.pem:/x/server.pem" in text) is ("LoadCredential" in lines)


def test_the_backup_is_made_when_the_settings_say() -> None:
    assert backup_text({}) == backup_text({"keep": 3}) == ""
    lines = backup_text({"at": "02:10"}).splitlines()
    # The empty one takes back the timer's own.
    assert lines[1:] == ["[Timer]", "OnCalendar=", "OnCalendar=*-*-* 02:10"]


@pytest.mark.parametrize(
    ("path", "writes"),
    [
        ("/media/usb/van.csv", ["/media"]),
        ("/mnt/van.csv", ["/mnt"]),
        ("/run/media/pi/stick/a b.csv", ["/run/media"]),
        ("/srv/logs/van.csv", ["/srv/logs"]),
        ("/mediatheque/van.csv", ["/mediatheque"]),
        ("/home/pi/my logs/van.csv", ["/home/pi/my logs"]),
        ("/van.csv", []),
        ("/srv/%h/van.csv", []),
        ("/srv/../etc/van.csv", []),
        ('/srv/a"b/van.csv', []),
        ("/srv/a\nExecStart=x/van.csv", []),
        ("van.csv", []),
    ],
)
def test_the_forwarder_may_write_where_its_files_are(path: str, writes: list[str]) -> None:
    lines = texts.outputs_text([{"kind": "file", "path": path}]).splitlines()
    opened = [line.partition("=")[2] for line in lines if line.startswith("ReadWritePaths=")]
    assert opened == [f'"-{folder}"' for folder in writes]
    # A disk that is mounted later must not be hidden by a folder that was made for it.
    disk = path.startswith(("/media/", "/mnt/", "/run/media/"))
    assert any(line.startswith("ExecStartPre=") for line in lines) is (bool(writes) and not disk)
    assert ("ProtectHome=read-only" in lines) is path.startswith("/home/")


def test_both_files_of_an_output_count_and_other_tables_are_no_error() -> None:
    text = texts.outputs_text([{"path": "/a/x", "latest": "/b/y"}, {"path": "/a/z"}, {"kind": "webhook"}, 3])
    assert text.count("ReadWritePaths=") == 2
    assert texts.outputs_text(None) == texts.outputs_text({"log": {}}) == ""


def test_a_folder_of_an_output_is_made_once_and_keeps_its_owner(tmp_path: Path) -> None:
    folder = tmp_path / "my logs"
    text = texts.outputs_text([{"path": f"{folder}/van.csv"}])
    (line,) = [line for line in text.splitlines() if line.startswith("ExecStartPre=")]
    # As systemd reads it; the user is not there.
    argv = shlex.split(line.removeprefix("ExecStartPre=-+").replace("$$", "$"))
    argv[2] = argv[2].replace("-o boondock-forwarder", "-m 0751")
    for _ in range(2):
        subprocess.run(argv, check=True)
        assert folder.stat().st_mode & 0o777 == 0o751
        argv[2] = argv[2].replace("0751", "0700")
