"""Failures, kills and power cuts in any order: nothing is missing, nothing is ahead of what is missing."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from config.model import Output
from forwarder.outputs import RefusedError, SendError, TooLargeError
from forwarder.records import Record
from tests.clock import NOON_MS
from tests.forwarder.feeds import Bench, Taken, reading
from tests.rounds import rounds


class DeathError(BaseException):
    """The process ends here."""


class Doomed(Taken):
    """A sink that fails in each way, once the test says so; a death comes after the batch was taken."""

    next: Exception | type[DeathError] | None = None

    def send(self, records: Sequence[Record]) -> None:
        """Take records, or fail."""
        error, self.next = self.next, None
        # One alone that is too large would be set aside.
        if isinstance(error, Exception) and (len(records) > 1 or not isinstance(error, TooLargeError)):
            raise error
        super().send(records)
        if isinstance(error, type):
            raise error


READINGS = Output(kind="stdout", start="all", batch=3)
SAMPLES = replace(READINGS, records=("samples",), interval=10.0)
STEPS = st.one_of(
    st.integers(1, 9),
    st.sampled_from(
        [
            "fails",
            "refuses",
            "too large",
            "error",
            "dies",
            "dies before",
            "silent",
            "power cut",
            "minute",
            "hour",
        ]
    ),
)
ERRORS: dict[str, Exception | type[DeathError]] = {
    "fails": SendError("away", after=7.0),
    "refuses": RefusedError("no"),
    "too large": TooLargeError("413"),
    "error": ZeroDivisionError("ours"),
    "dies": DeathError,
}


def run(bench: Bench, seconds: float) -> None:
    """Let time pass; whoever dies is started again."""
    while True:
        try:
            bench.run(seconds)
        except DeathError:
            bench.start()
        else:
            return


def live(folder: Path, output: Output, steps: Sequence[int | str]) -> Bench:
    """Go through the steps, and then let everything work."""
    sink = Doomed()
    bench = Bench(folder, output, sink)
    bench.taken = sink
    for step in steps:
        bench.feed.silent = step == "silent"
        if isinstance(step, int):
            first = len(bench.feed.changes)
            bench.feed.changes += [reading(5.0 * n, float(n)) for n in range(first, first + step)]
            bench.feed.until = NOON_MS + 5000 * (first + step) - 1
            bench.worker.news()
        elif step in ERRORS:
            sink.next = ERRORS[step]
        elif step in ("power cut", "dies before"):
            if step == "power cut":
                shutil.rmtree(folder / "memory", ignore_errors=True)
            bench.start()
        run(bench, {"minute": 61, "hour": 3601}.get(str(step), 6))
    sink.next, bench.feed.silent = None, False
    run(bench, 4000)
    return bench


@settings(max_examples=rounds(60, 1000), deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_readings_come_in_order_whatever_happens(steps: list[int | str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench = live(Path(folder), READINGS, steps)
    wanted = [change.key for change in bench.feed.changes if not isinstance(change, str)]  # type: ignore[union-attr]  # there are readings alone
    place = {key: number for number, key in enumerate(wanted)}
    newest = -1
    for key in bench.taken.keys:
        assert place[key] <= newest + 1, "one is ahead of one that is missing"
        newest = max(newest, place[key])
    assert newest == len(wanted) - 1


@settings(max_examples=rounds(60, 1000), deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_samples_are_those_of_an_undisturbed_run(steps: list[int | str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench = live(Path(folder) / "a", SAMPLES, steps)
        calm = live(Path(folder) / "b", SAMPLES, [step for step in steps if isinstance(step, int)])
    assert list({one.ts: one for one in bench.taken.records}.values()) == calm.taken.records
