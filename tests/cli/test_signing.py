"""`boondock key` and `boondock verify`, as their users see them."""

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli import signing
from cli.house import Running, write_running
from cli.terminal import CommandError
from forwarder.tokens import digest_of
from tests.cli.test_check import boondock
from tests.forwarder.signed_rig import hour, public_pem, signed, soc, thumbprint

Mutation = Callable[[list[bytes]], list[bytes]]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A house whose forwarder signed ten hours of two entities into `log`."""
    folder = tmp_path_factory.mktemp("house")
    (folder / "boondock.toml").write_text(f"[storage]\nstate = '{folder / 'state'}'\n")
    signed(folder, *([hour(number), hour(number, "mppt.power")] for number in range(10)))
    return folder


def run(house: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return boondock(words[0], "--config", str(house / "boondock.toml"), *words[1:], folder=house)


def test_the_key_is_shown_in_public_and_alike_each_time(house: Path) -> None:
    pem = public_pem(house / "state")
    done = run(house, "key")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{pem.decode()}thumbprint {thumbprint(pem)}\n"
    said = json.loads(run(house, "key", "--json").stdout)
    assert said["pem"] == pem.decode()
    assert said["thumbprint"] == said["jwk"]["kid"] == thumbprint(pem)
    assert set(said["jwk"]) == {"kty", "crv", "x", "y", "kid"}


def test_a_key_is_made_where_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "boondock.toml").write_text(f"[storage]\nstate = '{tmp_path / 'new' / 'state'}'\n")
    shown = run(tmp_path, "key").stdout
    key = tmp_path / "new" / "state" / "signing-key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert run(tmp_path, "key").stdout == shown
    key.write_text("nothing")
    done = run(tmp_path, "key")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"boondock key: {key} cannot be read as a key")
    assert done.stderr.count("\n") == 1


def test_whole_data_is_good_and_says_whose_it_is(house: Path) -> None:
    name = thumbprint(public_pem(house / "state"))
    last = digest_of((house / "log").read_bytes().splitlines()[-1])
    done = run(house, "verify", "log")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "good: 20 hourly rows of 2 entities from 2026-11-21T12:00:00.000Z to 2026-11-21T21:00:00.000Z,"
        f" signed by {name}\n"
        f"ends with token 10, hash {last}: lines cut off after it leave no trace\n"
    )
    said = json.loads(run(house, "verify", "--json", "log").stdout)
    assert said == {
        "good": True,
        "thumbprint": name,
        "counts": {"hour": 20},
        "entities": ["mppt.power", "smartshunt.soc"],
        "start": "2026-11-21T12:00:00.000Z",
        "end": "2026-11-21T21:00:00.000Z",
        "first": 1,
        "last": 10,
        "hash": last,
    }


def test_whoever_has_the_public_key_can_check(house: Path, tmp_path: Path) -> None:
    shutil.copy(house / "log", tmp_path / "log")
    file = tmp_path / "key"
    for shown in (run(house, "key").stdout.partition("thumbprint ")[0], run(house, "key", "--json").stdout):
        file.write_text(shown)
        done = boondock("verify", "--key", "key", "log", folder=tmp_path)
        assert done.stdout.startswith("good: 20 hourly rows"), done.stderr
    other = tmp_path / "other"
    other.mkdir()
    signed(other, [soc(0)])
    file.write_bytes(public_pem(other / "state"))
    done = boondock("verify", "--key", "key", "log", folder=tmp_path)
    assert done.returncode == 1
    assert "boondock verify: log: line 1 is wrong: its header names another key" in done.stderr
    file.write_text("no key")
    done = boondock("verify", "--key", "key", "log", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("boondock verify: key cannot be read as a key (")
    file.unlink()
    done = boondock("verify", "--key", "key", "log", folder=tmp_path)
    assert done.stderr.startswith("boondock verify: there is no key key; next: --key FILE")


def test_a_check_makes_no_key(house: Path, tmp_path: Path) -> None:
    (tmp_path / "boondock.toml").write_text(f"[storage]\nstate = '{tmp_path / 'state'}'\n")
    done = run(tmp_path, "verify", str(house / "log"))
    assert done.returncode == 1
    assert "signing-key.pem; next: --key FILE" in done.stderr
    assert not (tmp_path / "state").exists()


def test_a_library_that_is_missing_is_named(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "joserfc", None)
    for name in ("forwarder.tokens", "forwarder.chain"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    for command in (signing.key, lambda **options: signing.verify([house / "log"], **options)):
        with pytest.raises(CommandError, match=r"joserfc is not installed; .*requirements-signed\.lock"):
            command(config=house / "boondock.toml")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda lines: lines[:4] + lines[5:], "line 5 is wrong: it is token 6: token 5 is missing before it"),
        (lambda lines: [*lines[:3], *lines[2:]], "line 4 is wrong: it is token 3, after token 3: "),
        (lambda lines: lines[1:], "line 1 is wrong: it is token 2: token 1 is missing before it"),
        (lambda lines: [*lines[:2], lines[2].replace(b".", b".A", 1), *lines[3:]], "line 3 is wrong: "),
        (
            lambda lines: [*lines[:9], lines[9][:-7]],
            "line 10 is wrong: this is no signed token, or a part of one",
        ),
        (lambda lines: [*lines[:3], b"", *lines[3:]], "line 4 is wrong: this is no signed token"),
        (lambda _: [b"\x00\xff\x00" * 1000], "line 1 is wrong: this is no signed token"),
        (lambda _: [], "there is no token in "),
    ],
)
def test_the_first_wrong_line_is_named(house: Path, tmp_path: Path, content: Mutation, said: str) -> None:
    lines = (house / "log").read_bytes().splitlines()
    file = tmp_path / "log"
    file.write_bytes(b"".join(line + b"\n" for line in content(lines)))
    done = run(house, "verify", str(file))
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_files_that_were_moved_away_are_one_chain(house: Path, tmp_path: Path) -> None:
    lines = (house / "log").read_bytes().splitlines(keepends=True)
    (tmp_path / "old").write_bytes(b"".join(lines[:4]))
    (tmp_path / "new").write_bytes(b"".join(lines[4:]))
    old, new = str(tmp_path / "old"), str(tmp_path / "new")
    assert run(house, "verify", old, new).stdout.startswith("good: 20 hourly rows")
    assert "new: line 1 is wrong: it is token 5" in run(house, "verify", new).stderr
    part = run(house, "verify", "--part", new).stdout
    assert part.startswith("good: 12 hourly rows")
    assert "\nbegins with token 5: what was before is not in it\n" in part
    assert run(house, "verify", new, old).returncode == 1
    # After a restart the token that may be missing is the first of the new file, too.
    (tmp_path / "new").write_bytes(b"".join(lines[3:]))
    assert run(house, "verify", old, new).stdout.startswith("good: 20 hourly rows")
    assert "old: line 1 is wrong: it is token 1, after token 4" in run(house, "verify", old, old).stderr


def test_a_published_hash_shows_that_the_end_was_cut_off(house: Path, tmp_path: Path) -> None:
    lines = (house / "log").read_bytes().splitlines()
    published = digest_of(lines[7])
    (tmp_path / "cut").write_bytes(b"\n".join(lines[:7]))
    assert run(house, "verify", "--published", published, "log").returncode == 0
    done = run(house, "verify", "--published", published, str(tmp_path / "cut"))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"none has the hash {published}" in done.stderr


def test_a_file_that_is_not_there_is_told(house: Path) -> None:
    done = run(house, "verify", "nothing")
    assert done.returncode == 1
    assert done.stderr == "boondock verify: No such file or directory: nothing\n"


def test_a_house_that_runs_here_has_its_key_where_it_keeps_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    running = Running(config="", own=False, host="", port=1, base="", logs="", state=str(tmp_path / "kept"))
    monkeypatch.setattr("cli.house.runs", lambda: [running])
    signing.key()
    assert (tmp_path / "kept" / "signing-key.pem").exists()
    assert "PUBLIC KEY" in capsys.readouterr().out
    write_running(tmp_path, running)
    assert str(tmp_path / "kept") in (tmp_path / "running.json").read_text()


def test_an_installed_house_has_its_key_where_its_forwarder_keeps_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, state = tmp_path / "boondock.toml", tmp_path / "boondock-forwarder"
    file.touch()
    monkeypatch.setattr("cli.house.INSTALLED", file)
    monkeypatch.setattr("cli.house.runs", list)
    monkeypatch.setattr(signing, "STATE", state)
    with pytest.raises(
        CommandError, match=r"signs nothing yet; next: an .* of kind signed, then sudo boondock"
    ):
        signing.key(config=file)
    state.mkdir()
    if os.geteuid() == 0:
        os.chown(state, 4711, 4712)
    signing.key(config=file)
    made = (state / "signing-key.pem").stat()
    assert (made.st_uid, made.st_gid) == (state.stat().st_uid, state.stat().st_gid)
    assert stat.S_IMODE(made.st_mode) == 0o600
    assert "PUBLIC KEY" in capsys.readouterr().out
