"""Power cuts at random points of how every kept file is written: nothing damaged, no promise broken."""

import logging
import random
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import disk, kept
from bench.measure import Goal, goals, page, progress, table
from statistician.records import StoreError

_CUTS = 500
_SEED = 10
_BEHIND = 8


def measure(*, quick: bool, seed: int | None = None, only: Sequence[str] = ()) -> str:
    """Count the faults by file; return the table."""
    cuts = 5 if quick else _CUTS
    seed = _SEED if seed is None else seed
    chosen = [one for one in kept.KEPT if not only or one.name in only]
    # What the product logs of each cut would be the same line a thousand times.
    logging.disable(logging.CRITICAL)
    try:
        found = [(one, *faults(one, cuts, seed)) for one in chosen]
    except disk.UnavailableError as error:
        return f"Not compared: {error}"
    finally:
        logging.disable(logging.NOTSET)
    rows = [
        (one.name, calls, cuts, len(bad), one.promise, bad[0] if bad else "-") for one, calls, bad in found
    ]
    remark = (
        f"Seed {seed}. Each file is written by the product's own code under strace; its system calls are cut"
        " off at random points, half of them shortly behind a rename or a promise. What a disk may then hold"
        " is opened by the same code. Unsynced writes are kept, dropped or torn by sectors of 512 or 4096"
        " bytes, one by one; names reach the disk in order."
    )
    head = ("file", "system calls", "cuts", "faults", "what was promised", "the first fault")
    ours = sum(len(bad) for one, _, bad in found if not one.faulty)
    blind = sum(not bad for one, _, bad in found if one.faulty)
    verdicts = [
        Goal("files damaged, or promises broken", ours, 0),
        Goal("controls without a fault", blind, 0),
    ]
    return page(table(head, rows), remark, goals(verdicts))


def faults(one: kept.Kept, cuts: int, seed: int) -> tuple[int, list[str]]:
    """How many system calls were recorded, and what is wrong after which cut. Raises UnavailableError."""
    progress(f"power-cut: {one.name}, {cuts} cuts")
    with tempfile.TemporaryDirectory(prefix="bench") as name:
        home = Path(name)
        folder, left = home / "kept", home / "left"
        folder.mkdir()
        command = [sys.executable, "-m", "bench.kept", one.name, str(folder)]
        events = disk.record([*command, str(home / "marks")], folder, home / "marks", home / "log")
        (home / "log").unlink()
        dice = random.Random(f"{seed} {one.name}")  # noqa: S311 — the same cuts for the same seed
        points = sorted(_points(events, cuts, dice))
        drive, done, wrong = disk.Disk(), 0, []
        for point in points:
            for event in events[done:point]:
                drive.take(event)
            done = point
            left.mkdir()
            drive.cut(dice, str(folder), left)
            found = _looked_at(one, left, drive.said)
            wrong += [f"cut {point}: {fault.replace(f'{left}/', '')}" for fault in found]
            shutil.rmtree(left)
        return len(events), wrong


def _points(events: list[disk.Event], cuts: int, dice: random.Random) -> Iterator[int]:
    """Return where to cut: anywhere, and as often shortly behind a name that changed or a promise."""
    delicate = [
        at for at, event in enumerate(events, 1) if isinstance(event, disk.Name | disk.Link | disk.Mark)
    ]
    for cut in range(cuts):
        near = min(len(events), dice.choice(delicate) + dice.randrange(_BEHIND))
        yield near if cut % 2 else dice.randrange(len(events) + 1)


def _looked_at(one: kept.Kept, left: Path, said: kept.Said) -> list[str]:
    try:
        return list(one.check(left, said))[:1]
    except (OSError, ValueError, LookupError, sqlite3.Error, StoreError) as error:
        # The file was not opened.
        return [f"{type(error).__name__}: {error}"]
