"""`python -m statistician replay`: the recorder's scenarios through the command, and what it refuses."""

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from statistician.replay import main, told
from statistician.replay.lines import _Raw
from tests.house import ROOT
from tests.statistician.scenario import COLUMNS, Event, Restart, Scenario, Source, expected, load, number
from tests.statistician.test_scenarios import SAME, alike

# Not those with operations, for which the format has no word, nor with a last_reset that is no time.
NAMES = [name for name in SAME if name[:2] != "34" and not load(name).ops]
Lines = list[dict[str, str | float | None]]
Rows = dict[tuple[str, str, str], dict[str, float | str | None]]
NOON = datetime(2024, 1, 10, 12, tzinfo=UTC)


Done = subprocess.CompletedProcess[str]


def text_of(lines: Iterable[object]) -> str:
    return "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)


def command(lines: Iterable[object], *options: str) -> Done:
    """What the command does, in a process of its own."""
    asked = [sys.executable, "-m", "statistician", "replay", "-", *options]
    return subprocess.run(asked, cwd=ROOT, input=text_of(lines), capture_output=True, text=True, check=False)


def replay(lines: Iterable[object], *options: str) -> Done:
    """What it does, in this process: a start takes longer than most logs."""
    source, out, told_to = io.BytesIO(text_of(lines).encode()), io.TextIOWrapper(io.BytesIO()), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.TextIOWrapper(source))
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", told_to)
        code = main(["-", *options])
    out.seek(0)
    return subprocess.CompletedProcess([], code, out.read(), told_to.getvalue())


def rows(lines: Iterable[object], *options: str, run: Callable[..., Done] = replay) -> Rows:
    done = run(lines, *options)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    keys = [(row["entity"], row["period"], row["start"]) for row in found]
    assert keys == sorted(keys)
    return dict(zip(keys, found, strict=True))


def at(seconds: float) -> str:
    return f"{(NOON + timedelta(seconds=seconds)).strftime('%Y-%m-%dT%H:%M:%S.%f')[:-3]}Z"


def told_of(scenario: Scenario) -> Lines:
    """A scenario in the command's words."""
    lines: Lines = [
        {
            "entity": s.entity,
            "state_class": s.state_class,
            "unit": s.unit,
            "device_class": s.device_class,
        }
        for s in scenario.entities
    ]
    lines.append({"start": scenario.start})
    moments: list[tuple[datetime, int, Source | Restart, Event | None]] = [
        (datetime.fromisoformat(event.t), 2, source, event)
        for source in scenario.entities
        for event in source.events
    ]
    moments += [(datetime.fromisoformat(r.down), 0, r, None) for r in scenario.restarts]
    resets: dict[str, str | None] = {}
    for _, _, what, event in sorted(moments, key=lambda moment: moment[:2]):
        if isinstance(what, Restart):
            lines.append({"down": what.down, "up": what.up})
        elif event is not None:
            lines += told_state(what, event, resets)
    return [*lines, {"end": scenario.end}]


def told_state(source: Source, event: Event, resets: dict[str, str | None]) -> Lines:
    if event.remove:
        return [{"entity": source.entity, "ts": event.t, "state_class": None}]
    lines: Lines = []
    changes = {"state_class": event.state_class, "unit": event.unit, "device_class": event.device_class}
    said = {word: text for word, text in changes.items() if text is not msgspec.UNSET}
    if said:
        lines.append({"entity": source.entity, **said})
    if event.last_reset is not msgspec.UNSET:
        resets[source.entity] = event.last_reset
    value = number(event.state)
    reset = {} if value is None else {"last_reset": resets.get(source.entity)}
    return [*lines, {"entity": source.entity, "ts": event.t, "value": value, **reset}]


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_the_recorders(name: str) -> None:
    found = rows(told_of(load(name)))
    wanted = {(r.entity, r.period, iso(r.start)): r for r in expected(name)}
    assert found.keys() == wanted.keys()
    for key, row in wanted.items():
        got = found[key]
        numbers = [c for c in COLUMNS if c != "last_reset"]
        assert alike(tuple(got[c] for c in numbers), tuple(getattr(row, c) for c in numbers)), (key, got)  # type: ignore[misc]  # numbers, as selected
        assert got["last_reset"] == (iso(row.last_reset) if row.last_reset else None), key


def iso(text: str) -> str:
    moment = datetime.fromisoformat(text).astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


VOLT = {"entity": "bat.v", "state_class": "measurement", "unit": "V", "device_class": "voltage"}
ENERGY = {"entity": "bat.e", "state_class": "total_increasing", "unit": "kWh"}


def test_a_late_state_gives_the_rows_of_one_in_time() -> None:
    states = [{"entity": "bat.e", "ts": at(60 * n), "value": float(n * n)} for n in range(40)]
    # The last of its period, so that its row is another one without it.
    late = [*states[:9], *states[10:30], {**states[9], "late": True}, *states[30:]]
    end = {"end": at(3600)}
    assert rows([ENERGY, *states, end]) == rows([ENERGY, *late, end])
    assert len(rows([ENERGY, *states, end])) == 12 + 1


def test_a_time_that_falls_is_a_clock_that_was_set() -> None:
    # From the tenth to the twentieth minute it was an hour ahead.
    states = [{"entity": "bat.e", "ts": at(60 * n), "value": float(n)} for n in range(30)]
    ahead = [{**state, "ts": at(60 * n + (3600 if 10 <= n < 20 else 0))} for n, state in enumerate(states)]
    end = {"end": at(1800)}
    found = rows([ENERGY, *ahead, end])
    assert found == rows([ENERGY, *states, end])
    assert [row["sum"] for row in found.values()] == [4.0, 9.0, 14.0, 19.0, 24.0, 29.0]


def test_silence_ends_what_expires() -> None:
    lines = [{**VOLT, "expire_after": 120}, {"entity": "bat.v", "ts": at(0), "value": 12.0}, {"end": at(600)}]
    (row,) = rows(lines).values()
    assert (row["mean"], row["coverage"]) == (12.0, 0.4)


@pytest.mark.parametrize(("daily", "total"), [(True, 100 + 300), (False, 100 + 100)])
def test_a_daily_counter_begins_anew_after_a_silent_night(total: float, *, daily: bool) -> None:
    night = 26 * 3600
    lines = [
        {**ENERGY, "daily": daily, "expire_after": 600},
        *(
            {"entity": "bat.e", "ts": at(ts), "value": value}
            for ts, value in ((0, 100.0), (60, 200.0), (night, 300.0))
        ),
        {"end": at(night + 300)},
    ]
    assert list(rows(lines).values())[-2]["sum"] == total


def test_the_page_has_every_word() -> None:
    page = (ROOT / "docs" / "replay.md").read_text(encoding="utf-8")
    for word in msgspec.structs.fields(_Raw):
        assert f'"{word.name}":' in page, word.name


def test_a_state_before_the_start_is_only_carried_in_whenever_it_comes() -> None:
    early = {"entity": "bat.e", "ts": at(-7200), "value": 5.0}
    lines = [
        {"entity": "bat.v", "ts": at(-60), "value": 12.0},
        {"entity": "bat.v", "ts": at(600), "value": 1.0},
    ]
    late = [ENERGY, VOLT, {"start": at(0)}, lines[0], early, lines[1], {"end": at(900)}]
    in_time = [ENERGY, VOLT, {"start": at(0)}, early, *lines, {"end": at(900)}]
    later = [ENERGY, VOLT, {"start": at(0)}, *lines, early, {"end": at(900)}]
    found = rows(in_time)
    assert [key[2] for key in found if key[0] == "bat.e"] == [at(0), at(300), at(600)]
    assert [row["sum"] for row in found.values() if row["entity"] == "bat.e"] == [0.0, 0.0, 0.0]
    assert rows(late) == found
    assert rows(later) == found


def test_a_declaration_belongs_to_the_next_line_with_a_time() -> None:
    lines: list[dict[str, object]] = [
        {**VOLT},
        {"entity": "bat.v", "ts": at(10), "value": 12.0},
        {"entity": "bat.v", "state_class": None},
        {"entity": "bat.v", "ts": at(700), "value": 13.0},
        {"end": at(1200)},
    ]
    assert [key[2] for key in rows(lines)] == [at(0), at(300)]
    lines[2]["ts"] = at(305)
    # The class that counts is the one at the time of the compilation, ten seconds after the end.
    assert rows(lines) == {}


def test_a_stop_is_made_up_and_a_month_of_silence_sets_no_sum_back() -> None:
    day = 86_400
    lines = [
        ENERGY,
        {"entity": "bat.e", "ts": at(0), "value": 1400.0},
        {"entity": "bat.e", "ts": at(4000), "value": 1410.0},
        {"down": at(8000), "up": at(30 * day)},
        {"entity": "bat.e", "ts": at(30 * day + 60), "value": 1411.5},
        {"end": at(30 * day + 600)},
    ]
    found = [row for key, row in rows(lines).items() if key[1] == "5minute"]
    sums = [row["sum"] for row in found]
    assert sums == sorted(sums)  # type: ignore[type-var]  # all are numbers
    assert sums[-1] == 11.5
    # As live: of the time in which nobody was there nothing is made up.
    assert len(found) == 27 + 2


def test_texts_and_null_are_gaps_and_coverage_says_so() -> None:
    values = ((0, 10.0), (60, None), (120, 20.0), (180, "unavailable"), (240, 10.0))
    lines = [VOLT, *({"entity": "bat.v", "ts": at(t), "value": v} for t, v in values), {"end": at(300)}]
    (row,) = rows(lines).values()
    assert row["mean"] == pytest.approx(40 / 3)
    assert (row["coverage"], row["sum"]) == (0.6, None)


def test_the_database_is_kept_and_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "kept.db"
    lines = [VOLT, {"entity": "bat.v", "ts": at(0), "value": 1}, {"end": at(300)}]
    assert len(rows(lines, "--database", str(path), run=command)) == 1
    done = command(lines, "--database", str(path))
    assert (done.returncode, done.stdout) == (2, "")
    assert "there already" in done.stderr


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("{", "JSON"),
        ({"entity": "bat.v", "ts": at(1)}, "value"),
        ({"entity": "bat.v", "value": 1}, "ts"),
        ({"entity": "bat.v", "ts": "yesterday", "value": 1}, "ts"),
        ({"entity": "bat.v", "ts": "2024-01-10T12:00:00", "value": 1}, "ts"),
        ({"entity": "bat.v", "ts": "1960-01-10T12:00:00Z", "value": 1}, "ts"),
        ({"entity": "bat.v", "ts": at(1), "value": [1]}, "value"),
        ({"entity": "bat.v", "ts": at(1), "value": True}, "value"),
        ({"entity": "bat.v", "ts": at(1), "value": 1, "last_reset": "never"}, "last_reset"),
        ({"entity": "bat.v", "ts": at(1), "value": 1, "state_class": "total"}, "state_class"),
        ({"entity": "Bat V", "ts": at(1), "value": 1}, "entity"),
        ({"entity": "bat.v", "state_class": "sum"}, "state_class"),
        ({"entity": "bat.v", "state_clas": "total"}, "state_clas"),
        ({"down": at(1)}, "up"),
        ({"down": at(2), "up": at(1)}, "up"),
        ({"start": at(1)}, "start"),
        ({}, "entity"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_printed(line: object, field: str) -> None:
    good = [VOLT, {"entity": "bat.v", "ts": at(0), "value": 1}]
    text = line + "\n" if isinstance(line, str) else line
    done = replay([*good, "\n", text, {"end": at(900)}])
    assert (done.returncode, done.stdout) == (2, "")
    # On a busy machine it tells how far it is before that.
    said = done.stderr.splitlines()[-1]
    assert said.startswith("replay: line 4: ")
    assert field in said


def test_progress_is_told_only_if_it_takes_long() -> None:
    now = iter([0.0, 0.5, 1.9, 2.1, 2.5, 3.2])
    said: list[str] = []
    for _ in told(io.BytesIO(b"12345678\n" * 5), 45, said.append, lambda: next(now)):
        pass
    assert said == ["replay: 3 lines, 1 lines/s, 60 %\n", "replay: 5 lines, 2 lines/s, 100 %\n"]


def test_three_days_are_replayed() -> None:
    lines = [VOLT, *({"entity": "bat.v", "ts": at(26 * n), "value": n % 97 / 7} for n in range(10_000))]
    assert len(rows(lines, run=command)) > 860
