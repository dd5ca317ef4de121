"""`python -m statistician replay FILE`: JSON lines of states in, rows out, as the service makes them."""

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from bus.messages import to_iso
from statistician.publish import PARTS, aggregate
from statistician.records import StoreError
from statistician.replay.lines import BadLineError, parse
from statistician.replay.player import Player
from statistician.store import Store

_QUIET_S = 2.0
_EVERY_S = 1.0
_FOR_EVER = 2**62
EXIT_BAD_INPUT = 2


class Printed(msgspec.Struct):
    """A row as it is printed."""

    entity: str
    period: str
    start: str
    mean: float | None
    min: float | None
    max: float | None
    state: float | None
    sum: float | None
    sum_increase: float | None
    sum_decrease: float | None
    last_reset: str | None
    coverage: float | None


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    options = _options().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s: %(message)s")
    try:
        if options.database is not None:
            return _run(options.file, options.database, options.keep_days, durable=True)
        with tempfile.TemporaryDirectory(prefix="boondock-replay-") as folder:
            return _run(options.file, Path(folder) / "replay.db", options.keep_days, durable=False)
    except BrokenPipeError:
        # Whoever read our rows has seen enough; Python must not complain of it when it ends.
        sys.stdout = None
        return 0
    except (BadLineError, StoreError, OSError) as error:
        sys.stderr.write(f"replay: {error}\n")
        return EXIT_BAD_INPUT


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m statistician replay",
        description="Make statistics of recorded states, as the service would have made them.",
    )
    parser.add_argument("file", help="JSON lines, one state each; - for standard input")
    parser.add_argument(
        "--database", type=Path, help="a new file to keep the result in; else it is thrown away"
    )
    parser.add_argument(
        "--keep-days",
        type=int,
        default=10,
        help="states later than this change no rows any more, and a longer stop is not made up (default 10)",
    )
    return parser


def _run(file: str, database: Path, keep_days: int, *, durable: bool) -> int:
    if database.exists() and database.stat().st_size:
        raise OSError(f"{database} is there already; name a new file")

    def opened() -> Store:
        store = Store(database)
        if not durable:
            # Nobody will ask for it after a power cut.
            store.engine.run("PRAGMA synchronous = off")
        return store

    player = Player(opened, keep_days)
    try:
        for line in parse(_lines(file)):
            player.play(line)
        player.finish()
    finally:
        player.close()
    store = opened()
    try:
        for row in printed(store):
            sys.stdout.buffer.write(msgspec.json.encode(row) + b"\n")
        sys.stdout.buffer.flush()
    finally:
        store.close()
    return 0


def _lines(file: str) -> Iterator[bytes]:
    if file == "-":
        yield from told(sys.stdin.buffer, None, sys.stderr.write)
        return
    with Path(file).open("rb") as opened:
        yield from told(opened, Path(file).stat().st_size or 1, sys.stderr.write)


def told(
    lines: Iterable[bytes],
    size: int | None,
    write: Callable[[str], object],
    timer: Callable[[], float] = time.monotonic,
) -> Iterator[bytes]:
    """Yield the lines, while `write` is told how it goes, once a second if it takes longer than two."""
    began = timer()
    said = began + _QUIET_S - _EVERY_S
    done = 0
    for count, line in enumerate(lines, 1):
        yield line
        done += len(line)
        now = timer()
        if now - said >= _EVERY_S:
            said = now
            share = "" if size is None else f", {100 * done // size} %"
            write(f"replay: {count} lines, {count / (now - began):.0f} lines/s{share}\n")


def printed(store: Store) -> Iterator[Printed]:
    """Every row, sorted by entity, period and start."""
    entities = sorted(store.entities(), key=lambda record: f"{record.device}.{record.entity}")
    for record in entities:
        for table, period in PARTS.items():
            for row in store.statistics.between(table, record.id, 0, _FOR_EVER):
                fields = msgspec.structs.astuple(aggregate(row.row))
                yield Printed(f"{record.device}.{record.entity}", period, to_iso(row.start), *fields)
