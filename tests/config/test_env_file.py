"""`.env` beside boondock.toml, by python-dotenv's rules."""

import pytest

from collector.checking import find_mistakes
from config import load
from config.mistakes import ConfigError
from tests.config.conftest import Machine


def _env(machine: Machine, text: str | bytes) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    machine.file.with_name(".env").write_bytes(data)


@pytest.mark.parametrize(
    "text",
    [
        "BOONDOCK_BROKER__BASE=van",
        "export BOONDOCK_BROKER__BASE=van",
        "BOONDOCK_BROKER__BASE='van'",
        'BOONDOCK_BROKER__BASE="van"  # the van',
        "BOONDOCK_BROKER__BASE=van # the van",
        "\n# comment\n\n  BOONDOCK_BROKER__BASE = van\r\n",
        "NAME=van\nBOONDOCK_BROKER__BASE=${NAME}",
        "BOONDOCK_BROKER__BASE=${NOBODY_SETS_THIS:-van}",
        "boondock_broker__base=van",
        b"\xef\xbb\xbfBOONDOCK_BROKER__BASE=van",
        "BOONDOCK_BROKER__BASE=bus\nBOONDOCK_BROKER__BASE=van",
        "OTHER_PROGRAM=1\nBOONDOCK_BROKER__BASE=van",
    ],
)
def test_a_variable_is_read_as_the_library_reads_it(machine: Machine, text: str | bytes) -> None:
    _env(machine, text)
    assert machine.settings().broker.base == "van"


def test_a_text_in_quotes_may_have_lines_and_escapes(machine: Machine) -> None:
    machine.says("[relay.pump]\npin = 4")
    _env(machine, "BOONDOCK_RELAY__PUMP__NAME=\"Water\\tpump\nbelow\"\nBOONDOCK_CONTROLLER__NAME='a\\tb'")
    settings = machine.settings()
    assert (settings.relay["pump"].name, settings.controller.name) == ("Water\tpump\nbelow", "a\\tb")


def test_environment_beats_env_file_beats_secret_file(machine: Machine) -> None:
    machine.says('[broker]\nusername = "toml"\npassword = "toml"')
    machine.secret("broker__password", "secret")
    assert [machine.settings().broker.password] == ["secret"]
    _env(machine, "BOONDOCK_BROKER__PASSWORD=dotenv")
    assert [machine.settings().broker.password] == ["dotenv"]
    machine.env(BOONDOCK_BROKER__PASSWORD="environment")  # noqa: S106 — nobody's
    assert [machine.settings().broker.password] == ["environment"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "A=1\nthis is nothing\nBOONDOCK_BROKER__PORT=1",
            (
                " line 2: this line is not NAME=value; "
                'allowed: BOONDOCK_BROKER__PORT=1883, or with quotes: NAME="a text"'
            ),
        ),
        (
            '\n\nBOONDOCK_BROKER__BASE="van\n',
            (
                " line 3: this line is not NAME=value; "
                'allowed: BOONDOCK_BROKER__PORT=1883, or with quotes: NAME="a text"'
            ),
        ),
        (
            "# x\nBOONDOCK_BROKER__PORT\n",
            " line 2: BOONDOCK_BROKER__PORT: there is no = after the name; write BOONDOCK_BROKER__PORT=value",
        ),
        (
            "A=1\nBOONDOCK_BROKER__PORT=mqtt\n",
            (
                " line 2: broker.port: 'mqtt' is not allowed; allowed: a whole number, without a unit;"
                " such as BOONDOCK_BROKER__PORT=5"
            ),
        ),
        (
            "BOONDOCK_BROKER__PROT=1\n",
            " line 1: broker.prot: there is no such setting; did you mean port?",
        ),
        (
            "\nBOONDOCK_BROKRE__PORT=1\n",
            " line 2: brokre: there is no such setting; did you mean broker?",
        ),
        (
            "BOONDOCK_BROKER__HOST=mqtt://van.local\n",
            ' line 1: broker.host: mqtt:// does not belong into it; write host = "van.local"',
        ),
        (
            "BOONDOCK_SECRETS=/etc/x\n",
            (
                " line 1: BOONDOCK_SECRETS: this says where the settings are, before .env is read; "
                "put it into the environment"
            ),
        ),
        (
            b"\xff\xfeA\0=\x001\0",
            (
                ": this file is not UTF-8 but UTF-16, as some editors on Windows save it; "
                "save it as UTF-8, or run: iconv -f UTF-16 -t UTF-8 {} > new.toml"
            ),
        ),
    ],
)
def test_a_mistake_is_told_with_its_line(machine: Machine, text: str | bytes, sentence: str) -> None:
    _env(machine, text)
    place = machine.file.with_name(".env")
    assert machine.mistakes() == [f"{place}{sentence.replace('{}', str(place))}"]


def test_a_password_in_it_is_never_shown(machine: Machine) -> None:
    _env(machine, "BOONDOCK_BROKER__PASSWORD hunter2\nBOONDOCK_DEVICE__A__KEY=hunter2\n")
    with pytest.raises(ConfigError) as caught:
        machine.settings()
    assert "hunter2" not in str(caught.value)


def test_of_a_file_that_systemd_handed_over_only_one_beside_it_counts(machine: Machine) -> None:
    machine.env(CREDENTIALS_DIRECTORY=str(machine.file.parent), BOONDOCK_SECRETS=str(machine.secrets))
    _env(machine, "BOONDOCK_BROKER__PORT=2000")
    assert load.load(machine.file, find_mistakes).broker.port == 2000
