"""The text file of Prometheus, read from the description of its format, version 0.0.4."""

import re
import stat
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from forwarder.outputs import SendError
from forwarder.outputs.prometheus import PrometheusSink, text
from forwarder.records import Reading, Removed
from tests.forwarder.rig import AT, REMOVED, SAMPLE, place, row, soc

_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\{(.*)\} (\S+)\Z")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\["\\n])*)"(?:,|\Z)')
Found = dict[str, dict[tuple[tuple[str, str], ...], float]]


def parse(said: str) -> Found:
    """Metrics by name and labels: HELP and TYPE once, before the samples of their metric."""
    found: Found = {}
    helped: list[str] = []
    assert said.endswith("\n")
    for line in said[:-1].split("\n"):
        if line.startswith("# HELP "):
            helped.append(line.split(" ")[2])
        elif line.startswith("# TYPE "):
            name, kind = line.split(" ")[2:]
            assert (name, kind) == (helped[-1], "gauge")
            assert name not in found
            found[name] = {}
        else:
            match = _SAMPLE.match(line)
            assert match, line
            assert match[1] == helped[-1]
            labels = tuple((label, _unescaped(word)) for label, word in _LABEL.findall(match[2]))
            assert _LABEL.sub("", match[2]) == ""
            assert labels not in found[match[1]]
            found[match[1]][labels] = float(match[3])
    return found


def _unescaped(word: str) -> str:
    return re.sub(r"\\(.)", lambda match: {"n": "\n"}.get(match[1], match[1]), word)


LABELS = (("device", "smartshunt"), ("entity", "soc"), ("unit", "%"))
VALUE, TIME = "boondock_value", "boondock_value_timestamp_seconds"


def test_the_file_has_the_newest_value_of_each_entity(tmp_path: Path) -> None:
    path = tmp_path / "text" / "van.prom"
    sink = PrometheusSink(place(tmp_path, "prometheus", path=str(path)))
    pump, mode = Reading("relay.pump", AT, "ON"), Reading("smartshunt.mode", AT, "bulk")
    sink.send([soc(97), soc(98.5, 1000), soc(1, 500), pump, mode, row(), SAMPLE])
    found = parse(path.read_text())
    assert found == {
        VALUE: {LABELS: 98.5, (("device", "relay"), ("entity", "pump")): 1.0},
        TIME: {LABELS: (AT + 1000) / 1000, (("device", "relay"), ("entity", "pump")): AT / 1000},
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [file.name for file in path.parent.iterdir()] == ["van.prom"]
    sink.send([soc(None, 2000), Reading("relay.pump", AT + 1, "OFF")])
    assert parse(path.read_text())[VALUE] == {(("device", "relay"), ("entity", "pump")): 0.0}
    sink.close()


def test_what_is_void_is_no_value(tmp_path: Path) -> None:
    path = tmp_path / "van.prom"
    sink = PrometheusSink(place(tmp_path, "prometheus", path=str(path)))
    others = (
        Removed("smartshunt.soc", "hour", AT, AT + 9),
        Removed("smartshunt.soc", "reading", AT + 1, AT + 9),
    )
    sink.send([soc(), *others])
    assert parse(path.read_text())[VALUE] == {LABELS: 97.5}
    sink.send([REMOVED])
    assert parse(path.read_text())[VALUE] == {}
    sink.send([soc(5, -1000)])
    assert parse(path.read_text())[VALUE] == {LABELS: 5.0}


def test_a_file_is_replaced_as_a_whole_and_only_if_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "van.prom"
    sink = PrometheusSink(place(tmp_path, "prometheus", path=str(path)))
    sink.send([soc()])
    with path.open() as reader:
        first = path.stat().st_ino
        sink.send([Reading("smartshunt.mode", AT, "bulk")])
        assert path.stat().st_ino == first
        sink.send([soc(98, 1)])
        assert parse(reader.read())[VALUE] == {LABELS: 97.5}, "who reads has the whole of the old one"
    path.unlink()
    sink.send([Reading("smartshunt.mode", AT, "absorption")])
    assert parse(path.read_text())[VALUE] == {LABELS: 98.0}


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    path = tmp_path / "van.prom"
    path.mkdir()
    with pytest.raises(SendError, match=f"{path} cannot be written: Is a directory; check path"):
        PrometheusSink(place(tmp_path, "prometheus", path=str(path))).send([soc()])


@example('a\n\\"', 1.0)
@given(st.text(), st.floats(allow_nan=False, allow_infinity=False))
def test_any_unit_and_number_come_back(unit: str, value: float) -> None:
    found = parse(text({"a.b": Reading("a.b", AT, value, unit)}))
    labels = (("device", "a"), ("entity", "b"), *([("unit", unit)] if unit else []))
    assert found == {VALUE: {labels: value}, TIME: {labels: AT / 1000}}
