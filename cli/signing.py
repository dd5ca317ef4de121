"""`boondock key` and `boondock verify`: the key that this house signs with, and a check of signed data."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from bus.messages import to_iso
from cli.house import Config, House, Json
from cli.terminal import CommandError, Progress, show

if TYPE_CHECKING:
    from forwarder.chain import Check

# Where an installed house's forwarder keeps what outlives a restart.
STATE = Path("/var/lib/boondock-forwarder")
_WORDS = {
    "reading": ("reading", "readings"),
    "5minute": ("5-minute row", "5-minute rows"),
    "hour": ("hourly row", "hourly rows"),
    "removed": ("removal", "removals"),
}


def _folder(config: Path | None) -> Path:
    """Find the folder where the house has its key. Raises CommandError."""
    house = House(config=config)
    running = house.running()
    if running is not None and running.state is not None:
        return Path(running.state)
    if not house.is_installed():
        return Path(house.settings().storage.state)
    if not STATE.is_dir():
        raise CommandError(
            "this house signs nothing yet; next: an [[output]] of kind signed, then sudo boondock install"
        )
    return STATE


@contextmanager
def _told() -> Iterator[None]:
    """Tell of a key that cannot be used, and of a library that is not there, in a line."""
    try:
        yield
    except ImportError as error:
        raise CommandError(
            f"{error.name} is not installed; next, in the folder of the project: .venv/bin/python -m pip"
            " install --require-hashes -r requirements-signed.lock"
        ) from error
    except ValueError as error:
        raise CommandError(str(error)) from error


def key(*, config: Config = None, as_json: Json = False) -> None:
    """Show the public key that belongs to this house's signed data; it is made if there is none.

    Give it to whoever shall check the data, before it is needed: what another key signs later does not fit.
    The private key is never shown.
    """
    with _told():
        from forwarder.tokens import KEY_FILE, house_key  # noqa: PLC0415 — of an extra, which may be missing

        found = house_key(_folder(config) / KEY_FILE)
    said = {"thumbprint": found.thumbprint, "jwk": found.jwk(), "pem": found.pem()}
    lines = [found.pem().rstrip(), f"thumbprint {found.thumbprint}"]
    show(said, lines, as_json=as_json)


def verify(
    files: Annotated[
        list[Path], Argument(metavar="FILE...", help="What was signed; older files before newer ones.")
    ],
    *,
    key_file: Annotated[
        Path | None,
        Option(
            "--key", metavar="FILE", help="The public key, as `boondock key` shows it; default: this house's."
        ),
    ] = None,
    published: Annotated[
        str | None, Option(metavar="HASH", help="Of a token that was published: it must be among them.")
    ] = None,
    part: Annotated[bool, Option("--part", help="They may begin in the middle.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Check signed data: every signature, and that no line is missing, changed or added.

    It names the first line that is wrong, and why; then the exit code is 1. Lines that were cut off at the
    end leave no trace: compare the last hash with one that you have from elsewhere.
    """
    with _told():
        from forwarder.chain import Check  # noqa: PLC0415 — of an extra, which may be missing
        from forwarder.tokens import KEY_FILE, read_key  # noqa: PLC0415 — as above

        path = key_file or _folder(config) / KEY_FILE
        found = read_key(path)
    if found is None:
        raise CommandError(
            f"there is no key {path}; next: --key FILE, with what `boondock key` shows where it was signed"
        )
    check = Check(found, part=part)
    seen = _take_all(check, files, published)
    if check.digest is None:
        raise CommandError(f"there is no token in {', '.join(map(str, files))}")
    if not seen:
        raise CommandError(
            f"all lines are good, but none has the hash {published}: the token that was published was cut off"
            " with those after it, or it is in another file"
        )
    show(_said(check, found.thumbprint), _lines(check, found.thumbprint), as_json=as_json)


def _take_all(check: "Check", files: Sequence[Path], published: str | None) -> bool:
    """Check all lines; whether the published one is among them. Raises CommandError, OSError."""
    from forwarder.tokens import WrongTokenError  # noqa: PLC0415 — as above

    seen = published is None
    for path in files:
        for number, line in _lines_of(path):
            try:
                # A file that was moved away may end with the token that the next one begins with.
                if not (number == 1 and check.repeats(line)):
                    check.take(line)
            except WrongTokenError as error:
                raise CommandError(f"{path}: line {number} is wrong: {error}") from error
            seen = seen or check.digest == published
    return seen


def _lines_of(path: Path) -> Iterator[tuple[int, bytes]]:
    """Read the lines of a file with their numbers, without their ends. Raises OSError."""
    from forwarder.tokens import LONGEST  # noqa: PLC0415 — as above

    progress, size, done, number = Progress(), max(1, path.stat().st_size), 0, 0
    with path.open("rb") as file:
        while line := file.readline(LONGEST):
            number += 1
            done += len(line)
            progress.show(done / size, f"line {number}")
            yield number, line.removesuffix(b"\n")
    progress.done()


def _said(check: "Check", thumbprint: str) -> dict[str, object]:
    found = check.contents
    return {
        "good": True,
        "thumbprint": thumbprint,
        "counts": dict(found.counts),
        "entities": sorted(found.entities),
        "start": to_iso(found.start) if found.counts else None,
        "end": to_iso(found.end) if found.counts else None,
        "first": check.first,
        "last": check.last,
        "hash": check.digest,
    }


def _lines(check: "Check", thumbprint: str) -> Iterator[str]:
    found = check.contents
    counted = [
        f"{count:,} {_WORDS.get(kind, (kind, kind))[count != 1]}"
        for kind, count in sorted(found.counts.items())
    ]
    number = len(found.entities)
    span = f" from {to_iso(found.start)} to {to_iso(found.end)}" if found.counts else ""
    what = (
        f"{' and '.join(counted) or 'nothing'} of {number:,} {'entity' if number == 1 else 'entities'}{span}"
    )
    yield f"good: {what}, signed by {thumbprint}"
    if check.first > 1:
        yield f"begins with token {check.first}: what was before is not in it"
    yield f"ends with token {check.last}, hash {check.digest}: lines cut off after it leave no trace"
