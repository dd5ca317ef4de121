"""An output of one kind with a folder of its own, and records to send."""

from pathlib import Path

from bus.messages import Value
from config.model import Output
from forwarder.outputs import Place
from forwarder.records import Reading, Removed, Sample, StatisticsRow

# 2026-11-21T06:40:10.512Z
AT = 1795243210512


def place(folder: Path, kind: str, **settings: object) -> Place:
    """Where an output works."""
    return Place("van", Output(kind=kind, **settings), folder)  # type: ignore[arg-type]  # what each test says


def soc(value: Value = 97.5, after_ms: int = 0) -> Reading:
    return Reading("smartshunt.soc", AT + after_ms, value, "%")


def row(rev: int = 0, **values: Value) -> StatisticsRow:
    return StatisticsRow("smartshunt.soc", "hour", AT, values or {"mean": 97.0, "max": 98.5}, rev, "%")


REMOVED = Removed("smartshunt.soc", "reading", AT, AT + 1000)
SAMPLE = Sample(AT, {"soc": 97.5, "charge state": "bulk", "water": None})
