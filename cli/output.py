"""How commands print: lines for people, or JSON."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec


def show(data: object, lines: Iterable[str], *, as_json: bool) -> None:
    """Print `data` as one line of JSON, or else the lines."""
    if as_json:
        print(msgspec.json.encode(data).decode())
        return
    for line in lines:
        print(line)


def told(lines: Iterable[str], *, as_json: bool) -> None:
    """Print each line as soon as it comes, or all of them as one object of JSON, `done`."""
    done = []
    for line in lines:
        done.append(line)
        if not as_json:
            print(line, flush=True)
    if as_json:
        show({"done": done}, (), as_json=True)


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows as lines: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        yield "  ".join((f"  {first.ljust(widths[0])}", *cells)).rstrip()


def plain(text: str) -> str:
    """Text from a device or the air, which cannot paint the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
