"""Mistakes in what an output sends: columns, template, times, files; one line each."""

import re

import pytest

from forwarder.checking import find_mistakes
from tests.config.conftest import Machine
from tests.house import ROOT

SAMPLES = """
[[output]]
name = "log"
kind = "file"
path = "/srv/log.csv"
records = ["samples"]
interval = 60
"""


@pytest.mark.parametrize(
    ("lines", "mistake"),
    [
        ('template = "hems"', "output.log.devices: the template hems is of one meter"),
        ('template = "hems"\ndevices = ["*"]', "output.log.devices: the template hems is of one meter"),
        ('template = "hems"\ndevices = ["a", "b"]', "output.log.devices: the template hems is of one meter"),
        (
            'template = "hems"\ndevices = ["meter"]\ncolumns = { a = "b.c" }',
            "output.log.columns: the template hems has its own",
        ),
        ('columns = { "a,b" = "b.c" }', "output.log.columns: 'a,b' is no name of a column"),
        ('columns = { timestamp = "b.c" }', "output.log.columns: 'timestamp' is no name of a column"),
        ('columns = { "a\\nb" = "b.c" }', "output.log.columns: 'a\\nb' is no name of a column"),
        ('columns = { a = "b" }', "output.log.columns.a: 'b' is no entity"),
        ('columns = { a = "b.*" }', "output.log.columns.a: 'b.*' is no entity"),
    ],
)
def test_what_is_wrong_with_samples(machine: Machine, lines: str, mistake: str) -> None:
    machine.says(SAMPLES + lines)
    (said,) = machine.mistakes()
    assert said.startswith(mistake)
    assert "; allowed: " in said or said.endswith("; take it out")


@pytest.mark.parametrize(
    "lines", ["", 'template = "hems"\ndevices = ["meter"]', 'columns = { "a b" = "b.c" }']
)
def test_samples_that_are_right(machine: Machine, lines: str) -> None:
    machine.says(SAMPLES + lines)
    assert machine.settings().output["log"].records == ("samples",)


def test_readings_have_no_columns_and_are_no_meters_log(machine: Machine) -> None:
    readings = SAMPLES.replace('["samples"]', '["readings"]')
    machine.says(readings + 'columns = { a = "b.c" }')
    assert machine.mistakes()[0].startswith("output.log.columns: only samples have columns")
    machine.says(readings + 'template = "hems"\ndevices = ["meter"]')
    assert machine.mistakes()[0].startswith("output.log.records: the template hems is of samples")


@pytest.mark.parametrize(("key", "other"), [("path", "path"), ("latest", "path"), ("latest", "latest")])
def test_two_outputs_do_not_write_one_file(machine: Machine, key: str, other: str) -> None:
    path = "" if key == "path" else 'path = "/srv/b.csv"\n'
    first = "" if other == "path" else 'latest = "/srv/log.csv"\n'
    machine.says(
        (SAMPLES.replace("/srv/log.csv", "/srv/a.csv") if other == "latest" else SAMPLES)
        + first
        + f'[[output]]\nname = "two"\nkind = "file"\n{path}{key} = "/srv/log.csv"\n'
    )
    (said,) = machine.mistakes()
    assert said.startswith(f"output.two.{key}: output log writes there")


@pytest.mark.parametrize("cron", ["x", "* * * *", "61 * * * *", "0 0 31 2 *"])
def test_a_crontab_line_that_is_none_is_told(machine: Machine, cron: str) -> None:
    machine.says(SAMPLES.replace("interval = 60", f'cron = "{cron}"'))
    (mistake,) = find_mistakes(machine.settings(), "boondock.toml")
    assert (mistake.key, cron in mistake.wrong) == ("output.log.cron", True)
    machine.says(SAMPLES.replace("interval = 60", 'cron = "*/5 * * * *"'))
    assert find_mistakes(machine.settings(), "boondock.toml") == []


PAGE = (ROOT / "docs" / "outputs.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL))
def test_every_output_of_the_page_is_right(machine: Machine, table: str) -> None:
    machine.says(table)
    assert len(machine.settings().output) == table.count("[[output]]")
    assert find_mistakes(machine.settings(), "boondock.toml") == []
