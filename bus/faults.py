"""The one place where an error is caught that nobody expected: what failed is told, and all else goes on."""

import logging
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


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


def spares(
    spoiled: Callable[[T, Exception], None],
) -> Callable[[Callable[Concatenate[T, P], R]], Callable[Concatenate[T, P], R | None]]:
    """Decorate a function whose failure concerns only its first argument: `spoiled` gets both."""

    def decorate(function: Callable[Concatenate[T, P], R]) -> Callable[Concatenate[T, P], R | None]:
        def wrapper(subject: T, /, *args: P.args, **kwargs: P.kwargs) -> R | None:
            try:
                return function(subject, *args, **kwargs)
            except Exception as error:
                log.exception("one thing failed, all else goes on")
                spoiled(subject, error)
                return None

        return wrapper

    return decorate


def why_aside(error: Exception | None) -> str:
    """Return why a message was set aside, in words."""
    return "the process ended twice while it handled this message" if error is None else repr(error)
