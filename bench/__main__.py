"""`python -m bench <what>`: run a measurement, print its table, keep it in bench/RESULTS.md."""

import argparse
import sys

from bench import footprint
from bench.results import keep


def main() -> int:
    """Run the measurement named on the command line."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--no-keep", action="store_true", help="do not write bench/RESULTS.md")
    measurements = parser.add_subparsers(dest="what", required=True)
    memory = measurements.add_parser("footprint", help="memory of the broker and each process")
    memory.add_argument("--seconds", type=int, default=60, help="how long it works before the second look")
    arguments = parser.parse_args()
    table = footprint.measure(arguments.seconds)
    print(table)
    if not arguments.no_keep:
        keep("footprint", table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
