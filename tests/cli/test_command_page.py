"""docs/command.md is what the commands' own help says, and every command has what all promise."""

import re
from pathlib import Path

import pytest

from cli.app import COMMANDS, one
from tests.cli.command_page import PAGE, page
from tests.cli.test_check import ROOT, boondock


def test_the_page_is_the_commands_help() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "next: python -m tests.cli.command_page"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_prints_json_and_has_help(name: str) -> None:
    options = {option for parameter in one(name).params for option in parameter.opts}
    assert "--json" in options
    assert one(name).help


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_takes_a_user_takes_the_place_of_the_broker_too(name: str) -> None:
    options = {option for parameter in one(name).params for option in parameter.opts}
    asked = {"--host", "--broker-port", "--user", "--password-file"}
    assert options & asked in (set(), asked)


def test_every_line_of_readme_and_docs_names_a_command_that_there_is() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    named = {
        name
        for file in pages
        for name in re.findall(r"^(?:sudo |\S*/)?boondock ([a-z]+)", file.read_text(), re.MULTILINE)
    }
    assert named >= {"watch", "export", "broker"}
    assert named <= set(COMMANDS)


def test_the_completion_of_a_shell_is_there() -> None:
    done = boondock("--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert "bash" in done.stdout + done.stderr
    told = boondock(_BOONDOCK_COMPLETE="complete_bash", COMP_WORDS="boondock hi", COMP_CWORD="1")
    assert told.stdout.split() == ["history"]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("read m", ["mppt"]),
        ("read ", ["mppt", "shunt"]),
        ("watch re", ["relay"]),
        ("set re", ["relay.pump"]),
        ("rename s", ["shunt"]),
        ("replace sh", ["shunt"]),
        ("configure p", ["phone", "page"]),
        ("scan s", ["serial"]),
        ("configure --d", ["--dry-run"]),
    ],
)
def test_names_are_completed_too(tmp_path: Path, words: str, offered: list[str]) -> None:
    (tmp_path / "boondock.toml").write_text(TOML)
    assert _completed(tmp_path, words) == offered


@pytest.mark.parametrize("content", [b"[device.mppt\n", b"device = 7\n", b"\xff\xfe\0", None])
def test_a_file_that_cannot_be_read_offers_nothing(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "boondock.toml").write_bytes(content)
    assert _completed(tmp_path, "read m") == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_options_of_every_command_are_completed(tmp_path: Path, name: str) -> None:
    assert "--json" in _completed(tmp_path, f"{name} --js")


TOML = """[device.mppt]
kind = 7
[device.shunt]
[relay.pump]
"""


def _completed(folder: Path, words: str) -> list[str]:
    said = boondock(
        _BOONDOCK_COMPLETE="complete_bash",
        COMP_WORDS=f"boondock {words}",
        COMP_CWORD=str(words.count(" ") + 1),
        BOONDOCK_CONFIG=str(folder / "boondock.toml"),
    )
    assert said.stderr == ""
    return said.stdout.split()
