"""What is asked for: options over the environment over a `.env`; what is wrong with it, in sentences."""

import pytest

from tests.cli.collect.rig import METER, Here
from tests.emulators.wisun import PASSWORD, RBID, Stick

NOWHERE = {**METER, "SERIAL_PORT": "/nowhere/tty"}
PLACE = ("--meter-channel", "33", "--meter-panid", "8888", "--meter-ipv6", "FE80::21D:1290:1234:5678")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("-o", "paper"), "'paper' is not one of 'stdout', 'file', 'gcloud', 'webhook'"),
        (("-o", "file", "paper"), "boondock.toml"),
        (("-f", "xml"), "'xml' is not one of 'json', 'yaml', 'csv'"),
        (("--mode", "often"), "'often' is not one of 'schedule', 'interval'"),
        (("--schedule", "*/5 * *"), "--schedule: '*/5 * *' is no crontab line"),
        (("--schedule", "0 0 30 2 *"), "--schedule: '0 0 30 2 *' names a time that never comes"),
        (("--interval", "0"), "--interval: 0 is not allowed; allowed: seconds, 1 or more"),
        (("--interval", "nan"), "--interval: nan is not allowed; allowed: seconds, 1 or more"),
        (("--interval", "-5"), "--interval: -5 is not allowed; allowed: seconds, 1 or more"),
        (("-i", "10", "-s", "* * * * *"), "--schedule and --interval: one of the two, or say with --mode"),
        (("--baudrate", "12"), "'--baudrate': Input should be greater than or equal to 300"),
        (("--meter-channel", "33"), "--meter-channel, --meter-panid, --meter-ipv6: give all three, or none"),
        ((*PLACE, "--meter-channel", "20"), "--meter-channel: '20' is no channel"),
        ((*PLACE, "--meter-channel", "0x3D"), "--meter-channel: '0x3D' is no channel"),
        ((*PLACE, "--meter-channel", "x"), "'x' is no channel; allowed: 33 to 60, or 0x21 to 0x3C"),
        ((*PLACE, "--meter-panid", "888"), "'888' is no PAN ID; allowed: four hexadecimal digits"),
        ((*PLACE, "--meter-ipv6", "1.2.3.4"), "'1.2.3.4' is no address; allowed: an IPv6 address, such as"),
        (("-o", "webhook"), "--webhook-url or WEBHOOK_URL: it is missing; allowed: the address, such as"),
        (("-o", "webhook", "--webhook-url", "ftp://x"), "--webhook-url: this is no address; allowed: one"),
        (("-o", "gcloud"), "--gcp-project or GCP_PROJECT_ID: it is missing"),
        (("-o", "gcloud", "--gcp-project", "p"), "--gcp-topic or GCP_TOPIC_NAME: it is missing"),
        (("--env-file", "none.env"), "--env-file: there is no none.env; allowed: a file of NAME=value lines"),
        (("--json", "--format", "csv"), "--json and --format csv: one of the two"),
    ],
)
def test_a_wrong_command_line_is_a_sentence(here: Here, words: tuple[str, ...], told: str) -> None:
    done = here.run("--once", *words, **NOWHERE)
    assert told in done.err
    assert (done.code, len(done.err.splitlines()), done.out) == (78 if "toml" in told else 2, 1, "")


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"FILE_FORMAT": "xml"}, "environment FILE_FORMAT: 'xml' is no format; allowed: json, yaml, csv"),
        ({"SERIAL_RATE": "fast"}, "environment SERIAL_RATE: 'fast' is not allowed; allowed: a whole number"),
        ({"LOCAL_TIMEZONE": "Mars/X"}, "environment LOCAL_TIMEZONE: there is no time zone 'Mars/X'"),
        ({"LOCAL_TIMEZONE": "../etc"}, "environment LOCAL_TIMEZONE: there is no time zone '../etc'"),
        ({"SERIAL_PORT": "ttyUSB0"}, "environment SERIAL_PORT: 'ttyUSB0' is no path; did you mean \"/dev/"),
        ({"SERIAL_PORT": "tcp://van.local"}, "environment SERIAL_PORT: a Wi-SUN stick is not read over the"),
        ({"B_ROUTE_ID": ""}, "B_ROUTE_ID: not set; next: put what your electricity company sent into"),
        ({"B_ROUTE_ID": "", "B_ROUTE_PASSWORD": ""}, "B_ROUTE_ID and B_ROUTE_PASSWORD: not set; next:"),
        ({"B_ROUTE_ID": "12" * 15}, "environment B_ROUTE_ID: it is no route B ID; allowed: 32 of 0-9"),
        ({"B_ROUTE_PASSWORD": "s3cr"}, "environment B_ROUTE_PASSWORD: it is no route B password; allowed:"),
    ],
)
def test_a_wrong_variable_is_a_sentence_without_secrets(
    here: Here, variables: dict[str, str], told: str
) -> None:
    done = here.run("--once", **(NOWHERE | variables))
    assert done.err.startswith(told)
    assert (done.code, len(done.err.splitlines()), done.out) == (78, 1, "")
    assert not any(secret in done.err for secret in ("s3cr", "1212", RBID, PASSWORD))


def test_a_wrong_address_of_the_environment_is_named_without_its_token(here: Here) -> None:
    done = here.run("-o", "webhook", WEBHOOK_URL="ws://example.org/t0ken", **NOWHERE)
    assert done.err.startswith("environment WEBHOOK_URL: this is no address; allowed: one that begins with")
    assert (done.code, "t0ken" in done.err) == (78, False)


def test_an_env_file_counts_less_than_the_environment_and_that_less_than_options(
    here: Here, stick: Stick
) -> None:
    port = here.variables.pop("SERIAL_PORT")
    here.variables.clear()
    text = f"B_ROUTE_ID={RBID}\nexport B_ROUTE_PASSWORD='{PASSWORD}'\nSERIAL_PORT=/in/file\nOTHER\n"
    (here.folder / ".env").write_text(text)
    told = here.run("--once").err
    assert told.startswith("boondock collect: meter: /in/file is not there: is the cable plugged in")
    assert "/in/environment" in here.run("--once", SERIAL_PORT="/in/environment").err
    done = here.run("--once", "--port", port, SERIAL_PORT="/in/environment")
    assert (done.code, stick.sessions) == (0, 1)


def test_an_env_file_of_another_name_is_read_instead(here: Here) -> None:
    (here.folder / ".env").write_text("FILE_FORMAT=xml\n")
    (here.folder / "my.env").write_text("\nFILE_FORMAT=yml\n")
    done = here.run("--env-file", "my.env", **NOWHERE)
    assert done.err.startswith("my.env line 2: FILE_FORMAT: 'yml' is no format; allowed: json, yaml, csv")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b'FILE_FORMAT="csv\n', ".env line 1: this line is not NAME=value; allowed: SERIAL_PORT=/dev/tty"),
        (b"FILE_FORMAT\n", ".env line 1: FILE_FORMAT: there is no = after the name; write FILE_FORMAT=value"),
        (b"FILE_FORMAT=\xff\xfe\n", ".env"),
    ],
)
def test_a_broken_env_file_is_a_sentence(here: Here, text: bytes, told: str) -> None:
    (here.folder / ".env").write_bytes(text)
    done = here.run(**NOWHERE)
    assert done.err.startswith(told)
    assert (done.code, "Traceback" in done.err) == (78, False)


def test_empty_variables_count_as_none(here: Here, stick: Stick) -> None:
    empty = dict.fromkeys(("SERIAL_RATE", "FILE_FORMAT", "LOCAL_TIMEZONE", "WEBHOOK_URL"), "")
    assert here.run("--once", **empty).code == 0
    assert stick.sessions == 1


def test_the_version_is_told(here: Here) -> None:
    assert {here.run(word).out for word in ("-v", "--version")} == {"boondock 0.1.0\n"}
