"""How often a test repeats what it does: fully with --all, else often enough to see each kind once."""

from collections.abc import Container, Iterable, Sequence

import pytest

# Set by conftest.py before the test files are read.
whole = False


def rounds(quick: int, every: int) -> int:
    """Return the number of repetitions: `every` with --all, else `quick`."""
    return every if whole else quick


def some(every: Iterable[object], quick: Container[object]) -> list[object]:
    """Return parameters of which those that are not `quick` run with --all only."""
    return [one if one in quick else pytest.param(one, marks=pytest.mark.long) for one in every]


def pairs(ones: Sequence[object], others: Sequence[object]) -> list[object]:
    """Return pairs of parameters: each with the first of the others, and with --all every pair."""
    return [
        pytest.param(one, other, marks=[] if one == ones[0] or other == others[0] else pytest.mark.long)
        for one in ones
        for other in others
    ]
