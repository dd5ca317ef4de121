"""What InfluxDB gets, read by a parser of its reference; and what its answers mean."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from config.model import Output
from forwarder.outputs import RefusedError, SendError, TooLargeError
from forwarder.outputs.influx import InfluxSink, line, write_path
from forwarder.records import Reading, Record, Sample
from tests.forwarder.line_protocol import Point, parse
from tests.forwarder.rig import AT, REMOVED, SAMPLE, place, row, soc
from tests.forwarder.web import Reply, Web, web

TOKEN = "token-of-mine"  # noqa: S105 — no token of anybody's
TAGS = {"device": "smartshunt", "entity": "soc", "unit": "%"}


def sink(site: Web, folder: Path, **settings: object) -> InfluxSink:
    return InfluxSink(place(folder, "influx", url=f"http://127.0.0.1:{site.port}", **settings))


def points(records: Sequence[Record], measurement: str = "van") -> list[Point]:
    lines = [text for record in records if (text := line(record, measurement)) is not None]
    return parse("\n".join(lines))


def test_a_batch_is_written_with_its_token_in_milliseconds(tmp_path: Path) -> None:
    with web() as site:
        influx = sink(site, tmp_path, token=TOKEN, org="our home", bucket="van/1")
        influx.send([soc(), soc(98, 1000)])
        influx.close()
    (request,) = site.seen
    assert request.path == "/api/v2/write?org=our+home&bucket=van%2F1&precision=ms"
    assert request.headers["Authorization"] == f"Token {TOKEN}"
    assert parse(request.body.decode()) == [
        Point("boondock", TAGS, {"value": 97.5}, AT),
        Point("boondock", TAGS, {"value": 98.0}, AT + 1000),
    ]
    assert b"value=98.0 " in request.body, "98i would be another type"


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/", "/api/v2/write?bucket=b&precision=ms"),
        ("/influx/", "/influx/api/v2/write?bucket=b&precision=ms"),
        ("/insert/0/influx/write?db=x", "/insert/0/influx/write?db=x&bucket=b&precision=ms"),
        ("/api/v2/write", "/api/v2/write?bucket=b&precision=ms"),
    ],
)
def test_an_address_may_have_a_path(url: str, path: str) -> None:
    assert write_path(url, Output(kind="influx", bucket="b")) == path


def test_each_kind_of_record_is_a_point_or_nothing() -> None:
    assert points([soc("bulk")]) == [Point("van", TAGS, {"state": "bulk"}, AT)]
    assert points([soc(None), REMOVED, Sample(AT, {"a": None}), soc(float("inf"))]) == []
    assert points([Reading("tank.level", AT, 5)]) == [
        Point("van", {"device": "tank", "entity": "level"}, {"value": 5.0}, AT)
    ]
    values = {
        "mean": None,
        "state": 12.0,
        "sum": 1e21,
        "sum_increase": 5e-324,
        "last_reset": "2026-11-21T00:00:00Z",
    }
    assert points([row(3, **values)]) == [
        Point(
            "van",
            TAGS | {"period": "hour"},
            {"last": 12.0, "sum": 1e21, "sum_increase": 5e-324, "last_reset": "2026-11-21T00:00:00Z"},
            AT,
        )
    ]
    assert points([SAMPLE]) == [Point("van", {}, {"soc": 97.5, "charge state": "bulk"}, AT)]


def test_a_field_never_has_two_types() -> None:
    """A number in a field that holds texts is refused for ever, with all of its batch."""
    types: dict[str, set[type]] = {}
    for point in points([soc("bulk"), soc(1), row(state=1.0, mean=2, last_reset="x")]):
        for name, value in point.fields.items():
            types.setdefault(name, set()).add(type(value))
    assert all(len(found) == 1 for found in types.values()), types


@example('a,= "\\', 'a,= "\\\n', 'a,= "\\')
@given(st.text(min_size=1), st.text(), st.text(min_size=1))
def test_any_unit_text_and_name_comes_back(measurement: str, text: str, column: str) -> None:
    name = f"m{measurement}"
    reading, sample = points([Reading("a.b", AT, text, text), Sample(AT, {f"c{column}": text})], name)
    said = "".join(letter if letter.isprintable() else " " for letter in text)
    assert reading.measurement == "".join(c if c.isprintable() else " " for c in name).replace("\\", "/")
    assert reading.fields == {"state": said}
    assert reading.tags.get("unit", "") == said.replace("\\", "/")
    assert list(sample.fields.values()) == [said]
    assert reading.timestamp == sample.timestamp == AT


def test_nothing_to_write_is_no_request(tmp_path: Path) -> None:
    with web() as site:
        sink(site, tmp_path).send([soc(None), REMOVED])
    assert site.seen == []


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b'{"code":"invalid","message":"field type conflict"}', RefusedError),
        (401, b"{}", RefusedError),
        (413, b"", TooLargeError),
        (422, b"failure writing points: field type conflict", RefusedError),
        (429, b"", SendError),
        (503, b"", SendError),
    ],
)
def test_what_influx_refuses_is_told(tmp_path: Path, status: int, body: bytes, kind: type) -> None:
    with web() as site:
        site.says(Reply(status, body))
        with pytest.raises(kind, match=f"answers {status}") as caught:
            sink(site, tmp_path).send([soc()])
    assert type(caught.value) is kind
    assert "field type conflict" in str(caught.value) or b"conflict" not in body


@pytest.mark.parametrize("status", [400, 422])
def test_what_is_older_than_a_bucket_keeps_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    with web() as site:
        said = b'{"code":"x","message":"partial write: points beyond retention policy dropped=3"}'
        site.says(Reply(status, said))
        sink(site, tmp_path).send([soc()])
    assert "older than the bucket keeps is left out" in caplog.text


def test_a_correction_is_the_same_point() -> None:
    before, after = points([row(0, mean=1.0), row(1, mean=2.0)])
    assert (before.measurement, before.tags, before.timestamp) == (
        after.measurement,
        after.tags,
        after.timestamp,
    )
