"""The change feed as it is on the wire: every kind of change, and what is no answer of it."""

import json

import msgspec
import pytest

from bus.messages import from_iso
from config.model import Output
from forwarder.feed import BadAnswerError, Gap, Page, Refusal, decode, params_of
from forwarder.records import Reading, Removed, StatisticsRow

TS = "2026-11-21T06:29:58.412Z"
MS = from_iso(TS)


def answer(*changes: object, **more: object) -> bytes:
    data = {"changes": changes, "after": "abc", "more": False, "kept_from": TS, "until": TS} | more
    return json.dumps({"id": 7, "status": "ok", "data": data}).encode()


def test_every_kind_of_change_is_read() -> None:
    number, page = decode(
        answer(
            {"entity": "smartshunt.soc", "ts": TS, "value": 97.5, "unit": "%"},
            {"entity": "mppt.state", "ts": TS, "value": "bulk"},
            {"entity": "meter.energy", "ts": TS, "value": None, "last_reset": TS},
            {
                "entity": "a.b",
                "period": "hour",
                "start": TS,
                "unit": "V",
                "mean": 1.5,
                "last_reset": TS,
                "rev": 3,
            },
            {"entity": "a.b", "removed": "5minute", "start": TS, "end": TS},
            {"gap": "reading", "start": TS, "end": TS},
        )
    )
    assert number == 7
    assert page == Page(
        (
            Reading("smartshunt.soc", MS, 97.5, "%"),
            Reading("mppt.state", MS, "bulk"),
            Reading("meter.energy", MS, None, None, MS),
            StatisticsRow("a.b", "hour", MS, {"mean": 1.5, "last_reset": TS}, 3, "V"),
            Removed("a.b", "5minute", MS, MS),
            Gap("reading", MS, MS),
        ),
        "abc",
        more=False,
        until=MS,
    )


def test_what_a_later_version_adds_is_no_error() -> None:
    _, page = decode(answer({"entity": "a.b", "ts": TS, "value": 1, "note": "new", "more": True}, hint="x"))
    assert isinstance(page, Page)
    assert page.changes == (Reading("a.b", MS, 1),)


def test_a_refusal_and_progress() -> None:
    error = {"code": "busy", "message": "too many"}
    refusal = json.dumps({"id": 1, "status": "error", "data": {}, "error": error}).encode()
    assert decode(refusal) == (1, Refusal("busy", "too many"))
    assert decode(b'{"id": 1, "status": "progress", "data": 3}') == (1, None)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"id": 1}',
        b'{"id": 1, "status": "ok", "data": {"changes": []}}',
        answer({}),
        answer({"entity": "a.b"}),
        answer({"entity": 1, "ts": TS, "value": 1}),
        answer({"entity": "a.b", "ts": "yesterday", "value": 1}),
        answer({"entity": "a.b", "period": "day", "start": TS}),
        answer({"gap": "reading", "start": TS}),
        answer({"entity": "a.b", "ts": TS, "value": [1]}),
        answer(until="never"),
        b"[" * 100_000,
    ],
)
def test_what_is_no_answer_is_told(payload: bytes) -> None:
    with pytest.raises(BadAnswerError):
        decode(payload)


@pytest.mark.parametrize(
    ("settings", "params"),
    [
        ({}, {"kinds": ["reading"], "limit": 9}),
        (
            {"records": ("5minute", "hour"), "devices": ("a",)},
            {"kinds": ["5minute", "hour"], "limit": 9, "devices": ("a",)},
        ),
        (
            {"records": ("samples",), "columns": {"x": "b.c", "y": "a.b"}},
            {"kinds": ["reading"], "limit": 9, "entities": ("a.b", "b.c")},
        ),
        (
            {"entities": ("a.*",), "columns": {"x": "a.b"}},
            {"kinds": ["reading"], "limit": 9, "entities": ("a.*",)},
        ),
    ],
)
def test_what_is_asked_for(settings: dict[str, object], params: dict[str, object]) -> None:
    assert params_of(msgspec.convert({"kind": "stdout", **settings}, Output), 9) == params
