"""The mistakes of a newcomer in boondock.toml: file in, sentences out, side by side in newcomer.txt."""

import re
from pathlib import Path

import pytest

from collector.checking import find_doubts, find_mistakes
from config import load
from tests.config.conftest import Machine

TABLE = Path(__file__).with_name("newcomer.txt").read_text(encoding="utf-8")
ROWS = [
    (title, file, sentences.rstrip("\n"))
    for title, file, sentences in re.findall(
        r"^=== (.*)\n((?:.*\n)*?)---\n((?:.*\n)*?)(?:\n|\Z)", TABLE, re.MULTILINE
    )
]
KEY = "0123456789abcdef0123456789abcdef"
SHUNT = f'[device.shunt]\nkind = "victron_battery_monitor"\naddress = "C0:11:22:33:44:55"\nkey = "{KEY}"\n'


def _said(machine: Machine) -> str:
    """What `boondock check` prints, without the folder of the file."""
    found = load.examine(machine.file, find_mistakes, find_doubts)
    lines = [*map(str, found.mistakes), *(f"warning: {warning}" for warning in found.warnings)]
    return "\n".join(lines).replace(f"{machine.file.parent}/", "") or "good"


@pytest.mark.parametrize(("file", "sentences"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_mistake_of_a_newcomer_is_told_in_these_words(machine: Machine, file: str, sentences: str) -> None:
    machine.env(BOONDOCK_SECRETS=str(machine.secrets))
    machine.says(file)
    assert _said(machine) == sentences


def test_the_table_has_every_row_that_stands_in_it() -> None:
    assert len(ROWS) == TABLE.count("\n=== ") + 1
    assert len(ROWS) > 100


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        (SHUNT.encode("utf-8-sig"), "good"),
        (SHUNT.replace("\n", "\r\n").encode(), "good"),
        (SHUNT.replace("\n", "\r").encode(), "good"),
        *(
            (
                SHUNT.encode(coding),
                (
                    "boondock.toml: this file is not UTF-8 but UTF-16, as some editors on Windows save it; "
                    "save it as UTF-8, or run: iconv -f UTF-16 -t UTF-8 boondock.toml > new.toml"
                ),
            )
            for coding in ("utf-16", "utf-16-le", "utf-16-be")
        ),
        (
            (SHUNT + 'name = "Küche"\n').encode("latin-1"),
            (
                "boondock.toml line 5: the letter 'ü' here is not UTF-8 but Windows-1252 or Latin-1; "
                "save the file as UTF-8, or run: iconv -f WINDOWS-1252 -t UTF-8 boondock.toml > new.toml"
            ),
        ),
    ],
)
def test_what_an_editor_makes_of_the_letters(machine: Machine, file: bytes, sentence: str) -> None:
    machine.env(BOONDOCK_SECRETS=str(machine.secrets))
    machine.says(file)
    assert _said(machine) == sentence


def test_no_key_is_ever_in_a_sentence() -> None:
    said = "\n".join(sentences for _, _, sentences in ROWS)
    assert not re.search(r"[0-9a-fA-F]{16}|hunter2", said)


def test_the_address_is_kept_in_one_form_however_it_was_written(machine: Machine) -> None:
    for written in ("C0:11:22:33:44:55", "c0-11-22-33-44-55", "c01122334455", "C0 11 22 33 44 55"):
        machine.says(SHUNT.replace("C0:11:22:33:44:55", written))
        assert machine.settings().device["shunt"].address == "C0:11:22:33:44:55"


def test_every_line_of_a_file_is_found_by_the_key_in_it(machine: Machine) -> None:
    machine.says(
        '[broker]\nport = 1\n\n# a comment\n[[import]]\ndevice = "a"\ntopic = "x"\n'
        '[import.entities]\nt = { path = "t",  unit = "V" }\n[[import]]\ndevice = "b"\n'
        "[relay.pump]\npin = 4\nnever_with = [\n  'c',\n]\nboot = 'x'\n"
    )
    found = load.examine(machine.file, find_mistakes).mistakes
    assert [(m.key, m.line) for m in found] == [
        ("relay.pump.boot", 17),
        ("import.b.entities", 10),
        ("relay.pump.never_with", 14),
    ]


@pytest.mark.parametrize(
    "line",
    [
        'password = "hunterhunter',
        "password hunterhunter",
        'password: "hunterhunter"',
        'username = "u", password = "hunterhunter"',
        'x = { username = "u", password == "hunterhunter" }',
        'host = "mqtt://u:hunterhunter@h"-',
        'host  "mqtt://u:hunterhunter@h"',
        'broker.password  "hunterhunter"',
        'password = "hu\nnterhunter"',
        'p{ssword = "hunterhunter"',
        '# password = "hunterhunter"\x00',
        'pass word = "hunterhunter" # “',
        "kind = \"x\"\tkey = 'hunterhunter'",
    ],
)
def test_a_secret_in_a_broken_line_is_not_shown(machine: Machine, line: str) -> None:
    machine.says(f"[broker]\n{line}\n")
    assert not re.search("nterhunter", _said(machine))
