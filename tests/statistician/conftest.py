"""What holds for all tests of the statistician."""

import pytest

from statistician.store import engine

# How the service itself opens its database.
SYNCHRONOUS = engine._PRAGMAS["synchronous"]


@pytest.fixture(scope="session", autouse=True)
def commits_do_not_wait_for_the_disk() -> None:
    """No power is cut here; thousands of commits on a busy machine would take minutes."""
    engine._PRAGMAS["synchronous"] = "off"
