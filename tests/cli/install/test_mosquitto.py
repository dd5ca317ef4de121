"""A broker that was here before: read as Mosquitto reads it, added to, and left as it was."""

from pathlib import Path

import pytest

from cli.install import mosquitto

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
    assert mosquitto.read(tmp_path) is None


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
    found = mosquitto.read(tmp_path)
    assert found is not None
    assert (found.port, found.asks_passwords) == (port, passwords)


@pytest.mark.parametrize(
    ("more", "expected"),
    [("per_listener_settings true\n", "each listener"), ("plugin /x.so\n", "plugin"), ("", None)],
)
def test_where_users_cannot_be_added(tmp_path: Path, more: str, expected: str | None) -> None:
    conf(tmp_path, more)
    found = mosquitto.read(tmp_path)
    assert found is not None
    assert (found.obstacle or "").count(expected or "") if expected else found.obstacle is None


def test_our_include_says_only_what_is_not_said_and_does_not_count_itself(tmp_path: Path) -> None:
    conf(tmp_path, "set_tcp_nodelay false\n")
    found = mosquitto.read(tmp_path)
    assert found is not None
    text = mosquitto.include_text(found)
    assert "set_tcp_nodelay" not in text
    assert "max_queued_messages 2000" in text
    (tmp_path / "etc/mosquitto/conf.d/boondock.conf").write_text(text)
    again = mosquitto.read(tmp_path)
    assert again is not None
    assert mosquitto.include_text(again) == text


def test_users_are_added_and_taken_out_and_the_others_stay() -> None:
    old = "anna:$7$1$a$b\nboondock_controller:$7$old\n"
    ours = "boondock_controller:$7$new\nadmin:$7$x\n"
    text = mosquitto.with_users(old, ours, ["boondock_controller", "admin"])
    assert text == ours + "anna:$7$1$a$b\n"
    assert mosquitto.without_users(text, ["boondock_controller", "admin"]) == "anna:$7$1$a$b\n"


@pytest.mark.parametrize("old", ["", "user anna\ntopic readwrite #\n", "topic read #"])
def test_rights_are_added_once_and_taken_out_whole(old: str) -> None:
    once = mosquitto.with_rights(old, "user boondock_controller\ntopic read x\n")
    twice = mosquitto.with_rights(once, "user boondock_controller\ntopic read y\n")
    assert twice.count("boondock_controller") == 1
    assert "topic read y" in twice
    assert mosquitto.without_rights(twice) == old
