"""What is written: the log of a smart meter as scripts know it, byte for byte; several outputs at once."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cli.collect.rig import Here, Hook, wait_for
from tests.emulators.vedirect import Cable, SmartShunt, Talker
from tests.emulators.wisun import PASSWORD, RBID, Stick
from tests.house import ROOT
from tests.ports import free_port

# The meter of the rig at 16:10 in Japan: 10,000 kWh, at 16:00 200 Wh less, at 15:30 700 Wh less.
LINE = (
    '{"timestamp": "<now>", "cumulative_power_kwh": 10000.0, "instant_power_w": 512, "current_a": 0.9,'
    ' "current_r_a": 3.1, "current_t_a": -2.2, "historical_timestamp": "2026-11-21T07:00:00+00:00",'
    ' "historical_cumulative_power_kwh": 9999.8, "recent_30min_timestamp": "2026-11-21T06:30:00+00:00",'
    ' "recent_30min_consumption_kwh": 0.5}\n'
)
HEADER = (
    "timestamp,cumulative_power_kwh,instant_power_w,current_a,current_r_a,current_t_a,historical_timestamp,"
    "historical_cumulative_power_kwh,recent_30min_timestamp,recent_30min_consumption_kwh\n"
)
KEYS = HEADER.strip().split(",")
SHUNT = '[device.shunt]\nkind = "vedirect"\nport = "{port}"\n'


def timeless(text: str) -> str:
    """Take out when it was read: UTC with microseconds."""
    return re.sub(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", "<now>", text)


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook(free_port())
    yield hook
    hook.close()


@pytest.mark.parametrize("words", [("-o", "stdout"), ("--json",), ("--output=stdout", "-f", "json")])
def test_a_meter_is_one_line_of_json(here: Here, stick: Stick, words: tuple[str, ...]) -> None:
    done = here.run("--once", *words)
    assert (done.code, timeless(done.out)) == (0, LINE)
    assert stick.sessions == 1


def test_a_meter_of_two_wires_without_history_has_nulls(here: Here, stick: Stick) -> None:
    stick.meter.currents = (31, 0x7FFE)
    stick.meter.lacking = {0xEA}
    done = here.run("--once", "-o", "stdout")
    said = json.loads(done.out)
    assert list(said) == KEYS
    assert (said["current_a"], said["current_r_a"], said["current_t_a"]) == (3.1, 3.1, None)
    assert [said[key] for key in KEYS[6:]] == [None] * 4


def test_a_csv_file_has_its_header_once_over_two_runs(here: Here, stick: Stick) -> None:
    for _ in range(2):
        assert here.run("--once", "-o", "file", "-f", "csv", "--file", "log.csv").code == 0
    header, *rows = (here.folder / "log.csv").read_text().splitlines(keepends=True)
    assert header == HEADER
    assert len(rows) == 2
    for row in rows:
        cells = dict(zip(KEYS, row.strip().split(","), strict=True))
        assert timeless(cells.pop("timestamp")) == "<now>"
        assert [cells[key] for key in KEYS[1:6]] == ["10000.0", "512", "0.9", "3.1", "-2.2"]
        assert list(cells.values())[5:] == [
            *("2026-11-21T07:00:00+00:00", "9999.8"),
            *("2026-11-21T06:30:00+00:00", "0.5"),
        ]
    assert stick.sessions == 2
    assert [path.name for path in here.folder.iterdir()] == ["log.csv"]


def test_the_file_has_a_name_of_its_own_and_the_format_of_the_environment(here: Here, stick: Stick) -> None:
    assert here.run("--once", "-o", "file", FILE_FORMAT="yaml").code == 0
    text = (here.folder / "hems_data.dat").read_text()
    (said,) = yaml.safe_load_all(text)
    assert list(said) == sorted(KEYS)
    assert (said["cumulative_power_kwh"], said["instant_power_w"]) == (10000.0, 512)
    assert here.run("--once", "-o", "file", "-f", "json", "--file", "x", FILE_FORMAT="yaml").code == 0
    assert timeless((here.folder / "x").read_text()) == LINE, "an option counts more"
    assert stick.sessions == 2


def test_outputs_may_stand_behind_one_option(here: Here, stick: Stick, hook: Hook) -> None:
    done = here.run("--once", "-o", "file", "webhook", "stdout", "-f", "csv", WEBHOOK_URL=hook.url)
    assert (done.code, timeless(done.out).startswith(f"{HEADER}<now>,10000")) == (0, True)
    assert (here.folder / "hems_data.dat").read_text() == done.out
    assert [timeless(body.decode()) for body in hook.bodies] == [LINE], "JSON, whatever the others are"
    assert hook.headers[0]["Content-Type"] == "application/json"
    assert stick.sessions == 1


def test_a_dead_webhook_holds_up_no_other_and_gets_all_when_it_is_back(here: Here, stick: Stick) -> None:
    port = free_port()
    file, hooks = here.folder / "hems_data.dat", list[Hook]()

    def comes_back() -> bool:
        wait_for(lambda: file.exists() and len(file.read_text().splitlines()) >= 2)
        hooks.append(Hook(port))
        wait_for(lambda: len(hooks[0].bodies) >= 3)
        return True

    url = f"http://127.0.0.1:{port}/hook?token=s3cret"
    words = ("--interval", "1", "--output", "file", "webhook")
    done = here.run_until(comes_back, *words, WEBHOOK_URL=url)
    hooks[0].close()
    assert done.code == 0, done.err
    lines, bodies = file.read_text().splitlines(keepends=True), [body.decode() for body in hooks[0].bodies]
    assert bodies == lines[: len(bodies)], "each, in order, and none twice"
    errors = [line for line in done.log if line.startswith("ERROR")]
    assert len(errors) == 1
    assert errors[0].startswith("ERROR webhook: ")
    assert "INFO webhook takes records again" in done.log
    assert "s3cret" not in done.err
    assert stick.sessions == 1


def test_who_asks_once_learns_what_was_not_taken(here: Here, stick: Stick, hook: Hook) -> None:
    hook.status = 500
    done = here.run("--once", "-o", "webhook", "stdout", "--webhook-url", hook.url)
    assert (done.code, timeless(done.out)) == (1, LINE)
    assert done.log[-1] == "ERROR webhook: 1 records were not taken"
    assert "s3cret" not in done.err
    assert stick.sessions == 1


def test_a_file_that_cannot_be_written_is_told_and_does_not_end_it(here: Here, stick: Stick) -> None:
    (here.folder / "hems_data.dat").mkdir()
    done = here.run_until(
        lambda: stick.meter.asked.count(0xE7) > 3, "-i", "1", "-o", "file", "stdout", "-f", "json"
    )
    assert (done.code, timeless(done.out)[: 2 * len(LINE)]) == (0, 2 * LINE)
    errors = [line for line in done.log if line.startswith("ERROR file: ")]
    assert len(errors) == 2, "once while it lasts, and at the end"
    assert str(here.folder / "hems_data.dat") in errors[0]
    assert errors[1].endswith("records were not taken")


def test_a_package_that_is_missing_is_told_before_anything_is_read(here: Here, stick: Stick) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "grpc", None)
        patch.delitem(sys.modules, "forwarder.outputs.gcloud", raising=False)
        done = here.run("--once", "-o", "gcloud", GCP_PROJECT_ID="p", GCP_TOPIC_NAME="t")
    assert done.code == 1
    assert done.err.startswith("boondock collect: output gcloud: ")
    assert (len(done.err.splitlines()), stick.commands) == (1, [])


def test_other_devices_have_a_column_an_entity(here: Here, hook: Hook) -> None:
    cable = Cable()
    (here.folder / "boondock.toml").write_text(SHUNT.format(port=cable.path) + 'disabled = ["current"]\n')
    with Talker(cable.write, SmartShunt(volts=12.84, soc=None)):
        words = ("shunt", "--once", "-o", "stdout", "webhook", "--webhook-url", hook.url)
        done = here.run(*words)
        csv = here.run("shunt", "--once", "-o", "stdout", "-f", "csv")
    assert (done.code, csv.code) == (0, 0), done.err + csv.err
    said = json.loads(done.out)
    assert (said["voltage"], said["soc"], "current" in said) == (12.84, None, False)
    assert re.fullmatch(r"20\d\d-.*Z", said["timestamp"])
    assert json.loads(hook.bodies[0]) == said
    assert hook.headers[0]["Content-Type"] == "application/json"
    header, row = csv.out.splitlines()
    assert header.split(",") == list(said)
    cells = dict(zip(header.split(","), row.split(","), strict=True))
    assert (cells["voltage"], cells["soc"]) == ("12.84", "")


def test_who_reads_no_more_ends_it_quietly(here: Here) -> None:
    cable = Cable()
    (here.folder / "boondock.toml").write_text(SHUNT.format(port=cable.path))
    kept = {name: text for name, text in os.environ.items() if not name.startswith("BOONDOCK_")}
    line = f"set -o pipefail; {sys.executable} -m cli collect shunt -i 1 -o stdout | head -n 1; echo $?"
    with Talker(cable.write, SmartShunt(volts=12.84)):
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=here.folder,
            env=kept | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    said, code = done.stdout.splitlines()
    assert (json.loads(said)["voltage"], code, done.stderr) == (12.84, "141", "")


def test_no_secret_stands_in_a_file(here: Here, stick: Stick) -> None:
    done = here.run("--once", "--debug", "-o", "stdout", "file")
    written = done.out + (here.folder / "hems_data.dat").read_text() + done.err
    assert not any(secret in written for secret in (RBID, PASSWORD))
    assert stick.sessions == 1


def test_the_schedule_is_that_of_the_time_zone_asked_for(here: Here) -> None:
    code = (
        "import sys; from cli.collect.choices import Choices, Options; from cli.collect import _use_zone\n"
        "from bus.schedule import cron_trigger; from datetime import datetime, UTC\n"
        "_use_zone(Choices(Options())); print(cron_trigger('0 * * * *')"
        ".get_next_fire_time(None, datetime(2026, 11, 21, 7, 10, tzinfo=UTC)).astimezone(UTC).minute)"
    )
    zones = {"Asia/Tokyo": "0", "Asia/Kolkata": "30", "Asia/Kathmandu": "15"}
    for zone, minute in zones.items():
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"LOCAL_TIMEZONE": zone, "PYTHONPATH": str(ROOT)},
            cwd=here.folder,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == minute


def test_the_folder_of_the_file_is_made(here: Here, stick: Stick) -> None:
    assert here.run("--once", "-o", "file", "--file", "logs/a/log.dat").code == 0
    assert timeless(Path(here.folder, "logs/a/log.dat").read_text()) == LINE
    assert stick.sessions == 1
