"""How commands print: lines for people, or JSON."""

from collections.abc import Iterable

import msgspec


def show(data: object, lines: Iterable[str], *, as_json: bool) -> None:
    """Print `data` as one line of JSON, or else the lines."""
    if as_json:
        print(msgspec.json.encode(data).decode())
        return
    for line in lines:
        print(line)
