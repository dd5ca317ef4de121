"""`boondock update`: another version beside this one, watched, and back to this one if it is not well.

An update that was interrupted stands in PENDING; the next start of the house decides about it (--resume).
As long as it stands there each start of the statistician lets watermarks wait (its unit writes HOLD): the
collectors keep what the copy of the database does not have.
"""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from cli.install import System, alone, load, save
from cli.install import status as house
from cli.install.changes import JOURNAL, Journal, Link
from cli.install.plan import HOME, PENDING, SETTINGS, Release, Source, current, tidy, unpacked
from cli.install.texts import STOP, TARGET
from cli.terminal import CommandError
from config.model import Settings

COPY = "/var/lib/boondock-install/before-update"
DATABASE = "/var/lib/boondock-statistician/statistics.db"
HOLD = "/run/boondock-statistician/hold"
# The release that an update comes from decides about it, also after a power cut: the new one may be broken.
FORMER = "/opt/boondock/former"
HEALTHY_WITHIN_S = 90.0
# Well for so long without a break: a process that ends and starts again is not.
STEADY_S = 10.0
_STEP_S = 2.0
_CHUNK = 4 * 1024 * 1024
_RESERVE = 64 * 1024 * 1024


class Update:
    """One update, of `settings` the broker is asked."""

    def __init__(self, system: System, settings: Settings, say: Callable[[str], None]) -> None:
        self._system = system
        self._settings = settings
        self._say = say

    def go(self, source: Path | None, *, resume: bool) -> int:
        """Update from a folder, a clone or an archive; 1 if it went back. Raises CommandError."""
        with alone(self._system):
            return self._go(source, resume=resume)

    def _go(self, source: Path | None, *, resume: bool) -> int:
        pending = load(self._system.at(PENDING))
        if pending is not None:
            self._say("An update was interrupted; deciding about it first.")
            kept = self._resume(Path(pending["from"]), Path(pending["to"]), back=pending["back"])
            if resume or not kept:
                return 0 if resume else 1
        if resume:
            return 0
        if source is None:
            raise CommandError(
                "name the new version: boondock update FOLDER, a clone or an archive (.tar.gz)"
            )
        old = current(self._system)
        if old is None:
            raise CommandError("nothing is installed here: sudo ./scripts/install")
        new = self._prepared(source)
        if new.path == old:
            self._say(f"{old.name} is what runs already.")
            return 0
        Link(self._system.at(FORMER), old).do(Journal(self._system.at(JOURNAL)))
        self._note(old, new.path)
        return 0 if self._tried(old, new.path) else 1

    def _tried(self, old: Path, new: Path) -> bool:
        """Let the new version run and watch it; go back if it is not well. Whether it is kept."""
        for number in (signal.SIGHUP, signal.SIGTERM):
            # A terminal that goes away must not leave a house that stands still.
            signal.signal(number, signal.SIG_IGN)
        try:
            self._switch(new)
            self._say(f"Watching it for up to {HEALTHY_WITHIN_S:.0f} s.")
            why = self._watch()
        except (CommandError, OSError, KeyboardInterrupt) as error:
            why = str(error) or "interrupted"
        if why is not None:
            self._back(old, new, why)
            return False
        self._end()
        gone = tidy(self._system, old, new)
        self._say(f"{new.name} is well, and stays. {old.name} is kept beside it.")
        if gone:
            self._say(f"Removed: {', '.join(gone)}.")
        return True

    def _prepared(self, source: Path) -> Release:
        """Prepare the new release, whole, with settings that are right for it; the house is not touched."""
        work = self._system.at(HOME / "unpacked")
        shutil.rmtree(work, ignore_errors=True)
        try:
            folder = unpacked(self._system, source.resolve(), work)
            path = self._system.at(HOME / "releases") / Source(folder).name()
            release = Release(self._system, folder, path)
            self._say(f"New: {path.name}. Preparing it while the house goes on.")
            if not release.done():
                release.do(Journal(self._system.at(JOURNAL)))
        finally:
            shutil.rmtree(work, ignore_errors=True)
        try:
            self._system.run(str(release.python), "-I", "-m", "cli", "check", "--config", SETTINGS)
        except CommandError as error:
            raise CommandError(
                f"the new version does not take the settings; nothing was changed\n{error}\n"
                f"next: correct {SETTINGS} as its CHANGELOG.md says, then update again"
            ) from error
        return release

    def _switch(self, new: Path) -> None:
        """Start the new version; once it is `current` the database is its own, and the copy stays."""
        self._say("Stopping the house.")
        self._system.run(*STOP)
        if current(self._system) != new:
            self._keep_database()
            Link(self._system.at(HOME / "current"), new).do(Journal(self._system.at(JOURNAL)))
        self._apply(Release(self._system, new, new))
        self._start()

    def _apply(self, release: Release) -> None:
        """Units, users and the broker's files as this release has them."""
        self._system.run(str(release.python), "-I", "-m", "cli.install", "apply")

    def _start(self) -> None:
        self._say("Starting the house.")
        # So that restarts are counted from here.
        self._system.succeeds("systemctl", "reset-failed", "boondock*")
        self._system.run("systemctl", "start", TARGET)

    def _end(self) -> None:
        """Forget the update. In this order: without PENDING the copy is never put back again."""
        self._system.at(PENDING).unlink(missing_ok=True)
        os.sync()
        self._system.at(HOLD).unlink(missing_ok=True)
        shutil.rmtree(self._system.at(COPY), ignore_errors=True)

    def _watch(self) -> str | None:
        """Why the house is not well; None once it is, for a while."""
        began = time.monotonic()
        well_since: float | None = None
        restarts = ""
        why = "it was not watched"
        while time.monotonic() - began < HEALTHY_WITHIN_S + STEADY_S:
            state = house.look(self._settings)
            now, seen = time.monotonic(), json.dumps([one.text for one in state.needed])
            if not state.well:
                why, well_since = "; ".join(state.faults) or "services are not online", None
            elif well_since is None or seen != restarts:
                well_since = now
            elif now - well_since >= STEADY_S:
                return None
            if well_since is None and now - began >= HEALTHY_WITHIN_S:
                return why
            restarts = seen
            time.sleep(_STEP_S)
        return f"it does not stay well for {STEADY_S:.0f} s: {why}"

    def _note(self, old: Path, new: Path, *, back: bool = False) -> None:
        save(self._system.at(PENDING), {"from": str(old), "to": str(new), "back": back})

    def _resume(self, old: Path, new: Path, *, back: bool) -> bool:
        """Decide about an update that a power cut ended; whether the new version is kept."""
        if back:
            self._back(old, new, "")
            return False
        if current(self._system) == new:
            return self._tried(old, new)
        self._say(f"It had not begun: {old.name} goes on.")
        self._end()
        self._start()
        return False

    def _back(self, old: Path, new: Path, why: str) -> None:
        """Let the old version run on the copy of its database; what came since the collectors still have."""
        self._note(old, new, back=True)
        if why:
            self._say(f"The new version is not well: {why}")
        self._say(f"Going back to {old.name}.")
        self._system.succeeds(*STOP)
        self._restore_database()
        Link(self._system.at(HOME / "current"), old).do(Journal(self._system.at(JOURNAL)))
        try:
            self._apply(Release(self._system, old, old))
        except CommandError as error:
            # The units of before may do; a house that stands still is worse.
            self._say(f"Its units could not be written again: {error}")
        self._start()
        self._end()
        shutil.rmtree(new, ignore_errors=True)
        self._say(
            f"{old.name} runs again; no reading was lost. The new version's log: journalctl -u 'boondock-*'"
        )

    def _keep_database(self) -> None:
        """Copy the database of the house that stands still. Raises CommandError if there is no room."""
        copy = self._system.at(COPY)
        shutil.rmtree(copy, ignore_errors=True)
        database = self._system.at(DATABASE)
        files = [one for one in (database, Path(f"{database}-wal")) if one.exists()]
        size = sum(one.stat().st_size for one in files)
        copy.mkdir(mode=0o700, parents=True)
        free = shutil.disk_usage(copy).free
        if free < size + _RESERVE:
            raise CommandError(
                f"a copy of the database is {size / 1e6:.0f} MB, {free / 1e6:.0f} MB are free; make room"
            )
        for file in files:
            self._copy(file, copy / file.name)
        (copy / "whole").touch()
        os.sync()

    def _copy(self, source: Path, target: Path) -> None:
        """Copy a file with its rights; on a large one it tells how far it is."""
        size, done, told = source.stat().st_size, 0, time.monotonic()
        with source.open("rb") as reading, target.open("wb") as writing:
            while piece := reading.read(_CHUNK):
                writing.write(piece)
                done += len(piece)
                if time.monotonic() - told >= 2:
                    told = time.monotonic()
                    self._say(f"  copying the database: {done / 1e6:.0f} of {size / 1e6:.0f} MB")
            writing.flush()
            os.fsync(writing.fileno())
        shutil.copystat(source, target)
        found = source.stat()
        os.chown(target, found.st_uid, found.st_gid)

    def _restore_database(self) -> None:
        """Put the copy back, if there is a whole one: else the database was not touched yet."""
        copy = self._system.at(COPY)
        if not (copy / "whole").exists():
            return
        database = self._system.at(DATABASE)
        # All parts first: until the copy stands whole beside it the database is touched nowhere.
        files = sorted((one for one in copy.glob(f"{database.name}*")), reverse=True)
        for file in files:
            self._copy(file, database.with_name(f"{file.name}.part"))
        os.sync()
        for name in ("-wal", "-shm"):
            Path(f"{database}{name}").unlink(missing_ok=True)
        # The database last. The copy stays until the end: a power cut begins this anew.
        for file in files:
            database.with_name(f"{file.name}.part").replace(database.with_name(file.name))
        os.sync()
