"""A release is the same files under the same name, and nothing of the user's."""

from pathlib import Path

import pytest

from cli.install import System
from cli.install.plan import Release, Source, current, tidy, unpacked
from cli.terminal import CommandError
from tests.house import ROOT


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    for name in ("scripts/setup", "cli/__init__.py", "systemd/boondock.target", "docs/x.md", "tests/x.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "pyproject.toml").write_text('[project]\nname = "boondock"\nversion = "1.2.3"\n')
    (folder / "scripts/setup").chmod(0o755)
    return folder


def test_the_name_says_version_and_content(source: Path) -> None:
    before = Source(source).name()
    assert before.startswith("1.2.3-")
    for name in ("boondock.toml", ".env", "tests/y.py", ".venv/x", ".git/x", "cli/__pycache__/x.pyc"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text("a secret, or rubbish")
    assert Source(source).name() == before, "what is not copied does not count"
    (source / "scripts/setup").chmod(0o644)
    assert Source(source).name() != before
    (source / "scripts/setup").chmod(0o755)
    (source / "cli/new.py").write_text("x")
    assert Source(source).name() != before


def test_the_copy_has_no_secrets_and_all_may_read_it(source: Path, tmp_path: Path) -> None:
    (source / "boondock.toml").write_text("key")
    (source / "docs/x.md").chmod(0o600)
    release = Release(System(tmp_path), source, tmp_path / "opt/releases/x")
    release._copy()
    names = sorted(str(one.relative_to(release.path)) for one in release.path.rglob("*") if one.is_file())
    assert names == [
        "cli/__init__.py",
        "docs/x.md",
        "pyproject.toml",
        "scripts/setup",
        "systemd/boondock.target",
    ]
    assert (release.path / "docs/x.md").stat().st_mode & 0o777 == 0o644
    assert (release.path / "scripts/setup").stat().st_mode & 0o777 == 0o755
    assert not release.done(), "it has no Python environment yet"


def test_this_very_folder_is_one() -> None:
    files = {str(one) for one in Source(ROOT).files()}
    assert {"scripts/setup", "config/example.toml", "mosquitto/users.conf", "requirements.lock"} <= files
    assert not [one for one in files if one.startswith(("tests/", "bench/", ".git/", ".venv"))]


def test_what_is_no_boondock_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="is no folder of Boondock"):
        Source(tmp_path).name()
    with pytest.raises(CommandError, match="does not exist"):
        unpacked(System(tmp_path), tmp_path / "x.tar.gz", tmp_path / "work")


def test_an_archive_is_unpacked(source: Path, tmp_path: Path) -> None:
    System().run("tar", "-czf", str(tmp_path / "x.tar.gz"), "-C", str(tmp_path), "clone")
    folder = unpacked(System(tmp_path), tmp_path / "x.tar.gz", tmp_path / "work")
    assert Source(folder).name() == Source(source).name()


def test_no_room_is_told_before_anything_is_copied(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.install.plan._ROOM", 10**18)
    release = Release(System(tmp_path), source, tmp_path / "opt/releases/x")
    with pytest.raises(CommandError, match="MB are free"):
        release._copy()
    assert not release.path.exists()


def test_two_releases_are_kept(tmp_path: Path) -> None:
    system = System(tmp_path)
    releases = tmp_path / "opt/boondock/releases"
    for name in ("1", "2", "3", ".4.part"):
        (releases / name).mkdir(parents=True)
    assert current(system) is None
    (tmp_path / "opt/boondock/current").symlink_to(releases / "3")
    assert current(system) == releases / "3"
    assert tidy(system, releases / "2", releases / "3") == ["1"]
    assert sorted(one.name for one in releases.iterdir()) == ["2", "3"]
