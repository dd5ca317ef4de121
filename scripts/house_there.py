"""A broker that was running before: whether it lets us in, and whether a house is there already."""

import json
import secrets
import time
from collections.abc import Callable

from bus.topics import STATISTICIAN, Topics
from cli.asking import Asker
from cli.terminal import CommandError
from scripts import broker
from scripts.places import CannotStartError
from scripts.programs import SERVICES

_ANSWERS_WITHIN = 10.0
_LOOK_EVERY = 0.2


def look(chosen: broker.Chosen, give_up: Callable[[], bool]) -> None:
    """Log in as the processes will. Raises CannotStartError; also if a house of this base is there."""
    topics = Topics(chosen.broker.base)
    mine = topics.response("run", secrets.token_hex(8))
    try:
        with Asker(chosen.broker, mine, service=None) as asker:
            online = [name for name in SERVICES if asker.is_online(name)]
            # A broker that keeps what is retained may say so of a house that is long gone: it must answer.
            if STATISTICIAN not in online or not _answers(asker, topics, mine, give_up):
                return
    except CommandError as error:
        raise CannotStartError(str(error)) from error
    raise CannotStartError(
        f"a house with the base topic {topics.base} is on the broker at {chosen.place} already "
        f"({', '.join(online)}): give this one another [broker] base, or another broker "
        "by [broker] host or --port, or stop that one"
    )


def _answers(asker: Asker, topics: Topics, mine: str, give_up: Callable[[], bool]) -> bool:
    """Ask the statistician for what costs least; tell whether it says anything."""
    asker.publish(topics.request(STATISTICIAN, "info"), json.dumps({"id": 1, "reply_to": mine}).encode())
    end = time.monotonic() + _ANSWERS_WITHIN
    while asker.last(mine) is None:
        if give_up() or time.monotonic() >= end:
            return False
        try:
            asker.wait("no answer", patience=_LOOK_EVERY)
        except CommandError:
            # Not yet.
            continue
    return True
