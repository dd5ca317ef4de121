"""A chart in the terminal, drawn by plotext."""

import shutil
from collections.abc import Sequence

from cli.errors import CommandError

_LABELS = 6
_LINES = 18


def width() -> int:
    """Columns of the terminal, 80 where there is none."""
    return shutil.get_terminal_size().columns


def chart(title: str, labels: Sequence[str], curves: Sequence[Sequence[float | None]], *, bars: bool) -> str:
    """One picture of curves that share their labels; None is a gap. Raises CommandError."""
    try:
        import plotext  # noqa: PLC0415 — only for who wants a picture
    except ImportError as error:
        raise CommandError(f"plotext cannot be loaded ({error}); next: leave --plot out") from error
    figure = plotext.figure
    figure.clear()
    figure.plot_size(width(), _LINES)
    figure.title(title)
    for curve in curves:
        for first, values in _pieces(curve):
            signal = figure.signal(list(range(first, first + len(values))), values)
            figure.draw(signal.filly() if bars else signal.lines())
    step = max(1, -(-len(labels) // _LABELS))
    places = list(range(0, len(labels), step))
    figure.ruler("x").ticks(places, [labels[place] for place in places])
    return str(figure.build().string(colorless=True))


def _pieces(curve: Sequence[float | None]) -> list[tuple[int, list[float]]]:
    """The stretches without a gap, each with the place where it begins."""
    found: list[tuple[int, list[float]]] = []
    before: float | None = None
    for place, value in enumerate(curve):
        if value is not None:
            if before is None:
                found.append((place, []))
            found[-1][1].append(value)
        before = value
    return found
