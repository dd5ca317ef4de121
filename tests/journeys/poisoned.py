"""The real statistician with a fault put in: what it does with a message is what the message says."""

import faulthandler
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from bus.clock import house_clock
from bus.events import Message
from bus.process import set_up_logging
from config.model import Broker, Settings, Statistician, Storage
from statistician.__main__ import serve
from statistician.arithmetic.live import LiveEntity
from statistician.compile import Compiler
from statistician.ingest import Ingest
from statistician.records import Batch, Event
from statistician.store import Store

COMMIT_S = 0.05


def _fail() -> None:
    raise TypeError("a fault that was put in")


def _crash() -> None:
    # As a fault in a library in C does.
    faulthandler._sigsegv()  # type: ignore[attr-defined]  # for such tests


def _kill() -> None:
    # As the kernel does when memory is short.
    os.kill(os.getpid(), signal.SIGKILL)


HOW: dict[str, Callable[[], None]] = {"fail": _fail, "crash": _crash, "kill": _kill}


def _do(word: object, where: str) -> None:
    if isinstance(word, str) and word.startswith(f"{where} "):
        HOW[word.removeprefix(f"{where} ")]()


def put_in() -> None:
    """Put the faults in: `take fail` fails when it is taken, `commit crash` crashes when it is committed."""
    take, commit, feed = Ingest.take, Store.commit, Compiler.take

    def take_it(self: Ingest, message: Message) -> None:
        for how in HOW:
            if b"take " + how.encode() in message.payload:
                _do(f"take {how}", "take")
        take(self, message)

    def commit_it(self: Store, batch: Batch) -> None:
        for state in batch.states:
            _do(state.value, "commit")
        commit(self, batch)

    def feed_it(self: Compiler, live: LiveEntity, event: Event) -> object:
        _do(getattr(event, "value", None), "feed")
        return feed(self, live, event)

    Ingest.take, Store.commit, Compiler.take = take_it, commit_it, feed_it  # type: ignore[method-assign,assignment]  # that is the fault


def main(folder: Path, port: int, state: str = "state") -> int:
    """Serve on the folder's database, as the house whose state folder has that name."""
    set_up_logging()
    put_in()
    settings = Settings(
        broker=Broker(port=port),
        storage=Storage(runtime=str(folder / "run"), state=str(folder / state)),
        statistician=Statistician(database=str(folder / "s.db"), commit_interval=COMMIT_S),
    )
    return serve(settings, house_clock(settings))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]))
