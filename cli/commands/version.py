"""`boondock version`."""

from bus.health import VERSION
from cli.house import Json


def command(*, as_json: Json = False) -> None:
    """Print the version of Boondock."""
    if as_json:
        from cli.output import show  # noqa: PLC0415 — the plain version starts fast

        show({"version": VERSION}, (), as_json=True)
        return
    print(f"boondock {VERSION}")
