"""Drop-ins: the units follow [broker]."""

import pytest

from cli.install.units import PRIVATE, PROCESSES, backup_text, broker_text, lan_text
from config.addresses import is_here

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
    assert [broker_text(unit, {}, [], users=False) for unit in PROCESSES] == ["", "", ""]


def test_each_process_is_the_user_that_the_broker_knows() -> None:
    text = broker_text(UNIT, {}, [], users=True)
    assert "Environment=BOONDOCK_BROKER__USERNAME=boondock_collector_%i" in text
    assert "LoadCredential=broker__password:boondock-collector-%i-password" in text
    assert allowed(text) is None


def test_the_network_comes_in_where_lan_opens_a_port() -> None:
    assert lan_text({}) == lan_text({"listen": []}) == ""
    assert allowed(lan_text({"listen": ["wlan0"]})) == PRIVATE


def test_the_backup_is_made_when_the_settings_say() -> None:
    assert backup_text({}) == backup_text({"keep": 3}) == ""
    lines = backup_text({"at": "02:10"}).splitlines()
    # The empty one takes back the timer's own.
    assert lines[1:] == ["[Timer]", "OnCalendar=", "OnCalendar=*-*-* 02:10"]
