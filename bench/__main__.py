"""`python -m bench <what>`: run a measurement, print its table, keep it in bench/RESULTS.md.

Figures are of this machine and this minute; read the ratios.
"""

import argparse
import sys
from collections.abc import Callable

from bench import compile as compiling
from bench import footprint, ingest, latency, load, outputs, page, power_cut, purge, query, radio, siege, wear
from bench.results import keep

Measure = Callable[[argparse.Namespace], str]

_ROUNDS = 5
MEASUREMENTS: dict[str, tuple[str, Measure]] = {
    "ingest": (
        "receive, commit, acknowledge: against paho doing nothing",
        lambda a: ingest.measure(quick=a.quick, rounds=_rounds(a), peer=a.peer),
    ),
    "compile": (
        "closing a 5-minute period: against SQL",
        lambda a: compiling.measure(quick=a.quick, rounds=_rounds(a)),
    ),
    "wear": (
        "bytes written to the device for each state",
        lambda a: wear.measure(quick=a.quick),
    ),
    "purge": (
        "removing a day of states",
        lambda a: purge.measure(quick=a.quick, rounds=_rounds(a)),
    ),
    "power-cut": (
        "power cuts at random points of all that is kept: damage, loss, and controls that must fail",
        lambda a: power_cut.measure(quick=a.quick, seed=a.seed),
    ),
    "query": (
        "a day, a month and ten years of one entity",
        lambda a: query.measure(quick=a.quick, rounds=_rounds(a)),
    ),
    "load": (
        "200 clients and 2,000 messages/s, then a broker that is killed 20 times",
        lambda a: load.measure(quick=a.quick, seconds=a.seconds),
    ),
    "siege": (
        "walkers of every role, then kills at random: who dies, stalls, grows, forgets",
        lambda a: siege.measure(quick=a.quick, messages=a.messages, kills=a.kills, seconds=a.seconds),
    ),
    "latency": (
        "command, pin, state seen: against an echo in C",
        lambda a: latency.measure(quick=a.quick, rounds=_rounds(a)),
    ),
    "outputs": (
        "readings/s, CPU and memory of each output",
        lambda a: outputs.measure(quick=a.quick, rounds=_rounds(a)),
    ),
    "page": (
        "the page in Chromium: first paint, all tiles, size, memory",
        lambda a: page.measure(quick=a.quick, rounds=_rounds(a)),
    ),
    "footprint": (
        "memory of the broker and each process",
        lambda a: footprint.measure(3 if a.quick else a.seconds),
    ),
    "radio": (
        "memory and CPU of the Bluetooth collector with twelve devices",
        lambda a: radio.measure(3 if a.quick else a.seconds),
    ),
}


def _rounds(arguments: argparse.Namespace) -> int:
    return int(arguments.rounds or (1 if arguments.quick else _ROUNDS))


def main() -> int:
    """Run the measurement named on the command line."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    commands = parser.add_subparsers(dest="what", title="measurements")
    for name, (what, _) in MEASUREMENTS.items():
        command = commands.add_parser(name, help=what, description=what)
        command.add_argument("--no-keep", action="store_true", help="do not write bench/RESULTS.md")
        command.add_argument("--quick", action="store_true", help="a small run that only shows that it runs")
        command.add_argument(
            "--rounds", type=int, help=f"interleaved rounds, {_ROUNDS} unless said otherwise"
        )
        if name == "power-cut":
            command.add_argument("--seed", type=int, help="of the cuts; it stands in the results")
        if name == "ingest":
            command.add_argument("--peer", choices=["homeassistant"], help="also measure this one's recorder")
        if name == "siege":
            command.add_argument("--messages", type=int, default=1_000_000, help="packets of all walkers")
            command.add_argument("--kills", type=int, default=300, help="processes killed, the broker too")
            command.add_argument("--seconds", type=float, default=1800, help="the longest each half may take")
        if name in ("footprint", "load", "radio"):
            command.add_argument("--seconds", type=int, default=60, help="how long the work lasts")
    arguments = parser.parse_args()
    if arguments.what is None:
        parser.print_help()
        return 0
    found = MEASUREMENTS[arguments.what][1](arguments)
    print(found)
    if not arguments.no_keep:
        keep(arguments.what, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
