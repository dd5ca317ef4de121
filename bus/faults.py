"""The one place where an error is caught that nobody expected: what failed is told, and all else goes on."""

import logging
from collections.abc import Callable

log = logging.getLogger(__name__)


def fault_in(work: Callable[[], object], *expected: type[Exception]) -> Exception | None:
    """Do a piece of work; returns the error that nobody expected, None if there was none.

    Raises the `expected` errors.
    """
    try:
        work()
    except expected:
        raise
    except Exception as error:
        # A process that ends would stop all its other work, too; whoever asked says what became of it.
        log.debug("an error that nobody expected", exc_info=error)
        return error
    return None
