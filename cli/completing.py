"""What the Tab key offers besides commands and options: names that boondock.toml holds, as it is written."""

from cli.house import House

# typer leaves out those that begin otherwise.


def devices() -> list[str]:
    """The devices."""
    return list(House().tables("device"))


def outputs() -> list[str]:
    """The relays, as relay.pump."""
    return [f"relay.{name}" for name in House().tables("relay")]


def shown() -> list[str]:
    """What a table of values may show: devices, and the relays together."""
    return [*devices(), *(["relay"] if outputs() else [])]
