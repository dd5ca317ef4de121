"""The database's disk on the real process: not there at the start, deleted while in use, used by two."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.broker import Mosquitto
from tests.house import ROOT
from tests.journeys.test_poison import Patient


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path).start()
    yield broker
    broker.stop()


@pytest.fixture
def begin(tmp_path: Path, broker: Mosquitto) -> Iterator[Callable[[], Patient]]:
    """Start the statistician in a folder of its own."""
    running: list[Patient] = []

    def begun() -> Patient:
        (tmp_path / "house").mkdir(exist_ok=True)
        running.append(Patient(tmp_path / "house", broker))
        return running[-1]

    yield begun
    for patient in running:
        patient.process.kill()
        patient.process.wait()
        patient.client.close()


def test_a_second_statistician_on_one_file_ends_with_a_sentence_and_the_first_goes_on(
    begin: Callable[[], Patient],
) -> None:
    first = begin()
    # Of another house, which has its own state folder; of this one it would not come so far.
    command = [*first._command, "elsewhere"]
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    # The service manager does not start it again.
    assert second.returncode == 78
    assert f"another statistician is running on {first.folder / 's.db'}" in second.stderr
    first.say(1.0)
    first.until_stored({1.0})
    assert first.deaths == 0
    first.kill()
    first.say(2.0)
    first.until_stored({1.0, 2.0})
    assert first.end() == 0


def test_what_is_deleted_while_it_runs_stands_there_again_within_a_minute(
    begin: Callable[[], Patient],
) -> None:
    patient = begin()
    patient.say(1.0)
    patient.until_stored({1.0})
    for name in ("s.db", "s.db-wal", "s.db-shm"):
        (patient.folder / name).unlink()
    patient.say(2.0)
    assert "was deleted while it was in use" in patient.problem("file")
    patient.until_stored({1.0, 2.0})
    patient.kill()
    assert {1.0, 2.0} <= patient.stored()
    patient.say(3.0)
    patient.until_stored({1.0, 2.0, 3.0})
    assert patient.end() == 0


def test_a_disk_that_comes_late_is_waited_for_and_nothing_is_lost(
    begin: Callable[[], Patient], tmp_path: Path
) -> None:
    folder = tmp_path / "house"
    folder.mkdir()
    # No folder can be made where a file stands.
    (folder / "s.db").mkdir()
    patient = begin()
    assert "cannot be opened" in patient.problem("database")
    for number in range(30):
        patient.say(float(number))
    (folder / "s.db").rmdir()
    patient.until((folder / "s.db").is_file)
    patient.until_stored({float(number) for number in range(30)})
    assert patient.deaths == 0, patient.log()[-3000:]
    assert patient.end() == 0


def test_a_read_only_disk_at_the_start_is_told_and_used_once_it_can_be_written(
    begin: Callable[[], Patient], tmp_path: Path
) -> None:
    folder = tmp_path / "house"
    folder.mkdir()
    mount = shutil.which("mount") or "mount"
    if subprocess.run([mount, "-t", "tmpfs", "-o", "ro", "x", folder], check=False).returncode:
        pytest.skip("only root may mount a disk")
    try:
        patient = begin()
        assert "cannot be opened" in patient.problem("database")
        patient.say(1.0)
        subprocess.run([mount, "-o", "remount,rw", folder], check=True)
        patient.until((folder / "s.db").exists)
        patient.until_stored({1.0})
        assert patient.deaths == 0, patient.log()[-3000:]
        assert patient.end() == 0
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
