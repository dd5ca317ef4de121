"""A siege of the house: walkers of every role, then kills at random. Who dies, stalls, grows, forgets."""

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.commands import SETTINGS, Commander, Given, Stream, workplace
from bench.footprint import memory
from bench.measure import Goal, goals, page, progress, table
from tests.client import Client
from tests.emulators.vedirect import Cable, SmartShunt, Talker
from tests.journeys.house import PROCESSES, ROOT, House, secured_house
from tests.secured import SecuredBroker

ROLES = {"viewer": "viewer", "guest": "viewer", "operator": "operator", "walker": "publisher"}
USERS = '[user.guest]\nrole = "viewer"\n[user.walker]\nrole = "publisher"\ndevices = ["walker"]\n'
# The relay stands after a kill as before it, so that each answer can be held against the one before. One more
# step of the shunt's voltage each time: whatever is missing in the database was lost.
_MORE = """boot = "restore"
[statistician]
commit_interval = 0.5
[device.shunt]
kind = "vedirect"
port = "{port}"
min_interval = 0
steps = {{ voltage = 0.0005 }}
"""
# A reading of it goes out each second; a question by HEX, which it does not answer, takes another one.
_STEP_S = 2.5
# Fewer readings would say little of what is lost, however short the walk was.
_LEAST_MADE = 8
_COMMAND_EVERY_S = 0.05
_IDLE_COMMANDS = 200
# The collector of the shunt lives: what nobody measured cannot be lost.
_MORTAL = ("mosquitto", "statistician", "controller", "collector_ble")
_BETWEEN_KILLS_S = 1.5
_SETTLE_S = 120.0
# A command takes as long as the machine lets it at least: below it a ratio says nothing, ms.
_FLOOR_MS = 5.0


@dataclass(slots=True)
class Report:
    """What a siege did to a house; memory in MB by process, before, after the walk and at the end."""

    sent: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    dead: list[str] = field(default_factory=list)
    idle: Given = field(default_factory=Given)
    walked: Given = field(default_factory=Given)
    stormed: Given = field(default_factory=Given)
    before: dict[str, float] = field(default_factory=dict)
    walk: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)
    made: int = 0
    lost: int = 0
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """How much longer the slowest of a hundred answers took while the walkers walked."""
        return self.walked.percentile(0.99) / max(self.idle.percentile(0.99), _FLOOR_MS)


class Source:
    """A shunt whose voltage rises one step at a time, so that each reading is told from all others."""

    def __init__(self, shunt: SmartShunt) -> None:
        self._shunt = shunt
        self.made: list[float] = []
        self._end = threading.Event()
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._end.wait(_STEP_S):
            volts = round(10 + len(self.made) / 1000, 3)
            self._shunt.volts = volts
            self.made.append(volts)
            if len(self.made) >= _LEAST_MADE:
                self._enough.set()

    def stop(self) -> list[float]:
        """Rise no more once there was enough, and tell what there was; the last may not have been said."""
        self._enough.wait(_SETTLE_S)
        self._end.set()
        self._thread.join()
        return self.made[1:-1]


def besiege(
    house: House,
    *,
    messages: int,
    kills: int,
    seconds: float,
    seed: int = 1,
    roles: Mapping[str, str] = ROLES,
) -> Report:
    """Walk, then walk and kill, for at most `seconds` each. The house runs, and has the users of USERS."""
    report = Report()
    secured = house.broker
    assert isinstance(secured, SecuredBroker)  # noqa: S101 — whoever calls says which
    commander = Commander(secured.port, login=secured.login("operator"))
    try:
        for _ in range(_IDLE_COMMANDS):
            commander.give(report.idle)
        report.before = _memories(house)
        first = messages // 2 if kills else messages
        with _walkers(secured, roles, first, seconds, seed=seed, sent=report.sent):
            stream = Stream(commander, _COMMAND_EVERY_S)
        report.walked = stream.stop()
        report.walk = _memories(house)
        report.dead = _dead(house)
        if kills and not report.dead:
            with _walkers(secured, roles, messages // 2, seconds, seed=seed + 100, sent=report.sent):
                stream = Stream(commander, _COMMAND_EVERY_S)
                _storm(house, kills, seed, report)
            report.stormed = stream.stop()
            report.dead = _dead(house)
        for _ in range(20):
            commander.give(report.stormed)
        report.after = _memories(house)
    finally:
        commander.close()
    return report


@contextmanager
def _walkers(
    secured: SecuredBroker,
    roles: Mapping[str, str],
    messages: int,
    seconds: float,
    *,
    seed: int,
    sent: Counter[str],
) -> Iterator[None]:
    """Run a walker of each role, in processes of their own, until all have sent their share."""
    share = messages // len(roles)
    running = []
    for number, (user, role) in enumerate(roles.items()):
        words = (secured.port, role, user, share, seconds, seed + number)
        # They stand for other machines: what they need of this one's cores is not the house's.
        command = ["nice", "-n", "19", sys.executable, "-m", "tests.journeys.walker", *map(str, words)]
        pipe = subprocess.PIPE
        one = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        assert one.stdin is not None  # noqa: S101 — a pipe was asked for
        one.stdin.write(secured.login(user)[1] + "\n")
        one.stdin.close()
        one.stdin = None
        running.append(one)
    try:
        yield
        for one in running:
            told, _ = one.communicate(timeout=seconds + 60)
            lines = [json.loads(line) for line in told.splitlines()]
            sent.update(lines[-1] if lines else {})
    finally:
        for one in running:
            one.kill()
            one.communicate()


def _storm(house: House, kills: int, seed: int, report: Report) -> None:
    dice = random.Random(seed)  # noqa: S311 — the same kills for the same number
    for _ in range(kills):
        name = dice.choice(_MORTAL)
        if name == "mosquitto":
            house.broker.kill()
            house.broker.start()
        else:
            house.kill(name)
            house.start(name)
        report.kills[name] += 1
        time.sleep(dice.uniform(0, _BETWEEN_KILLS_S))


def _dead(house: House) -> list[str]:
    """Who has ended; until somebody waits for it, it is a zombie."""
    found = []
    for name, pid in house.pids().items():
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2]
        found += [name] if state.startswith("Z") else []
    return found


def _memories(house: House) -> dict[str, float]:
    return {name: memory(pid).pss for name, pid in house.pids().items()}


@contextmanager
def besieged(folder: Path) -> Iterator[tuple[House, Source]]:
    """Start a house with passwords and all its processes, and a shunt on its cable."""
    with ExitStack() as stack:
        cable, shunt = Cable(), SmartShunt()
        stack.callback(cable.pull)
        stack.enter_context(Talker(cable.write, shunt, period=0.1))
        settings = SETTINGS + _MORE.format(port=cable.path)
        house = stack.enter_context(secured_house(folder, settings, *PROCESSES, users=USERS))
        # All that the walkers say is more than this process should hear.
        house.client.close()
        assert isinstance(house.broker, SecuredBroker)  # noqa: S101 — that is what it is
        heard = ("camper/service/+", "camper/health/+")  # as a person would watch
        house.client = Client(house.broker.port, *heard, login=house.broker.login("admin"))
        house.start(*PROCESSES)
        yield house, Source(shunt)


def settle(house: House, source: Source, report: Report) -> None:
    """Wait until all that was measured is in the database, as long as may be; then say what is not."""
    made = set(source.stop())
    report.made = len(made)
    deadline = time.monotonic() + _SETTLE_S
    while True:
        kept = {round(float(v), 3) for _, v in house.stored().get(("shunt", "voltage"), []) if v is not None}
        report.lost = len(made - kept)
        if not report.lost or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    for name in PROCESSES:
        said = json.loads(house.client.latest(f"camper/health/{name}") or b"{}")
        report.problems |= {f"{name}: {subject}": text for subject, text in said.get("problems", {}).items()}
        # In peace, or it hangs.
        if house.end(name, signal.SIGTERM) != 0:
            report.dead.append(name)


def measure(*, quick: bool, messages: int, kills: int, seconds: float) -> str:
    """Run a siege and return its tables."""
    if quick:
        messages, kills, seconds = 4_000, 2, 8.0
    with workplace() as folder, besieged(folder) as (house, source):
        progress(f"siege: {messages} messages, {kills} kills, at most {2 * seconds:g} s and what kills take")
        report = besiege(house, messages=messages, kills=kills, seconds=seconds)
        settle(house, source, report)
    return tell(report)


def tell(report: Report) -> str:
    """Write a siege as tables."""
    answers = [
        (
            name,
            g.answered,
            g.again,
            g.undecided,
            g.unanswered,
            *(f"{g.percentile(p):.1f}" for p in (0.5, 0.99, 1)),
        )
        for name, g in (
            ("idle", report.idle),
            ("walkers", report.walked),
            ("walkers and kills", report.stormed),
        )
    ]
    ends = (report.before, report.walk, report.after)
    memories = [(name, *(f"{found.get(name, 0.0):.1f}" for found in ends)) for name in report.before]
    head = (
        "an operator's commands",
        "answered",
        "of them again",
        "internal",
        "unanswered",
        "p50 ms",
        "p99 ms",
        "longest ms",
    )
    sent = ", ".join(f"{name} {count}" for name, count in report.sent.most_common())
    kills = ", ".join(f"{name} {count}" for name, count in report.kills.most_common()) or "none"
    problems = "; ".join(f"{name}: {text}" for name, text in report.problems.items()) or "none"
    remark = (
        f"{report.sent.total()} packets ({sent}); {report.kills.total()} kills ({kills}). Of {report.made}"
        f" readings of the shunt {report.lost} are missing in the database."
        f" Dead or hanging: {', '.join(report.dead) or 'none'}. Problems at the end: {problems}."
    )
    ours = {n: mb for n, mb in report.before.items() if n != "mosquitto"}
    growth = max((report.after.get(n, 0.0) - mb for n, mb in ours.items()), default=0.0)
    verdicts = [
        Goal("deaths and hangs", len(report.dead), 0),
        Goal("readings lost", report.lost, 0),
        Goal("commands unanswered", report.walked.unanswered + report.stormed.unanswered, 0),
        Goal("commands answered wrongly", report.walked.wrong + report.stormed.wrong, 0),
        Goal("p99 with walkers, of idle", report.ratio, 10),
        Goal("growth of a service, MB", growth, 20),
    ]
    return page(
        table(head, answers),
        table(("memory, PSS MB", "before", "after the walk", "at the end"), memories),
        remark,
        goals(verdicts),
    )
