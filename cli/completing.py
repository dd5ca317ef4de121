"""What the Tab key offers besides commands and options: names that boondock.toml holds, as it is written."""

from collections.abc import Iterable

from cli.house import House


def devices(incomplete: str) -> list[str]:
    """Devices that begin so."""
    return _beginning(incomplete, House().tables("device"))


def outputs(incomplete: str) -> list[str]:
    """Relays that begin so, as relay.pump."""
    return _beginning(incomplete, [f"relay.{name}" for name in House().tables("relay")])


def shown(incomplete: str) -> list[str]:
    """What a table of values may show: devices, and the relays together."""
    return _beginning(
        incomplete, [*House().tables("device"), *(["relay"] if House().tables("relay") else [])]
    )


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
