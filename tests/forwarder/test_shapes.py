"""How records look: read back with csv, json and PyYAML, and HEMS byte for byte."""

import csv
import io
import json
from typing import Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bus.messages import from_iso
from config.model import Output
from config.model.outputs import Records
from forwarder.records import Reading, Removed, Sample, StatisticsRow
from forwarder.shapes import HEMS_KEYS, RESET, fill, media_type, names_of, text_of
from tests.clock import NOON_MS
from tests.house import ROOT

READING = Reading("smartshunt.soc", NOON_MS + 412, 97.5, "%")
ROW = StatisticsRow("smartshunt.soc", "hour", NOON_MS, {"mean": 97.0, "min": 96.5, "max": 98.0}, 2, "%")
TOTAL = StatisticsRow("meter.energy", "hour", NOON_MS, {"state": 7.0, "sum": 1.25}, 0, "Wh")
REMOVED = Removed("smartshunt.soc", "reading", NOON_MS, NOON_MS + 1000)
SAMPLE = Sample(NOON_MS, {"soc": 97.0, "pump": "ON", "tank": None})


Format = Literal["csv", "jsonl", "json", "yaml"]


def output(
    shape: Format,
    records: Records = "readings",
    *,
    template: str | None = None,
    columns: dict[str, str] | None = None,
) -> Output:
    return Output(kind="stdout", format=shape, records=(records,), template=template, columns=columns or {})


def read_csv(text: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.decode(), newline=""), strict=True))


def test_csv_of_readings() -> None:
    assert text_of([READING, REMOVED, TOTAL], output("csv")).decode() == (
        "timestamp,entity,value,unit,period,removed,end\n"
        "2026-11-21T12:00:00.412Z,smartshunt.soc,97.5,%,,,\n"
        "2026-11-21T12:00:00.000Z,smartshunt.soc,,,,reading,2026-11-21T12:00:01.000Z\n"
        "2026-11-21T12:00:00.000Z,meter.energy,7,Wh,hour,,\n"
    )


def test_csv_of_statistics() -> None:
    found = read_csv(text_of([ROW, TOTAL], output("csv", "hour")))
    assert found[0]["value"] == found[0]["mean"] == "97"
    assert (found[0]["rev"], found[0]["period"], found[0]["max"]) == ("2", "hour", "98")
    assert (found[1]["sum"], found[1]["state"], found[1]["mean"]) == ("1.25", "7", "")


def test_csv_of_samples_has_a_column_for_each_value() -> None:
    found = text_of([SAMPLE, Sample(NOON_MS + 1, {"new": 1.0})], output("csv", "samples")).decode()
    assert found == (
        "timestamp,new,pump,soc,tank\n2026-11-21T12:00:00.000Z,,ON,97,\n2026-11-21T12:00:00.001Z,1,,,\n"
    )


def test_csv_of_samples_has_the_columns_of_the_settings() -> None:
    settings = output("csv", "samples", columns={"tank": "a.b", "soc": "a.c"})
    assert text_of([SAMPLE], settings).decode() == "timestamp,tank,soc\n2026-11-21T12:00:00.000Z,,97\n"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_one_line_of_csv_and_comes_back(text: str) -> None:
    written = text_of([Reading("van.note", NOON_MS, text)], output("csv"))
    assert written.count(b"\n") == 2
    found = read_csv(written)
    if not any(end in text for end in "\n\r"):
        assert found[0]["value"] == text
    assert found[0]["entity"] == "van.note"


def test_json_lines_and_json_are_the_records() -> None:
    assert json.loads(text_of([ROW], output("jsonl"))) == {
        "entity": "smartshunt.soc",
        "period": "hour",
        "start": "2026-11-21T12:00:00.000Z",
        "unit": "%",
        "mean": 97.0,
        "min": 96.5,
        "max": 98.0,
        "rev": 2,
    }
    assert text_of([READING], output("jsonl")).decode().startswith('{"entity":"smartshunt.soc","ts":')
    assert text_of([READING], output("json")).decode().startswith('{"entity": "smartshunt.soc", "ts": ')


@given(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"])),
        st.floats(allow_nan=False, allow_infinity=False),
        st.integers(-(2**60), 2**60),
        st.none(),
        st.sampled_from(
            ["yes", "No", "~", "1e3", "0x1f", "1_000", "12:30:45", "2026-11-21", ".5", "=", "<<", "- a"]
        ),
        st.sampled_from(
            ["a: b", "a #b", "a:", "'", '"', " a", "a ", "@a", "%a", "!a", "&a", "*a", "null", "", "on"]
        ),
    )
)
def test_any_value_comes_back_from_yaml(value: float | str | None) -> None:
    written = text_of([Reading("van.note", NOON_MS, value)], output("yaml"))
    (found,) = yaml.safe_load_all(written)
    assert found == {"entity": "van.note", "ts": "2026-11-21T12:00:00.000Z", "value": value}
    assert type(found["value"]) is type(value)


def test_yaml_has_a_document_for_each_record() -> None:
    written = text_of([READING, TOTAL], output("yaml"))
    found = list(yaml.safe_load_all(written))
    assert [one["entity"] for one in found] == ["smartshunt.soc", "meter.energy"]


HEMS_SAMPLE = Sample(
    from_iso("2023-10-27T10:00:00.123Z"),
    {
        "meter.grid_power": 512.0,
        "meter.current_r": 3.0,
        "meter.current_t": 2.1,
        "meter.grid_import_energy": 12_345_600.0,
        "meter.half_hour_import_energy": 12_345_500.0,
        "meter.last_half_hour_energy": 200.0,
        f"meter.last_half_hour_energy{RESET}": "2023-10-27T09:30:00.000Z",
    },
)
ONE_PHASE = Sample(from_iso("2023-10-27T10:00:00Z"), {"meter.grid_power": None, "meter.current_r": 3.0})


def test_hems_in_json_byte_for_byte() -> None:
    written = text_of([HEMS_SAMPLE, ONE_PHASE], output("json", "samples", template="hems"))
    assert written.decode() == (
        '{"timestamp": "2023-10-27T10:00:00.123000+00:00", "cumulative_power_kwh": 12345.6, '
        '"instant_power_w": 512, "current_a": 5.1, "current_r_a": 3.0, "current_t_a": 2.1, '
        '"historical_timestamp": "2023-10-27T10:00:00+00:00", "historical_cumulative_power_kwh": 12345.5, '
        '"recent_30min_timestamp": "2023-10-27T09:30:00+00:00", "recent_30min_consumption_kwh": 0.2}\n'
        '{"timestamp": "2023-10-27T10:00:00.000000+00:00", "cumulative_power_kwh": null, '
        '"instant_power_w": null, "current_a": 3.0, "current_r_a": 3.0, "current_t_a": null, '
        '"historical_timestamp": null, "historical_cumulative_power_kwh": null, '
        '"recent_30min_timestamp": null, "recent_30min_consumption_kwh": null}\n'
    )


def test_hems_in_csv_byte_for_byte() -> None:
    written = text_of([HEMS_SAMPLE, ONE_PHASE], output("csv", "samples", template="hems"))
    assert written.decode() == (
        ",".join(HEMS_KEYS) + "\n"
        "2023-10-27T10:00:00.123000+00:00,12345.6,512,5.1,3.0,2.1,2023-10-27T10:00:00+00:00,12345.5,"
        "2023-10-27T09:30:00+00:00,0.2\n"
        "2023-10-27T10:00:00.000000+00:00,,,3.0,3.0,,,,,\n"
    )


def test_hems_in_yaml_as_a_dumper_writes_it() -> None:
    written = text_of([HEMS_SAMPLE, ONE_PHASE], output("yaml", "samples", template="hems"))
    dumped = [
        json.loads(line)
        for line in text_of([HEMS_SAMPLE, ONE_PHASE], output("json", "samples", template="hems")).splitlines()
    ]
    assert written.decode() == "".join(f"---\n{yaml.dump(one)}...\n" for one in dumped)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{entity} is {value} {unit} at {ts}", "smartshunt.soc is 97.5 % at 2026-11-21T12:00:00.412Z"),
        ("{device}/{id} {nothing}{Else} {}", "smartshunt/soc {Else} {}"),
        (
            '{"text": "{entity} is {value}", "v": {value}, "n": {nothing}}',
            '{"text": "smartshunt.soc is 97.5", "v": 97.5, "n": null}',
        ),
    ],
)
def test_a_template_of_ones_own(template: str, text: str) -> None:
    assert fill(template, names_of(READING)) == text
    assert text_of([READING], output("jsonl", template=template)).decode() == text + "\n"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_json_template_is_json_whatever_the_value_is(text: str) -> None:
    filled = fill('{"text": "so: {value}"}', names_of(Reading("van.note", NOON_MS, text)))
    assert json.loads(filled) == {"text": f"so: {text}"}


def test_media_types() -> None:
    assert media_type(output("csv")) == "text/csv"
    assert media_type(Output(kind="stdout", template='{"a": 1}')) == "application/json"
    assert media_type(Output(kind="stdout", template="a")) == "text/plain"


def test_the_page_shows_what_is_written() -> None:
    page = (ROOT / "docs" / "outputs.md").read_text(encoding="utf-8")
    whole = Sample(HEMS_SAMPLE.ts - 123, HEMS_SAMPLE.values)
    assert text_of([whole], output("json", "samples", template="hems")).decode() in page
    columns = {"soc": "smartshunt.soc", "water": "fresh_water.level"}
    samples = [
        Sample(NOON_MS, {"soc": 97.5, "water": 62.0}),
        Sample(NOON_MS + 60_000, {"soc": 97.4, "water": 62.0}),
    ]
    assert text_of(samples, output("csv", "samples", columns=columns)).decode() in page
    assert f"`{text_of([], output('csv')).decode().strip()}`" in page
