"""What is kept of publications over restarts, and the small files it is kept in."""

import os
import stat
from pathlib import Path

import pytest

from bus import state_files
from bus.retained import RetainedTopics


def test_it_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "state" / "x-published.json"
    manifest = RetainedTopics(path)
    manifest.add("mppt", {"power"})
    manifest.add("mppt", {"voltage"})
    manifest.add("shunt", {"soc"})
    manifest.drop("shunt")
    manifest.drop("mppt", {"power"})
    manifest.file.close()
    again = RetainedTopics(path)
    assert (again.devices, again.entities("mppt"), again.entities("shunt")) == (["mppt"], {"voltage"}, set())


def test_the_card_is_written_only_when_something_changed(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    manifest = RetainedTopics(path)
    manifest.file.close()
    assert not path.exists()
    manifest.add("mppt", {"power"})
    manifest.file.close()
    before = path.stat().st_ino
    manifest.add("mppt", {"power"})
    manifest.file.close()
    assert path.stat().st_ino == before


def test_what_is_wanted_is_said_in_its_order_and_what_is_cleared_apart() -> None:
    topics = RetainedTopics()
    for topic, payload, qos in (
        ("a", b"1", 1),
        ("b", b"2", 0),
        ("c", b"", 1),
        ("d", b"4", 1),
        ("a", b"5", 1),
    ):
        topics.want(topic, payload, qos)
    topics.release("d")
    topics.release("never")
    assert topics.said() == [("a", b"5", 1), ("b", b"2", 0)]
    assert topics.cleared() == ["c"]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"a": 1}', b"\xff", b'{"a": ["b"]'])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    manifest = RetainedTopics(path)
    assert manifest.devices == []
    manifest.add("mppt", {"power"})
    manifest.file.close()
    assert RetainedTopics(path).devices == ["mppt"]


def test_a_disk_that_refuses_is_a_problem_until_it_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = RetainedTopics(tmp_path / "x.json")
    manifest.add("mppt", {"power"})
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", _full)
        manifest.file.close()
    assert "No space left" in str(manifest.file.problem)
    manifest.file.close()
    assert manifest.file.problem is None
    assert RetainedTopics(tmp_path / "x.json").devices == ["mppt"]


def _full(_descriptor: int) -> None:
    raise OSError(28, "No space left on device")


def test_what_could_not_be_written_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.json"
    state_files.write(path, b"old")
    monkeypatch.setattr(os, "fsync", _full)
    with pytest.raises(OSError, match="No space"):
        state_files.write(path, b"new, and longer")
    assert path.read_bytes() == b"old"


def test_a_file_is_private_whatever_stood_there_before(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    (tmp_path / ".x.json.new").write_bytes(b"left behind")
    (tmp_path / ".x.json.new").chmod(0o644)
    state_files.write(path, b"secret")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes() == b"secret"
    assert state_files.set_aside(path).read_bytes() == b"secret"
    assert not path.exists()
