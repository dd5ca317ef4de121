"""What `boondock doctor` makes of what it sees: card, disk, clock, services."""

import os
from pathlib import Path

import pytest

from bus.topics import Topics
from cli import doctor

TOPICS = Topics()
# Documentation/block/stat.rst: the seventh field is sectors of 512 bytes written.
STAT = "  100 0 800 10 200 0 {sectors} 30 0 40 50 0 0 0 0 0 0\n"


def machine(folder: Path, *, sectors: int, uptime: float) -> Path:
    """A /sys and a /proc whose disk is the one of `folder`."""
    device = folder.stat().st_dev
    block = folder / "sys/dev/block" / f"{os.major(device)}:{os.minor(device)}"
    block.mkdir(parents=True)
    (block / "stat").write_text(STAT.format(sectors=sectors))
    (folder / "proc").mkdir()
    (folder / "proc/uptime").write_text(f"{uptime} 1.0\n")
    return folder


@pytest.mark.parametrize(
    ("sectors", "uptime", "ok", "text"),
    [
        # 2 000 000 sectors are 1024 MB.
        (2_000_000, 86_400.0, False, "1024 MB written a day since the boot; the budget is 1000"),
        (2_000_000, 172_800.0, True, "512 MB written a day since the boot; the budget is 1000"),
        (2_000_000, 3599.0, True, "1024 MB written since the boot; too early to say how much a day"),
        (100_000, 3600.0, False, "1229 MB written a day since the boot; the budget is 1000"),
    ],
)
def test_the_card_is_held_against_the_owners_budget(
    tmp_path: Path, sectors: int, uptime: float, *, ok: bool, text: str
) -> None:
    (found,) = doctor.card(tmp_path, 1000.0, machine(tmp_path, sectors=sectors, uptime=uptime))
    assert (found.ok, found.text, bool(found.mend)) == (ok, text, not ok)


def test_a_folder_on_no_disk_is_no_failure(tmp_path: Path) -> None:
    (found,) = doctor.card(tmp_path, 1000.0, tmp_path)
    assert (found.ok, "no disk" in found.text) == (True, True)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    (found,) = doctor.disk("database", tmp_path / "none")
    assert (found.ok, str(tmp_path / "none") in found.text, bool(found.mend)) == (False, True, True)
    (found,) = doctor.disk("database", tmp_path)
    assert " MB free of " in found.text


def test_the_clock_is_told_by_the_machine_and_by_the_readings() -> None:
    assert doctor.clock(synced=True).ok
    assert (doctor.clock(synced=False).ok, "timedatectl" in doctor.clock(synced=False).mend) == (False, True)
    said = {
        TOPICS.state("mppt"): b'{"ts":"2026-11-20T06:00:00Z","clock":"estimated","voltage":13}',
        TOPICS.state("shunt"): b'{"ts":"2026-11-20T06:00:00Z","clock":"ok","voltage":13}',
        TOPICS.state("strange"): b"[]",
    }
    (found,) = doctor.clocks(TOPICS, said)
    assert (found.ok, found.text) == (False, "not trusted for mppt")


def test_services_are_told_with_their_problems_in_words() -> None:
    said = {
        TOPICS.service("controller"): b"online",
        TOPICS.health("controller"): b'{"problems":{"pins":"cannot be used"}}',
        TOPICS.service("collector_ble"): b"offline",
        TOPICS.service("statistician"): b"online",
        TOPICS.health("statistician"): b'{"problems":{}}',
    }
    found = {(one.subject, one.text, one.ok) for one in doctor.services(TOPICS, said)}
    assert found == {
        ("controller", "pins: cannot be used", False),
        ("collector_ble", "is offline", False),
        ("statistician", "is well", True),
    }
    assert [one.ok for one in doctor.services(TOPICS, {})] == [False]
