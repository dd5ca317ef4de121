"""Asks what is wired where, and makes a plan of the answers."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cli import install
from cli.install import System, plan, texts
from cli.install.kinds import (
    KINDS,
    PINS,
    RELAY,
    SERIAL,
    TCP,
    AnswerError,
    Kind,
    Question,
    Value,
    id_for,
    shown,
    toml_value,
    whole,
    yes,
)
from cli.install.plan import ELSEWHERE, EXISTING, OWN, Plan
from cli.install.steps import zone_of
from cli.terminal import CommandError
from config.addresses import NETWORK, is_here

Read = Callable[[str], str]
_TABLES = {
    OWN: "a broker of its own, with a password for each process and person",
    EXISTING: "keep the Mosquitto that runs here",
    ELSEWHERE: "one on another machine",
}
PARTS = {
    "outputs": "an output: a relay",
    "device": "a device",
    "broker": "the MQTT broker",
    "phone": "phones on the local network",
    "zone": "the time zone",
    "page": "the page for the browser",
}
_PAGES = {
    "none": "none",
    "here": "for this machine alone",
    "tls": "for phones and computers on the local network, encrypted: each trusts this house once",
    "plain": "the same without encryption: everybody on the network can read the passwords",
}
_NONE, _SAME = "-", "as it is"
_LOGIN = ("host", "port", "username", "password", "tls_ca")


@dataclass
class Draft:
    """boondock.toml in the making: values by table and key, None takes one away; secrets by their files."""

    tables: dict[str, dict[str, Value | None]] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    ids: set[str] = field(default_factory=lambda: {"alarm", "rule", "relay"})

    def table(self, name: str, values: Mapping[str, Value | None]) -> None:
        """Note a table; empty ones are left out."""
        if values:
            self.tables[name] = dict(values)

    def text(self) -> str:
        """As a new file."""
        return "\n".join(
            "\n".join(
                [f"[{name}]", *(f"{key} = {one}" for key, one in values.items() if one is not None), ""]
            )
            for name, values in self.texts().items()
            if any(one is not None for one in values.values())
        )

    def texts(self) -> dict[str, dict[str, str | None]]:
        """Write the values as TOML does."""
        return {
            name: {key: None if one is None else toml_value(one) for key, one in values.items()}
            for name, values in self.tables.items()
        }


class Interview:
    """One run of questions; `read` gives an answer to a prompt, EOFError ends everything unchanged.

    Without `read` every default is taken. `known` is what boondock.toml says already.
    """

    def __init__(
        self,
        system: System,
        read: Read | None,
        say: Callable[[str], None],
        known: Mapping[str, Any] | None = None,
    ) -> None:
        self._system = system
        self._read = read
        self._say = say
        self._known = known or {}
        self.draft = Draft()
        self.draft.ids |= {*plan.tables(self._known, "device"), *plan.tables(self._known, "relay")}
        self.zone: str | None = None
        self.broker: str | None = None

    def plan(self, source: Path, release: Path) -> Plan:
        """Ask everything about a new house. Raises CommandError where the answers end."""
        self._say(
            "Questions, each with a default in brackets: Enter takes it. Nothing is changed before the end."
        )
        with self._whole("start again; without a terminal use --yes and a boondock.toml in this folder"):
            self._zone()
            self._broker()
            if self.broker == OWN:
                self._phones()
                self._page()
            self._devices()
            self._relays()
            self.draft.table("device.pi", {"kind": "raspberry_pi"})
            toml = self.draft.text()
            self._say("")
            self._say(f"This will be {plan.SETTINGS}; keys and passwords go into files of their own:")
            self._say("\n".join(f"    {line}" for line in toml.splitlines()))
            self._agree("Install this")
        settings = plan.parsed(toml, plan.SETTINGS)
        return Plan(
            source=str(source),
            release=str(release),
            toml=toml,
            broker=self.broker or OWN,
            secrets=self.draft.secrets,
            time_zone=self.zone,
            i2c=plan.needs_i2c(settings),
            uart=plan.needs_uart(settings),
        )

    def part(self, name: str | None) -> str:
        """Ask about one part of a house that there is; returns which. Raises CommandError."""
        with self._whole("start again"):
            if name is None:
                if self._read is None:
                    raise CommandError(f"--yes of which part?\nnext: name one: {', '.join(PARTS)}")
                name = self._choose("What shall be changed:", list(PARTS.items()), 1)
            asked = {
                "outputs": self._output,
                "device": self._one_device,
                "phone": self._phones,
                "page": self._page,
            }
            asked |= {"broker": self._broker, "zone": self._zone}
            asked[name]()
        return name

    def agree(self, question: str) -> None:
        """Ask whether to go on. Raises CommandError if not."""
        with self._whole("start again"):
            self._agree(question)

    def _agree(self, question: str) -> None:
        if not self._ask(Question("", question, "y", yes)):
            raise CommandError("nothing was changed")

    @contextmanager
    def _whole(self, step: str) -> Iterator[None]:
        """Let answers that end be an CommandError."""
        try:
            yield
        except (EOFError, KeyboardInterrupt):
            raise CommandError(f"the answers ended: nothing was changed\nnext: {step}") from None

    def _ask(self, question: Question) -> Value:
        """Ask for an answer that can be; a wrong one is asked for again."""
        default = "" if question.default is None else f" [{question.default}]"
        while True:
            answer = question.default
            if self._read is not None:
                typed = self._read(f"{question.text}{default}: ").strip()
                if not sys.stdin.isatty():
                    # The log of a run with answers through a pipe can be read, also by others.
                    self._say("(not shown)" if typed and question.secret else typed)
                answer = typed or question.default
            elif answer is None:
                raise CommandError(f"--yes has no answer to: {question.text}\nnext: leave --yes out")
            if answer is None:
                self._say("  an answer is needed here")
                continue
            try:
                return question.take(answer)
            except AnswerError as error:
                if self._read is None:
                    raise CommandError(f"{question.text}: {error}\nnext: leave --yes out") from error
                self._say(f"  {error}")

    def _again(self, question: Question, old: Mapping[str, Any]) -> Value | None:
        """Ask for a new answer; None: it stays as it is, which is the default."""
        there = old.get(question.key)
        default = _SAME if question.secret or there is None else shown(there)

        def take(value: str) -> Value:
            return value if value == default else question.take(value)

        answer = self._ask(replace(question, default=default, take=take))
        return None if answer in (default, there) else answer

    def _choose(self, prompt: str, options: Sequence[tuple[str, str]], default: int) -> str:
        """One of the options by its number; returns its word."""
        self._say(prompt)
        for place, (_, title) in enumerate(options, 1):
            self._say(f"  {place}  {title}")
        answer = self._ask(Question("", "Number", str(default), whole(1, len(options))))
        return options[int(str(answer)) - 1][0]

    def _zone(self) -> None:
        known = install.zones(self._system)
        now = zone_of(self._system) or "Etc/UTC"

        def take(value: str) -> str:
            if known and value not in known:
                near = [one for one in sorted(known) if value.lower().replace(" ", "_") in one.lower()]
                raise AnswerError(f"such as Europe/Berlin; near that: {', '.join(near[:5]) or 'nothing'}")
            return value

        self.zone = str(self._ask(Question("", "Time zone", now, take)))

    def _broker(self) -> None:
        there = texts.existing_broker(self._system.root) if plan.keeps(self._system) else None
        options = [OWN, *([EXISTING] if there is not None else []), ELSEWHERE]
        now = plan.broker_of(self._known, self._system)
        default = options.index(now) + 1 if now in options else 1
        self.broker = self._choose("The MQTT broker:", [(one, _TABLES[one]) for one in options], default)
        old = self._known.get("broker", {})
        if self.broker == ELSEWHERE:
            self._elsewhere(old if now == ELSEWHERE else {k: v for k, v in old.items() if k == "base"})
            return
        table: dict[str, Value | None] = dict.fromkeys(_LOGIN if now == ELSEWHERE else ())
        if now == ELSEWHERE:
            self.draft.gone.add("broker__password")
        if self.broker == EXISTING and there is not None:
            table["port"] = there.port if there.port != 1883 else None
        self.draft.table("broker", {k: v for k, v in table.items() if v != old.get(k)})

    def _phones(self) -> None:
        host = str(self._known.get("broker", {}).get("host", "127.0.0.1"))
        if not is_here(host):
            raise CommandError(f"phones reach the broker on {host} as it is set up there\nnext: set it there")
        listening = self._known.get("lan", {}).get("listen", [])
        words = "Shall phones on the local network reach it, encrypted (y/n)"
        if not self._ask(Question("", words, shown(bool(listening)), yes)):
            self.draft.table("lan", {"listen": None} if listening else {})
            return
        names = self._interfaces(listening)
        self.draft.table("lan", {"listen": names} if names != list(listening) else {})

    def _page(self) -> None:
        old = self._known.get("page", {})
        if not is_here(str(self._known.get("broker", {}).get("host", "127.0.0.1"))):
            raise CommandError(
                "the page is served beside the broker, which is on another machine\nnext: docs/page.md"
            )
        listening = self.draft.tables.get("lan", self._known.get("lan", {})).get("listen")
        if old.get("enabled"):
            now = "here" if not old.get("listen") else "tls" if old.get("tls", True) else "plain"
        elif self._known:
            now = "none"
        else:
            # A new house gets one, open to those to whom the broker is.
            now = "tls" if listening else "here"
        choice = self._choose("The page for the browser:", list(_PAGES.items()), [*_PAGES].index(now) + 1)
        wanted: dict[str, Value | None] = {"enabled": choice != "none", "listen": None, "tls": None}
        if choice in ("tls", "plain"):
            wanted |= {
                "listen": self._interfaces(old.get("listen") or listening or []),
                "tls": choice == "tls",
            }
        implied = {"enabled": False, "tls": True}
        self.draft.table(
            "page",
            {
                k: one
                for k, one in wanted.items()
                if one != old.get(k, None if one is None else implied.get(k))
            },
        )

    def _interfaces(self, listening: Sequence[str]) -> list[str]:
        """Ask which networks may come in."""
        likely = install.interfaces(self._system)
        default = ", ".join(listening) or (likely[0] if likely else "wlan0")
        answer = str(self._ask(Question("", "Which network interface", default, str)))
        return [one.strip() for one in answer.split(",") if one.strip()]

    def _elsewhere(self, old: Mapping[str, Any]) -> None:
        """Where it is, with the answers of before as defaults."""

        def ask(key: str, words: str, default: str | None, take: Callable[[str], Value] = str) -> Value:
            return self._ask(Question(key, words, shown(old[key]) if key in old else default, take))

        table: dict[str, Value | None] = {
            "host": ask("host", "Its name or address (Home Assistant's is often homeassistant.local)", None),
            "port": ask("port", "Its port", "1883", whole(1, 65535)),
            "username": ask("username", "User there, - for none", _NONE),
        }
        if table["username"] == _NONE:
            table["password"] = None
            self.draft.gone.add("broker__password")
        else:
            same = _SAME if table["username"] == old.get("username") else None
            password = str(self._ask(Question("", "Password of that user", same, str, secret=True)))
            if password != same:
                self.draft.secrets["broker__password"] = password
        table["tls_ca"] = ask("tls_ca", "File with its certificate authority (TLS), - for none", _NONE)
        table["base"] = ask("base", "First level of all topics; each van on one broker its own", "camper")
        before = dict(self._known.get("broker", {}))
        implied = {"username": _NONE, "tls_ca": _NONE, "base": "camper"}
        table = {key: None if one == implied.get(key) else one for key, one in table.items()}
        self.draft.table("broker", {k: one for k, one in table.items() if one != before.get(k)})

    def _one_device(self) -> None:
        """Change a device, or add some."""
        there = plan.tables(self._known, "device")
        name = self._which("Which device:", {n: str(one.get("kind")) for n, one in there.items()})
        if not name:
            self._devices()
            return
        kind = _kind_of(there[name])
        if kind is None:
            raise CommandError(
                f"there are no questions about {name}, of kind {there[name].get('kind')}\n"
                "next: change it in boondock.toml by hand"
            )
        self._changed(f"device.{name}", kind.questions, there[name])

    def _output(self) -> None:
        """Change a relay, or add some."""
        there = plan.tables(self._known, "relay")
        name = self._which("Which output:", {n: f"pin {one.get('pin')}" for n, one in there.items()})
        if name:
            self._changed(f"relay.{name}", RELAY, there[name])
        else:
            self._relays()

    def _which(self, prompt: str, there: Mapping[str, str]) -> str:
        """One of those that there are; empty: a new one."""
        options = [("", "a new one"), *((name, f"{name} ({what})") for name, what in there.items())]
        return self._choose(prompt, options, 1) if there else ""

    def _changed(self, table: str, questions: Sequence[Question], old: Mapping[str, Any]) -> None:
        """Ask again; only what is answered otherwise is changed."""
        values: dict[str, Value | None] = {}
        for question in questions:
            answer = self._again(question, old)
            if answer is None:
                continue
            if question.secret:
                self.draft.secrets[f"{table.replace('.', '__')}__{question.key}"] = str(answer)
            else:
                values[question.key] = _port(answer) if question.wire == TCP else answer
        self.draft.table(table, values)

    def _devices(self) -> None:
        there = plan.tables(self._known, "device").values()
        taken = {os.path.realpath(self._system.at(str(one.get("port")))) for one in there}
        for port in install.ports(self._system):
            if os.path.realpath(self._system.at(port.path)) in taken:
                continue
            serial = [one for one in KINDS if one.wire == SERIAL]
            options = [*((one.kind, one.title) for one in serial), ("", "nothing of these")]
            default = next((n for n, one in enumerate(serial, 1) if one.kind == port.kind), len(options))
            kind = self._choose(f"Found the port {port.path}. On it is", options, default)
            if kind:
                self._device(next(one for one in serial if one.kind == kind), {"port": port.path})
        for address in install.chips(self._system):
            if address in [one.get("address") for one in there]:
                continue
            likely = [one for one in KINDS if one.kind in install.kinds_at(address)]
            if not likely:
                continue
            options = [*((one.kind, one.title) for one in likely), ("", "nothing of these")]
            kind = self._choose(f"On the I2C bus {address:#04x} answers. It is", options, len(options))
            if kind:
                self._device(next(one for one in likely if one.kind == kind), {"address": address})
        self._more()

    def _more(self) -> None:
        """Further devices until a person has no more."""
        options = [
            ("", "no more devices"),
            *((str(n), f"{one.title} ({one.wire})") for n, one in enumerate(KINDS)),
        ]
        while answer := self._choose("Add a device:", options, 1):
            self._device(KINDS[int(answer)], {})

    def _device(self, kind: Kind, given: Mapping[str, Value]) -> None:
        if kind.wire == PINS and not install.has_pins(self._system):
            self._say("  This machine has no pins: it will have no readings here.")
        name = id_for(str(self._ask(Question("", "Its name", kind.name, str))), self.draft.ids)
        values: dict[str, Value] = {"kind": kind.kind}
        for question in kind.questions:
            answer = given[question.key] if question.key in given else self._ask(question)
            if question.secret:
                self.draft.secrets[f"device__{name}__{question.key}"] = str(answer)
            else:
                values[question.key] = _port(answer) if question.wire == TCP else answer
        self.draft.table(f"device.{name}", values)

    def _relays(self) -> None:
        first = True
        for name in self._names():
            if (
                first
                and not install.has_pins(self._system)
                and "pins" not in self._known.get("controller", {})
            ):
                pins = self._ask(Question("", "This machine has no pins. Simulate them (y/n)", "y", yes))
                self.draft.table("controller", {"pins": "simulated"} if pins else {})
            first = False
            values = {one.key: self._ask(one) for one in RELAY}
            self.draft.table(f"relay.{id_for(name, self.draft.ids)}", values)

    def _names(self) -> Iterator[str]:
        while (name := str(self._ask(Question("", "A relay: its name, - for no more", "-", str)))) != "-":
            yield name


def _port(answer: Value) -> str:
    """Write the port of a device on the network."""
    return str(answer) if str(answer).startswith(tuple(NETWORK)) else f"tcp://{answer}"


def _kind_of(device: Mapping[str, Any]) -> Kind | None:
    """Find the row of questions for a device of boondock.toml."""
    name = str(device.get("kind"))
    name = "victron" if name.startswith("victron") else name
    wires = (
        {TCP}
        if str(device.get("port", "")).startswith(tuple(NETWORK))
        else {one.wire for one in KINDS} - {TCP}
    )
    return next((one for one in KINDS if one.kind == name and one.wire in wires), None)
