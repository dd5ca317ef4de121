"""Writes docs/health.md from scripts/health_table.py: python -m scripts.health. A test compares the two."""

import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from scripts.health_table import entries

PAGE = Path(__file__).parents[1] / "docs" / "health.md"

_HEAD = """\
# What health says

To see what is wrong, type `sudo boondock status`. Each process publishes its health on
`camper/health/<service>` ([the message](contract.md#service-and-health)). *Counters* say how often something
has happened since its start. *Facts* say what lasts. *Problems* say what is wrong now and what to do. A
counter that never counted is not there. `<device>` and the like stand for any name. This page is made from
the code by `python -m scripts.health`.
"""
_KINDS = {"counter": "Counters", "fact": "Facts", "problem": "Problems"}


def page() -> str:
    """Return the page as it must stand on disk."""
    return _HEAD + "".join(_chapters())


def _chapters() -> Iterator[str]:
    for who, of_who in groupby(entries(), lambda entry: entry.who):
        yield f"\n## {who}\n"
        for kind, rows in groupby(of_who, lambda entry: entry.kind):
            yield f"\n| {_KINDS[kind]} | what it means | what to do |\n|---|---|---|\n"
            yield from (f"| `{row.name}` | {row.means} | {row.then or 'nothing'} |\n" for row in rows)


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
