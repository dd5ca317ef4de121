"""Secret files and .env as the services see them."""

import stat
from collections.abc import Iterator

from cli.machine.finding import Finding
from cli.machine.place import UNIT, Place

FOLDER = "/etc/boondock/secrets"
_ENV = "/etc/boondock/.env"
_UNITS = (
    UNIT,
    "etc/systemd/system/boondock-controller.service",
    "etc/systemd/system/boondock-statistician.service",
)
_LOADED = "LoadCredential=secrets:"


def secrets(place: Place) -> Iterator[Finding]:
    """Folder, owners, modes, and whether the units load them."""
    yield from _units(place)
    folder = place.at(FOLDER)
    if not folder.is_dir():
        if place.has_units:
            mend = f"sudo install -d -m 700 {FOLDER}"
            yield Finding("secrets", f"there is no {FOLDER}, which the services load", mend)
        return
    if folder.stat().st_mode & 0o077:
        yield Finding("secrets", f"others than root may look into {FOLDER}", f"sudo chmod 700 {FOLDER}")
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file())
    except PermissionError:
        yield Finding("secrets", f"you may not read {FOLDER}", "sudo boondock check --machine")
        return
    wrong = False
    for path in files:
        shown = f"{FOLDER}/{path.name}"
        found = path.stat()
        if found.st_uid != 0:
            wrong = True
            yield Finding("secrets", f"{shown} is not root's", f"sudo chown root:root {shown}")
        if stat.S_IMODE(found.st_mode) & 0o077:
            wrong = True
            yield Finding("secrets", f"others than its owner may read {shown}", f"sudo chmod 600 {shown}")
    if not wrong:
        yield Finding("secrets", f"{len(files)} files, root's alone", ok=True)


def _units(place: Place) -> Iterator[Finding]:
    if not place.has_units:
        return
    for unit in _UNITS:
        if place.at(unit).exists() and _LOADED not in place.text(unit):
            name = unit.rpartition("/")[2]
            yield Finding("secrets", f"{name} does not load {FOLDER}", "sudo boondock update")
    if place.at(_ENV).exists() and not place.at(_ENV).stat().st_mode & stat.S_IROTH:
        text = f"the services may not read {_ENV}"
        mend = "put its settings into boondock.toml and its secrets into secret files"
        yield Finding(".env", text, mend)
