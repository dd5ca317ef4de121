"""`boondock dump`."""

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from cli import dump, output
from cli.errors import CommandError
from cli.house import CREDENTIALS, INSTALLED, House, Json, talks


@talks
def command(
    house: House,
    target: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Default: here.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Write a bundle for a bug report: settings, health, versions and logs, with all secrets taken out."""
    target = target or Path(f"boondock-dump-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz")
    files = {"versions.txt": dump.versions()}
    toml = house.file()
    text = toml.read_text(encoding="utf-8", errors="replace") if toml.exists() else ""
    files["boondock.toml"] = text
    broker = None
    try:
        broker = house.broker()
        files["broker.txt"] = dump.retained(broker)
    except CommandError as error:
        # The reason may be what the report is about.
        files["broker.txt"] = f"{error}\n"
    running = house.running()
    files |= {"journal.txt": dump.journal()} if running is None else dict(dump.logs(Path(running.logs)))
    folders = [CREDENTIALS, INSTALLED.parent / "secrets"]
    folders += [
        Path(os.environ[name])
        for name in ("BOONDOCK_SECRETS", "CREDENTIALS_DIRECTORY")
        if os.environ.get(name)
    ]
    secrets = dump.known_secrets(folders, dict(os.environ), broker) | dump.toml_secrets(text)
    dump.write(target, files, dump.Cleaner(secrets))
    said = f"{target}: settings, health, versions and logs, without secrets. Look into it before you send it."
    output.show({"file": str(target), "files": sorted(files)}, [said], as_json=as_json)
