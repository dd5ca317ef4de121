"""[page]: which port and address follow from what is said, and what cannot be."""

from pathlib import Path

import pytest

from config import load
from config.addresses import page_address
from config.mistakes import ConfigError
from config.model import Page


@pytest.mark.parametrize(
    ("table", "address", "encrypted"),
    [
        (Page(enabled=True), "http://127.0.0.1:8080/", False),
        (Page(enabled=True, port=80), "http://127.0.0.1/", False),
        (Page(enabled=True, listen=("wlan0",)), "https://boondock.local/", True),
        (Page(enabled=True, listen=("wlan0",), port=8443), "https://boondock.local:8443/", True),
        (Page(enabled=True, listen=("wlan0",), tls=False), "http://boondock.local/", False),
        (Page(enabled=True, listen=("wlan0",), tls=False, port=443), "http://boondock.local:443/", False),
        (Page(enabled=True, listen=("wlan0",), name="van.example.org"), "https://van.example.org/", True),
    ],
)
def test_the_address_is_what_a_person_types(table: Page, address: str, *, encrypted: bool) -> None:
    assert (page_address(table), table.encrypted) == (address, encrypted)


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("[page]\nlisten = ['https://van']", "page.listen", "is neither"),
        ("[page]\nname = 'https://van.local'", "page.name", 'did you mean "van.local"'),
        ("[page]\nname = '192.168.1.5'", "page.name", "is no name"),
        ("[page]\nport = 70000", "page.port", "65535"),
        ("[page]\nenabled = true\nport = 1883", "page.port", "broker.port"),
        ("[page]\nenabled = true\nwebsockets = 1883", "page.websockets", "broker.port"),
        ("[page]\nenabled = true\nwebsockets = 8080", "page.port", "page.websockets"),
        ("[lan]\nlisten = ['eth0']\n[page]\nenabled = true\nport = 8883", "page.port", "lan.port"),
        (
            "[lan]\nlisten = ['eth0']\nwebsockets = 8083\n[page]\nenabled = true",
            "page.websockets",
            "lan.websockets",
        ),
        ("[broker]\nhost = '192.168.1.9'\n[page]\nenabled = true", "page.enabled", "beside the broker"),
    ],
)
def test_what_cannot_be_is_named(tmp_path: Path, text: str, key: str, words: str) -> None:
    file = tmp_path / "boondock.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as told:
        load.load(file)
    assert f"{key}:" in str(told.value)
    assert words in str(told.value)


def test_what_is_switched_off_disturbs_nobody(tmp_path: Path) -> None:
    file = tmp_path / "boondock.toml"
    file.write_text("[broker]\nport = 8083\n[page]\nport = 8083\n")
    assert load.load(file).page.enabled is False
