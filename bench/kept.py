"""What the house keeps on disk: how each file is written, and what must be found after a power cut.

`python -m bench.kept <name> <folder> <marks>` writes in the product's own code, and tells on `marks` what was
promised so far; `check` opens with the product's own code what is left.
"""

import json
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bus import state_files
from bus.about import About, Entity
from bus.announcer import Announcer
from bus.clock import Anchor, read_anchor, write_anchor
from bus.events import Sent
from bus.outbox import Outbox
from bus.retained import RetainedTopics
from bus.topics import Topics
from cli.broker import Vault, hashes, password_file
from cli.broker.files import BrokerFile
from collector.device_store import DeviceStore
from config.model import Device
from config.model import Statistician as Settings
from controller.files import Memory
from statistician.records import Batch, State, Table
from statistician.store import Store
from statistician.store.backup import Backup, kept, verify
from tests.statistician.rig import SECOND, START, Rig

Said = dict[str, int]
Tell = Callable[..., None]
Faults = Iterator[str]
_STREAM = "ble-1"
_ROUNDS = 60
# With a statistician that is away: what is older is on disk.
_LOSS_S = 15


@dataclass(frozen=True, slots=True)
class Kept:
    """One of the files: `promise` is what was confirmed; `faulty`: written wrongly on purpose."""

    name: str
    promise: str
    write: Callable[[Path, Tell], None]
    check: Callable[[Path, Said], Faults]
    faulty: bool = False


def _database(folder: Path, tell: Tell, *, safe: bool = True) -> None:
    rig = Rig(folder / "statistics.db", settings=Settings(commit_interval=5.0))
    rig.connect()
    rows: set[str] = set()
    for seq in range(1, 1501):
        if seq in (500, 1000):
            (rig.restart if seq == 500 else rig.crash)()
            rig.connect()
        if seq in (1, 500, 1000):
            if not safe:
                rig.store.engine.all("PRAGMA synchronous = off")
            rig.describe("van", {"voltage": Entity(name="U", state_class="measurement")})
            rig.own("van", "ble")
        rig.now += SECOND
        rig.reading("van", {"voltage": float(seq)}, stream=_STREAM, seq=seq)
        rig.settle()
        rows |= {row.start for row in rig.notes.statistics("van", "5minute")}
        for mark in rig.notes.watermarks(_STREAM)[-1:]:
            tell(watermark=mark, rows=len(rows))
        rig.notes.forget()
    rig.close()


def _check_database(folder: Path, said: Said) -> Faults:
    rig = Rig(folder / "statistics.db", now=START + 7200 * SECOND)
    if rig.store.damage:
        yield rig.store.damage
    rig.connect()
    rig.settle()
    again = max(rig.notes.watermarks(_STREAM), default=0)
    found = {
        int(value)
        for (value,) in rig.store.engine.all(
            "SELECT value FROM states JOIN entity ON entity.id = states.entity"
            " WHERE entity.entity = 'voltage' AND value IS NOT NULL"
        )
        if isinstance(value, float)
    }
    rows = rig.rows("voltage", Table.FIVE_MINUTES)
    rig.close()
    yield from _whole(folder / "statistics.db")
    confirmed = max(said.get("watermark", 0), again)
    missing = set(range(1, confirmed + 1)) - found
    if missing:
        yield f"{len(missing)} of {confirmed} confirmed readings are gone"
    if len(rows) < said.get("rows", 0):
        yield f"{len(rows)} rows of {said['rows']} that were published"


def _whole(path: Path) -> Faults:
    with closing(sqlite3.connect(path)) as database:
        said = database.execute("PRAGMA integrity_check").fetchall()
    if said != [("ok",)]:
        yield f"{path.name}: {said[:3]}"


def _backups(folder: Path, tell: Tell) -> None:
    store = Store(folder / "statistics.db", folder / "backups")
    for day in range(1, 7):
        backup = Backup(store.path, folder / "backups", START + day * 86_400_000)
        backup.start()
        backup.wait(60)
        if backup.error:
            raise RuntimeError(backup.error)
        tell(copies=min(day, 3))
    store.close()


def _check_backups(folder: Path, said: Said) -> Faults:
    copies = kept(folder / "backups", folder / "statistics.db")
    if len(copies) < said.get("copies", 0):
        yield f"{len(copies)} copies are left of {said['copies']}"
    for copy in copies:
        if problem := verify(copy):
            yield f"{copy.name}: {problem}"


def _restored(folder: Path, tell: Tell) -> None:
    """Find a damaged database at start, and put the newest copy in its place."""
    path = folder / "statistics.db"
    store = Store(path)
    store.commit(Batch(states=[State(START + number, 1, float(number), None) for number in range(3000)]))
    backup = Backup(path, folder / "backups", START)
    backup.start()
    backup.wait(60)
    store.close()
    with path.open("r+b") as file:
        file.write(bytes(8192))
        file.flush()
        os.fsync(file.fileno())
    tell(copied=3000)
    Store(path).close()
    tell(restored=1)


def _check_restored(folder: Path, said: Said) -> Faults:
    if not said.get("copied"):
        return
    store = Store(folder / "statistics.db")
    (found,) = store.engine.one("SELECT count(*) FROM states") or (0,)
    if store.damage and said.get("restored"):
        yield store.damage
    store.close()
    yield from _whole(folder / "statistics.db")
    if found != said["copied"]:
        yield f"{found!r} states of {said['copied']}"


def _outbox(folder: Path, tell: Tell) -> None:
    """Move readings to disk and from it: the statistician is away, confirms a little, is away again."""
    outbox = Outbox(folder / "run", folder / "state", "ble")
    for second in range(1, 601):
        outbox.append("camper/state/van", b'{"voltage":%d}' % second, float(second))
        tell(made=second)
        outbox.settle(float(second))
        if outbox.on_disk and outbox.waiting == outbox.on_disk:
            tell(on_disk=second)
        if second in (200, 400):
            tell(watermark=second - 20)
            outbox.watermark(outbox.stream, second - 20, float(second))
    outbox.close()
    tell(on_disk=600)


def _check_outbox(folder: Path, said: Said) -> Faults:
    # /run is empty after a power cut.
    files = Outbox(folder / "after", folder / "state", "ble")
    rows = files.after(0, 10_000)
    files.close()
    if files.problem:
        yield files.problem
    yield from (f"{path.name} was set aside" for path in (folder / "state").glob("*.damaged"))
    found = {json.loads(row.payload).get("voltage") for row in rows if row.topic == "camper/state/van"}
    promised = max(said.get("on_disk", 0), said.get("made", 0) - _LOSS_S)
    expected = set(range(said.get("watermark", 0) + 1, promised + 1))
    if missing := expected - found:
        yield f"{len(missing)} of {len(expected)} readings on disk, or older than 15 s, are gone"


def _registry(folder: Path, tell: Tell) -> None:
    store = DeviceStore(folder / "ble-devices.json")
    for number in range(1, _ROUNDS):
        device = Device(kind="victron", name="x" * (number * 37 % 1000) + f" {number}")
        store.put(f"d{number % 7}", device)
        tell(version=number)


def _check_registry(folder: Path, said: Said) -> Faults:
    store = DeviceStore(folder / "ble-devices.json")
    if store.problem or store.unread:
        yield store.problem or f"unread: {list(store.unread)}"
    newest = max((int((d.name or "0").split()[-1]) for d in store.devices.values()), default=0)
    yield from _version(newest, said)


def _version(found: int, said: Said) -> Faults:
    if not said.get("version", 0) <= found <= said.get("version", 0) + 1:
        yield f"version {found} is there, {said.get('version', 0)} was confirmed"


def _relays(folder: Path, tell: Tell) -> None:
    memory = Memory(folder / "relays.json")
    for number in range(1, _ROUNDS):
        memory.remember(f"relay{number}", on=True)
        tell(version=number)


def _check_relays(folder: Path, said: Said) -> Faults:
    memory = Memory(folder / "relays.json")
    on = [number for number in range(1, _ROUNDS) if memory.was_on(f"relay{number}")]
    yield from _version(len(on), said)
    if on != list(range(1, len(on) + 1)):
        yield f"not a state that ever was: {on}"


class _Bus:
    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        correlation: bytes | None = None,
    ) -> Sent:
        del topic, payload, qos, retain, correlation
        return Sent.YES


def _write_now(keeper: Announcer | RetainedTopics) -> None:
    file = getattr(keeper, "file", keeper)
    getattr(file, "close", getattr(keeper, "save", lambda: None))()


def _announced(folder: Path, tell: Tell) -> None:
    announcer = Announcer(_Bus(), Topics(), service="ble", path=folder / "announced.json")
    for number in range(1, _ROUNDS):
        about = About(name="d", service="ble", entities={"e": Entity(name="e")})
        announcer.about(f"d{number}", about)
        _write_now(announcer)
        tell(version=number)


def _check_announced(folder: Path, said: Said) -> Faults:
    found = state_files.read(folder / "announced.json", dict[str, dict[str, object]])
    yield from _version(len(found or {}), said)


def _published(folder: Path, tell: Tell) -> None:
    manifest = RetainedTopics(folder / "published.json")
    for number in range(1, _ROUNDS):
        manifest.add(f"d{number}", ["voltage"])
        _write_now(manifest)
        tell(version=number)


def _check_published(folder: Path, said: Said) -> Faults:
    yield from _version(len(RetainedTopics(folder / "published.json").devices), said)


def _clock(folder: Path, tell: Tell) -> None:
    for number in range(1, _ROUNDS):
        write_anchor(folder / "house-clock.json", Anchor(number, "boot", 1.5, synchronised=True))
        tell(version=number)


def _check_clock(folder: Path, said: Said) -> Faults:
    anchor = read_anchor(folder / "house-clock.json")
    yield from _version(anchor.ts if anchor else 0, said)


def _broker(folder: Path, tell: Tell) -> None:
    """Write a user's password again and again: the clear one, then its hash."""
    for number in range(1, 12):
        vault = Vault(folder / "secrets")
        password = vault.password("boondock-viewer-password", renew=True)
        vault.save()
        file = BrokerFile(folder / "passwords", "", hashes=True)
        BrokerFile(file.path, password_file({"viewer": password}, file.old), hashes=True).settle()
        BrokerFile(folder / "acl", f"{number}\n" * 300).settle()
        tell(version=number)


def _check_broker(folder: Path, said: Said) -> Faults:
    acl = folder / "acl"
    lines = acl.read_text(encoding="ascii").split() if acl.exists() else []
    if lines and lines != [lines[0]] * 300:
        yield "acl: not a state that ever was"
    yield from _version(int(lines[0]) if lines else 0, said)
    passwords = folder / "passwords"
    if passwords.exists() and list(hashes(passwords.read_text(encoding="ascii"))) != ["viewer"]:
        yield "passwords: not a state that ever was"


def _unsynced(folder: Path, tell: Tell) -> None:
    """Written beside and renamed, but not one fsync."""
    for number in range(1, _ROUNDS):
        fresh = folder / "fresh.json"
        fresh.write_text(json.dumps({str(one): number for one in range(100)}), encoding="ascii")
        fresh.replace(folder / "kept.json")
        tell(version=number)


def _in_place(folder: Path, tell: Tell) -> None:
    """Written over the old one, with fsync."""
    for number in range(1, _ROUNDS):
        with (folder / "kept.json").open("w", encoding="ascii") as file:
            json.dump({str(one): number for one in range(100)}, file)
            file.flush()
            os.fsync(file.fileno())
        tell(version=number)


def _check_json(folder: Path, said: Said) -> Faults:
    try:
        found = json.loads((folder / "kept.json").read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        if said.get("version", 0):
            yield str(error)
        return
    yield from _version(max(found.values()), said)


def _database_without_sync(folder: Path, tell: Tell) -> None:
    _database(folder, tell, safe=False)


KEPT = (
    Kept("database", "every seq up to the watermark, every row published", _database, _check_database),
    Kept("backups", "the newest three copies, whole", _backups, _check_backups),
    Kept("copy in place of a damaged database", "what the copy holds", _restored, _check_restored),
    Kept("outbox", "all but the last 15 s, and what was on disk", _outbox, _check_outbox),
    Kept("registry", "the newest answer", _registry, _check_registry),
    Kept("relay memory", "the newest position", _relays, _check_relays),
    Kept("announced", "all that was announced", _announced, _check_announced),
    Kept("published", "all that was published", _published, _check_published),
    Kept("house clock", "the newest time", _clock, _check_clock),
    Kept("broker's files", "the newest users", _broker, _check_broker),
    Kept(
        "control: database, synchronous off", "as above", _database_without_sync, _check_database, faulty=True
    ),
    Kept("control: renamed without fsync", "the newest version", _unsynced, _check_json, faulty=True),
    Kept("control: written in place", "the newest version", _in_place, _check_json, faulty=True),
)


def main() -> None:
    """Write one of KEPT, and tell what is promised."""
    name, folder, marks = sys.argv[1:]
    (found,) = (one for one in KEPT if one.name == name)
    told = os.open(marks, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def tell(**said: int) -> None:
        os.write(told, json.dumps(said).encode())

    found.write(Path(folder), tell)


if __name__ == "__main__":
    main()
