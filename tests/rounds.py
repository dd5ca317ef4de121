"""How often a test repeats what it does: fully with --all, else often enough to see each kind once."""

# Set by conftest.py before the test files are read.
whole = False


def rounds(quick: int, every: int) -> int:
    """Return the number of repetitions: `every` with --all, else `quick`."""
    return every if whole else quick
