"""Looks after the database: removes what is old, copies it, makes room on a full disk, tries again; when."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger

from bus import state_files
from bus.messages import to_iso
from config.model import Statistician as Settings
from statistician.arithmetic import DAY, HOUR, MINUTES_5, horizon, hour_of
from statistician.entities import Part, Shared
from statistician.records import StoreError
from statistician.retention import Allowance, Keep, Retention, Shrink
from statistician.store.backup import Backup, kept, taken_at
from statistician.store.engine import DamagedError, FullError, free

log = logging.getLogger(__name__)

# A copy this young is still of today; a schedule may ask twice.
_FRESH_MS = 20 * HOUR
# Each copy writes the whole database to the card: as often as clients like would wear it out.
_ASKED_EVERY_MS = 2 * MINUTES_5
# What a full disk takes at a time, so that no more goes than must.
_AT_ONCE_MS = 6 * HOUR
# What ordinary work leaves of a disk, bytes.
_LEAST = 1024 * 1024
_PAGE = 4096
# How often the files are looked for, seconds.
_LOOK_EVERY_S = 20.0
# How often the report of the nightly backup of everything is read (s), and how old a good one may be (ms).
_READ_EVERY_S = 60.0
_OLD = 3 * DAY


class Upkeep(Part):
    """Work of the night in short pieces; times are ms. `keep` knows how far back states reach.

    Beside the `anchor` of the clock the backup of everything says how it went.
    """

    def __init__(self, shared: Shared, settings: Settings, anchor: Path | None) -> None:
        super().__init__(shared)
        self._settings = settings
        self.keep = Keep(shared.store, settings.keep_days)
        self._allowance = Allowance(shared.store, shared.clock.monotonic)
        self._retention: Retention | None = None
        self._shrink: Shrink | None = None
        self._emergency: Retention | None = None
        # The disk is or was full: there is no reserve.
        self._strained = not shared.store.engine.reserve.hold()
        self._backup: Backup | None = None
        self._wanted = False
        self._looked_at = shared.clock.monotonic()
        self._asked_at: int | None = None
        self._tell: list[Callable[[str | None, str | None], None]] = []
        self._reports = None if anchor is None else anchor.parent
        self._read_at = float("-inf")

    @property
    def busy(self) -> bool:
        """Whether there is a piece of work to do now."""
        running = self._backup is not None and not self._backup.done
        return self._retention is not None or self._shrink is not None or (self._wanted and not running)

    def purge(self, now: int, open_period: int | None) -> None:
        """Begin to remove what is too old; what is still to be compiled stays."""
        if self._retention is None:
            self.keep.refresh()
            trusted = self._clock.quality() == "ok"
            allowed = self._allowance.take(now, trusted=trusted, days=self._settings.keep_days)
            self._safely(self._allowance.close)
            if allowed < now - HOUR:
                log.info("purging as if it were %s: the clock is far ahead of that", to_iso(allowed))
            self._retention = self._plan(allowed, open_period)

    def _plan(self, now: int, open_period: int | None) -> Retention:
        latest = hour_of(now if open_period is None else min(now, open_period))
        others = {number: min(before, latest) for number, before in self.keep.others(now).items()}
        return Retention(self._store, self._entities, min(self.keep.before(now), latest), others=others)

    def back_up(self, now: int) -> None:
        """Make a copy when the purge is through, unless there is one of today."""
        newest = next((taken_at(copy) for copy in kept(self._store.backups, self._store.path)), None)
        if newest is None or not 0 <= now - newest < _FRESH_MS:
            self._wanted = True

    def ask_backup(self, tell: Callable[[str | None, str | None], None], now: int) -> int | None:
        """Make a copy for a client; `tell` gets its path or, second, what went wrong.

        One that is on its way already will serve. Else, ten minutes after the last that was asked for; before
        that nothing is done, and the time from which it is possible is returned.
        """
        if not self._wanted and self._backup is None:
            # A clock that went back refuses nothing.
            if self._asked_at is not None and 0 <= now - self._asked_at < _ASKED_EVERY_MS:
                return self._asked_at + _ASKED_EVERY_MS
            self._asked_at = now
            self._wanted = True
        self._tell.append(tell)
        return None

    def step(self) -> None:
        """Do a piece of work. Raises StoreError; the work goes on with the next piece."""
        if self._retention is not None:
            self._purge(self._retention)
        elif self._shrink is not None:
            if not self._shrink.step():
                self._shrink = None
        elif self._wanted and self._backup is None:
            self._wanted = False
            self._backup = self._store.backup(self._clock.wall())
            self._backup.start()

    def _purge(self, retention: Retention) -> None:
        try:
            if retention.step():
                return
        except StoreError:
            # It cannot go on from where it broke.
            self._retention = retention.again()
            raise
        self._retention = None
        self._shrink = Shrink(self._store)
        self._journal.count("purged_rows", retention.removed)
        log.info("purged %d rows, %d ms at a time at most", retention.removed, retention.longest * 1000)

    def look(self) -> None:
        """Take notice of a copy that ended, and of the time that passed."""
        self._safely(self._allowance.look)
        self._read_report()
        backup = self._backup
        if backup is None or not backup.done:
            return
        self._backup = None
        now = self._clock.wall()
        if backup.made is not None:
            self._journal.solved("backup")
            self._journal.count("backups")
            self._journal.fact("backup", f"{backup.made.name} of {to_iso(now)}")
            log.info("backed up as %s", backup.made)
        elif self._journal.problem("backup", backup.error or "it ended without a word", now):
            log.error("no backup: %s", backup.error)
        waiting, self._tell = self._tell, []
        for tell in waiting:
            tell(None if backup.made is None else str(backup.made), backup.error)

    def _read_report(self) -> None:
        """Tell in health how the last backup of everything went, and that it is old."""
        now = self._clock.monotonic()
        if self._reports is None or now - self._read_at < _READ_EVERY_S:
            return
        self._read_at = now
        report = state_files.read_backup_report(self._reports)
        if report is None:
            return
        at, problem = self._clock.wall(), report.problem
        good = report.good_at
        if good is not None:
            self._journal.fact("backup_of_everything", f"{report.file} of {to_iso(good)}")
        if problem is None and good is not None and self._clock.quality() == "ok" and at - good > _OLD:
            problem = f"the last is {(at - good) // DAY} days old: is boondock-backup.timer on?"
        if problem is None:
            self._journal.solved("backup_of_everything")
        elif self._journal.problem("backup_of_everything", problem, at):
            log.error("backup of everything: %s", problem)

    def relieve(self, now: int, open_period: int | None) -> bool:
        """Make some room on a full disk; whether it is worth trying again. First what costs least."""
        self._strained = True
        released = self._store.engine.reserve.release()
        try:
            self._store.checkpoint()
            return self._drop_copies() or self._purge_before_due(now, open_period) or released
        except StoreError as error:
            self._emergency = None
            log.warning("no room could be made: %s", error)
            return False

    def _drop_copies(self) -> bool:
        folder, path = self._store.backups, self._store.path
        spare = kept(folder, path)[1:]
        if not spare or folder.stat().st_dev != path.stat().st_dev:
            return False
        for copy in spare:
            copy.unlink()
        log.warning("the disk is full: removed %d of the copies", len(spare))
        return True

    def _purge_before_due(self, now: int, open_period: int | None) -> bool:
        if self._emergency is None:
            floor = horizon(now, min(self._settings.keep_days, self._settings.keep_days_at_least))
            floor = min(floor, hour_of(now if open_period is None else open_period))
            oldest = self._store.oldest()
            if oldest is None or oldest >= floor:
                return False
            before = min(floor, hour_of(oldest) + _AT_ONCE_MS)
            self._emergency = Retention(self._store, self._entities, before)
            self.keep.note_removed(before)
            told = f"it was full: states and 5-minute rows before {to_iso(before)} were removed"
            self._journal.fact("disk", told)
            log.warning("%s: %s", self._store.path, told)
        if not self._emergency.step():
            self._journal.count("purged_rows", self._emergency.removed)
            self._emergency = None
        self._store.checkpoint()
        return True

    def room(self) -> str:
        """Say where the database is and how much room there is."""
        return f"{self._store.path}, {free(self._store.path.parent)} bytes are free"

    def check_room(self) -> None:
        """Without a reserve, stop before the last of the room is gone: a purge needs it. Raises FullError."""
        if self._strained and free(self._store.path.parent) < _LEAST:
            spare, _ = self._store.spare_pages()
            if spare * _PAGE < _LEAST:
                raise FullError("the disk is full")

    def keep_in_place(self) -> None:
        """Three times a minute: put files back that somebody moved or deleted.

        Raises StoreError as long as that cannot be: what is written would be gone with the process.
        """
        now = self._clock.monotonic()
        if now - self._looked_at < _LOOK_EVERY_S:
            return
        found = self._store.engine.misplaced()
        if found is None:
            self._looked_at = now
            return
        if self._backup is not None:
            self._backup.stop()
        aside = self._store.put_back(found)
        self._looked_at = now
        kept = (
            "" if aside is None else f"; the other file is {aside}: to use that, stop the statistician first"
        )
        text = (
            f"{self._store.path} {found.value} while it was in use: all that it held stands there again{kept}"
        )
        log.error("%s", text)
        self._journal.problem("file", text, self._clock.wall())

    def _safely(self, work: Callable[[], None]) -> None:
        try:
            work()
        except StoreError as error:
            # The next purge goes less far, that is all.
            log.warning("how long the statistician has run is not kept: %s", error)

    def settled(self) -> None:
        """Something was written: hold the reserve again if it fits."""
        if self._strained:
            # The log is written over from its start once it is in the file.
            self._store.checkpoint()
            self._strained = not self._store.engine.reserve.hold()

    def close(self) -> None:
        """Abandon a copy that is being made."""
        self._safely(self._allowance.close)
        if self._backup is not None:
            self._backup.stop()


_LONGEST_S = 60.0


class Retry(Part):
    """Does work on the database. Times are monotonic seconds."""

    def __init__(self, shared: Shared, upkeep: Upkeep) -> None:
        super().__init__(shared)
        self._upkeep = upkeep
        # Between two tries.
        self._pause = 0.0
        self._again_at = float("-inf")

    def left(self, now: float) -> float:
        """Seconds until the database is asked again; 0 if it may be asked now."""
        return max(0.0, self._again_at - now)

    def reset(self) -> None:
        """Reset the pause: ask the database at once."""
        self._again_at = float("-inf")

    def do(self, work: Callable[[], None], now: int, open_period: int | None) -> bool:
        """Do a piece of work at wall `now` (ms, 0: unknown); False: it is still due. Raises DamagedError."""
        if self.left(self._clock.monotonic()):
            return False
        try:
            work()
        except DamagedError:
            # Only a start can set it aside and put a copy in its place; outboxes send again.
            log.critical("the database is damaged")
            raise
        except StoreError as error:
            full = isinstance(error, FullError)
            if not (full and now and self._upkeep.relieve(now, open_period)):
                self._wait(error, full=full)
            return False
        if self._pause:
            self._pause = 0.0
            self._journal.solved("database")
            log.info("the database works again")
        return True

    def _wait(self, error: StoreError, *, full: bool) -> None:
        self._pause = min(max(1.0, self._pause * 2), _LONGEST_S)
        self._again_at = self._clock.monotonic() + self._pause
        text = f"{error}: {self._upkeep.room()}; nothing is acknowledged" if full else str(error)
        if self._journal.problem("database", text, self._clock.wall()):
            log.error("the database refuses: %s; trying again", text)


@dataclass(frozen=True, slots=True)
class Compile:
    """A 5-minute period ended 10 s ago."""


@dataclass(frozen=True, slots=True)
class Purge:
    """It is night: remove what is too old."""


@dataclass(frozen=True, slots=True)
class BackUp:
    """It is night, and the purge has begun: make a copy after it."""


# A van's night is often dark: what was due while the machine was off is made up soon after a start.
_SOON = timedelta(minutes=10)


class Schedule:
    """Emits Compile at second 10 of every fifth minute, Purge at 04:12 local time and BackUp at 04:13.

    Both also come ten minutes after the start.
    """

    def __init__(self, emit: Callable[[object], None]) -> None:
        self._scheduler = BackgroundScheduler(timezone=UTC)
        # A job that the machine slept through is made up once.
        common = {"coalesce": True, "misfire_grace_time": None, "max_instances": 1}
        five = CronTrigger(minute="*/5", second=10, timezone=UTC)
        self._scheduler.add_job(lambda: emit(Compile()), five, id="compile", **common)
        # Without a zone the trigger takes the machine's.
        self._scheduler.add_job(lambda: emit(Purge()), CronTrigger(hour=4, minute=12), id="purge", **common)
        self._scheduler.add_job(lambda: emit(BackUp()), CronTrigger(hour=4, minute=13), id="backup", **common)
        soon = datetime.now(UTC) + _SOON
        for number, event in enumerate((Purge(), BackUp())):
            at = DateTrigger(soon + timedelta(minutes=number), timezone=UTC)
            self._scheduler.add_job(emit, at, args=[event], id=f"soon{number}", **common)

    def start(self) -> None:
        """Start the scheduler's thread."""
        self._scheduler.start()

    def stop(self) -> None:
        """End the scheduler's thread."""
        self._scheduler.shutdown(wait=False)
