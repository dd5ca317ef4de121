"""Files of the database that are deleted, replaced, emptied or locked while it is in use: nothing is lost."""

import resource
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from bus.state_files import LockedError, hold
from statistician.records import StoreError
from statistician.store import Store, engine
from statistician.store.engine import DamagedError
from tests.statistician.conftest import SYNCHRONOUS
from tests.statistician.rig import MINUTE, Rig


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path / "data" / "s.db")
    rig.about("van", volt="measurement")
    for number in range(20):
        rig.reading("van", {"volt": float(number)})
        rig.commit()
    return rig


def on_disk(path: Path) -> list[float]:
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        sql = "SELECT value FROM states WHERE entity > 0 ORDER BY ts"
        return [value for (value,) in database.execute(sql)]


def delete(rig: Rig) -> None:
    rig.path.unlink()


def delete_all(rig: Rig) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{rig.path}{suffix}").unlink()


def delete_log(rig: Rig) -> None:
    Path(f"{rig.path}-wal").unlink()


def delete_shared(rig: Rig) -> None:
    Path(f"{rig.path}-shm").unlink()


def delete_both(rig: Rig) -> None:
    delete_log(rig)
    delete_shared(rig)


def delete_folder(rig: Rig) -> None:
    shutil.rmtree(rig.path.parent)


def move_folder(rig: Rig) -> None:
    rig.path.parent.rename(rig.path.parent.with_name("elsewhere"))


def another(rig: Rig) -> Path:
    """A database of another day."""
    other = Rig(rig.path.with_name("other.db"))
    other.reading("van", {"volt": 99.0})
    other.commit()
    other.close()
    return other.path


def replace(rig: Rig) -> None:
    another(rig).replace(rig.path)


def replace_all(rig: Rig) -> None:
    path = another(rig)
    delete_all(rig)
    path.replace(rig.path)
    # It is in use, and has a log of its own.
    database = sqlite3.connect(rig.path, isolation_level=None)
    database.execute("INSERT INTO meta VALUES ('theirs', 'x')")
    log, hidden = Path(f"{rig.path}-wal"), Path(f"{rig.path}-wal.new")
    log.replace(hidden)
    database.close()
    hidden.replace(log)


def replace_with_nonsense(rig: Rig) -> None:
    rig.path.unlink()
    rig.path.write_bytes(b"no database")


WAYS = (
    *(delete, delete_all, delete_log, delete_shared, delete_both, delete_folder, move_folder),
    *(replace, replace_all, replace_with_nonsense),
)


@pytest.mark.parametrize("way", WAYS)
def test_all_that_was_confirmed_stands_there_again_within_a_minute(
    rig: Rig, way: Callable[[Rig], None]
) -> None:
    way(rig)
    rig.reading("van", {"volt": 20.0})
    rig.commit()
    for _ in range(9):
        rig.commit()
    assert "while it was in use: all that it held stands there again" in rig.journal.problems["file"]
    assert on_disk(rig.path) == [float(number) for number in range(21)]
    rig.reading("van", {"volt": 21.0})
    rig.commit()
    # As a kill: nothing is written at the end.
    assert on_disk(rig.path)[-1] == 21.0
    rig.restart()
    rig.reading("van", {"volt": 22.0})
    rig.commit()
    assert on_disk(rig.path)[-2:] == [21.0, 22.0]
    assert "damage" not in rig.journal.problems
    rig.close()
    left = {one.name for one in rig.path.parent.iterdir()} - {"s.db.reserve", "other.db.reserve"}
    assert {one for one in left if ".replaced" not in one} == {"s.db"}


def test_the_file_that_took_the_place_is_kept(rig: Rig) -> None:
    replace(rig)
    for _ in range(4):
        rig.commit()
    kept = rig.path.with_name("s.db.replaced")
    assert str(kept) in rig.journal.problems["file"]
    assert on_disk(kept) == [99.0]
    replace(rig)
    for _ in range(4):
        rig.commit()
    assert on_disk(rig.path.with_name("s.db.replaced.2")) == [99.0]


def test_what_was_emptied_is_damaged_and_the_newest_copy_takes_its_place(rig: Rig) -> None:
    backup = rig.store.backup(rig.now)
    backup.start()
    assert backup.wait(20)
    rig.store.engine.all("PRAGMA wal_checkpoint(TRUNCATE)")
    rig.path.write_bytes(b"")
    rig.now += MINUTE
    with pytest.raises(DamagedError):
        rig.commit()
    rig.store.engine.database.close()
    rig.start()
    assert "took its place" in rig.journal.problems["damage"]
    assert on_disk(rig.path) == [float(number) for number in range(20)]


def test_what_cannot_be_written_back_yet_is_told_and_tried_again(rig: Rig) -> None:
    shutil.rmtree(rig.path.parent)
    rig.path.parent.write_text("in the way")
    for _ in range(6):
        mid = rig.reading("van", {"volt": 30.0})
        rig.commit()
    # What is written now would be gone with the process.
    assert mid not in rig.notes.acknowledged
    assert "was deleted, and cannot be put back" in rig.journal.problems["database"]
    rig.path.parent.unlink()
    for _ in range(12):
        rig.commit()
    assert "database" not in rig.journal.problems
    assert on_disk(rig.path)[-1] == 30.0


def test_a_second_process_on_one_file_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The first may be about to end: that is waited for.
    monkeypatch.setattr("statistician.store.hold", partial(hold, patience=0.0))
    first = Store(tmp_path / "s.db", alone=True)
    with pytest.raises(LockedError, match=r"another statistician is running on .*s\.db; .*Stop it first"):
        Store(tmp_path / "s.db", alone=True)
    first.close()
    Store(tmp_path / "s.db", alone=True).close()


def test_a_database_that_could_not_be_opened_is_not_locked_by_the_try(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.mkdir()
    with pytest.raises(StoreError) as kept:
        Store(path, alone=True)
    path.rmdir()
    Store(path, alone=True).close()
    assert kept.traceback, "what was raised is still there, with all that it was raised in"


@pytest.fixture
def refusing() -> Iterator[Callable[[bool], None]]:
    """The disk takes no byte more while it is told so."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def refuse(yes: bool) -> None:  # noqa: FBT001 — a switch
        resource.setrlimit(resource.RLIMIT_FSIZE, (0 if yes else soft, hard))

    yield refuse
    refuse(False)  # noqa: FBT003 — a switch


def test_a_disk_that_takes_nothing_is_told_and_used_again(rig: Rig, refusing: Callable[[bool], None]) -> None:
    refusing(True)  # noqa: FBT003 — a switch
    mid = rig.reading("van", {"volt": 20.0})
    for _ in range(6):
        rig.commit()
    told = rig.journal.problems.get("database")
    assert mid not in rig.notes.acknowledged
    refusing(False)  # noqa: FBT003 — a switch
    assert told
    for _ in range(12):
        rig.commit()
    assert "database" not in rig.journal.problems
    assert mid in rig.notes.acknowledged
    assert on_disk(rig.path)[-1] == 20.0
    rig.close()


def test_a_commit_is_on_the_disk_before_it_is_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(engine._PRAGMAS, "synchronous", SYNCHRONOUS)
    store = Store(tmp_path / "s.db")
    assert store.engine.one("PRAGMA synchronous") == (2,)
    store.close()
