"""`boondock restore`."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cli.backup.archive import Reader
from cli.backup.restore import START, Plan, aside, plan, restore
from cli.backup.sources import Part

# systemctl returns before the last service has ended.
_PATIENCE_S = 20.0


def command(
    file: Annotated[Path, typer.Argument(help="A backup; one with changes needs the whole one beside it.")],
    *,
    only: Annotated[Part | None, typer.Option(help="Only this part of it.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done.")] = False,
    root: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the system is mounted.")] = Path("/"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Bring a house back from a backup; what stands there is kept under a dated name."""
    told: list[str] = []
    with Reader(file.absolute()) as reader:
        done = plan(reader, root.absolute(), datetime.now(UTC), only)
        if not dry_run:
            restore(reader, done, told.append, patience=_PATIENCE_S)
    if as_json:
        print(msgspec.json.encode(_data(done, told)).decode())
        return 0
    print(*(f"boondock restore: {text}" for text in told), sep="\n", end="\n" * bool(told), file=sys.stderr)
    print(*(done.lines() if dry_run else _lines(done)), sep="\n")
    return 0


def _data(done: Plan, told: list[str]) -> dict[str, object]:
    return {
        "made": done.manifest.made,
        "written": [entry.path for entry in done.entries if not entry.folder],
        "kept": {str(path): str(aside(path, done.stamp)) for path in done.moved},
        "left": [str(path) for path in done.left],
        "notes": told,
    }


def _lines(done: Plan) -> Iterator[str]:
    files = sum(not entry.folder for entry in done.entries)
    yield f"restored {files} files of {done.manifest.made}"
    for path in done.left:
        yield f"left {path} as it is: the readings that wait in it are newer"
    folders = sorted({str(aside(path, done.stamp).parent) for path in done.moved})
    if folders:
        yield f"what was there is in {', '.join(folders)}"
    yield f"now start it: {START}"
