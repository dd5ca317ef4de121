"""An installed house in a folder, backed up and restored."""

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cli.backup import HouseFiles, Part
from cli.backup.archive import Reader
from cli.backup.make import Destination, back_up
from cli.backup.restore import plan_restore, put_back
from config import load
from statistician.store import Store

NOW = datetime(2026, 11, 28, 3, 30, tzinfo=UTC)
TOML = """
[device.mppt]
kind = "victron_solar_charger"
address = "C0:11:22:33:44:66"
key = "ffffffffffffffffffffffffffffffff"
"""
FILES = {
    "etc/boondock/boondock.toml": TOML,
    "etc/boondock/.env": "BOONDOCK_BROKER__PORT=1884\n",
    "etc/boondock/secrets/device__mppt__key": "0123456789abcdef0123456789abcdef",
    "etc/boondock/mosquitto/ca.crt": "the authority",
    "etc/credstore/boondock-viewer-password": "a-b-c",
    "etc/credstore/boondock-ca.key": "its key",
    "etc/systemd/system/boondock-mosquitto.service.d/override.conf": "[Service]\n",
    "var/lib/boondock-clock/house-clock.json": "{}",
    "var/lib/boondock-controller/relays.json": '{"pump": true}',
    "var/lib/boondock-controller/controller-access.log": "pump ON\n",
    "var/lib/boondock-forwarder/signing-key.pem": "its key",
    "var/lib/boondock-forwarder/outputs/history/cursor.json": "{}",
    "var/lib/boondock-collector-ble/collector_ble-devices.json": '{"devices": {}}',
    "var/lib/boondock-collector-ble/collector_ble-announced.json": "[]",
}
STRANGERS = {
    "var/lib/boondock-install/update.json": "of this machine's software",
    "etc/credstore/nginx.key": "not ours",
    "var/lib/mosquitto/mosquitto.db": "not ours",
    "var/lib/boondock-forwarder/outputs/history/history.chain": "a second token of a number would be a fork",
    "var/lib/boondock-backup/notes.txt": "no backup of backups",
    "var/lib/boondock-statistician/backups/statistics-20261127T033000000000Z.db": "the statistician's own",
    "var/lib/boondock-statistician/statistics.db.damaged": "of no use",
}
DATABASE = "var/lib/boondock-statistician/statistics.db"


def put(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
        (root / name).chmod(0o600)


def fill(database: Path, first: int, count: int) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as opened:
        opened.execute("CREATE TABLE IF NOT EXISTS house (number INTEGER PRIMARY KEY, text TEXT)")
        opened.execute("BEGIN")
        for number in range(first, first + count):
            opened.execute("INSERT OR REPLACE INTO house VALUES (?, ?)", (number, f"{number}" * 50))
        opened.execute("COMMIT")


def rows(database: Path) -> list[tuple[int, str]]:
    with closing(sqlite3.connect(database)) as opened:
        assert opened.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return opened.execute("SELECT number, text FROM house ORDER BY number").fetchall()


def installed(tmp_path: Path) -> Path:
    """A system with an installed house that has data."""
    root = tmp_path / "root"
    put(root, FILES | STRANGERS)
    Store(root / DATABASE).close()
    fill(root / DATABASE, 0, 3000)
    return root


def house_in(root: Path) -> HouseFiles:
    settings = load.load(root / "etc/boondock/boondock.toml")
    return HouseFiles(settings, Path("/etc/boondock/boondock.toml"), Path("/etc/boondock/secrets"), root)


def target(tmp_path: Path, keep: int = 7) -> Destination:
    return Destination(tmp_path / "usb", keep)


def made(tmp_path: Path, root: Path, days: float = 0, *, keep: int = 7, whole: bool = False) -> Path:
    return back_up(house_in(root), target(tmp_path, keep), "van", NOW + timedelta(days=days), whole=whole)


def tree(root: Path) -> dict[str, bytes]:
    found = {str(one.relative_to(root)): one for one in root.rglob("*") if one.is_file()}
    return {name: path.read_bytes() for name, path in sorted(found.items()) if name != DATABASE}


def restored(path: Path, root: Path, only: Part | None = None) -> None:
    with Reader(path) as reader:
        put_back(reader, plan_restore(reader, root, NOW, only))


def spoiled(path: Path, share: float) -> None:
    with path.open("r+b") as file:
        file.seek(int(path.stat().st_size * share))
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 0xFF]))
