"""Asks what is wired where, and makes a plan of the answers."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cli.install import found, mosquitto, plan
from cli.install.kinds import (
    KINDS,
    RELAY,
    SERIAL,
    TCP,
    AnswerError,
    Kind,
    Question,
    Value,
    text,
    toml_value,
    whole,
    yes,
)
from cli.install.plan import ELSEWHERE, EXISTING, OWN, Plan
from cli.install.steps import zone_of
from cli.install.system import InstallError, System

Read = Callable[[str], str]
_ID = re.compile(r"[^a-z0-9_]+")
_TABLES = {
    OWN: "a broker of its own, with a password for each process and person",
    EXISTING: "keep the Mosquitto that runs here",
    ELSEWHERE: "one on another machine",
}


@dataclass
class Draft:
    """boondock.toml in the making."""

    lines: list[str] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)
    ids: set[str] = field(default_factory=lambda: {"alarm", "rule", "relay"})

    def table(self, name: str, values: Mapping[str, Value]) -> None:
        """A table; empty ones are left out."""
        if values:
            self.lines += [f"[{name}]", *(f"{key} = {toml_value(one)}" for key, one in values.items()), ""]

    def id_for(self, name: str) -> str:
        """An id made of what a person calls it, no other has it."""
        wanted = _ID.sub("_", name.strip().lower()).strip("_")[:50] or "device"
        made, number = wanted, 1
        while made in self.ids:
            number += 1
            made = f"{wanted}_{number}"
        self.ids.add(made)
        return made


class Interview:
    """One run of questions; `read` gives an answer to a prompt, EOFError ends everything unchanged."""

    def __init__(self, system: System, read: Read, say: Callable[[str], None]) -> None:
        self._system = system
        self._read = read
        self._say = say
        self._draft = Draft()
        self._i2c = self._uart = False

    def plan(self, source: Path, release: Path) -> Plan:
        """The plan. Raises InstallError where the answers end."""
        self._say(
            "Questions, each with a default in brackets: Enter takes it. Nothing is changed before the end."
        )
        try:
            zone = self._zone()
            broker = self._broker()
            self._devices()
            self._relays()
            self._draft.table("device.pi", {"kind": "raspberry_pi"})
            toml = "\n".join(self._draft.lines)
            self._say("")
            self._say(f"This will be {plan.SETTINGS}; keys and passwords go into files of their own:")
            self._say("\n".join(f"    {line}" for line in toml.splitlines()))
            if not self._ask(Question("", "Install this", "y", yes)):
                raise InstallError("nothing was changed")
        except (EOFError, KeyboardInterrupt):
            raise InstallError(
                "the answers ended: nothing was changed\n"
                "next: start again; without a terminal use --yes and a boondock.toml in this folder"
            ) from None
        return Plan(
            source=str(source),
            release=str(release),
            toml=toml,
            broker=broker,
            secrets=self._draft.secrets,
            time_zone=zone,
            i2c=self._i2c,
            uart=self._uart,
        )

    def _ask(self, question: Question) -> Value:
        """An answer that can be; a wrong one is asked for again."""
        shown = "" if question.default is None else f" [{question.default}]"
        while True:
            answer = self._read(f"{question.text}{shown}: ").strip() or question.default
            if answer is None:
                self._say("  an answer is needed here")
                continue
            try:
                return question.take(answer)
            except AnswerError as error:
                self._say(f"  {error}")

    def _choose(self, prompt: str, options: Sequence[tuple[str, str]], default: int) -> str:
        """One of the options by its number; returns its word."""
        self._say(prompt)
        for place, (_, title) in enumerate(options, 1):
            self._say(f"  {place}  {title}")
        answer = self._ask(Question("", "Number", str(default), whole(1, len(options))))
        return options[int(str(answer)) - 1][0]

    def _zone(self) -> str | None:
        known = found.zones(self._system)
        now = zone_of(self._system) or "Etc/UTC"

        def take(value: str) -> str:
            if known and value not in known:
                near = [one for one in sorted(known) if value.lower().replace(" ", "_") in one.lower()]
                raise AnswerError(f"such as Europe/Berlin; near that: {', '.join(near[:5]) or 'nothing'}")
            return value

        return str(self._ask(Question("", "Time zone", now, take)))

    def _broker(self) -> str:
        there = mosquitto.read(self._system.root) if plan.keeps(self._system) else None
        options = [OWN, *([EXISTING] if there is not None else []), ELSEWHERE]
        default = 2 if there is not None else 1
        broker = self._choose("The MQTT broker:", [(one, _TABLES[one]) for one in options], default)
        if broker == ELSEWHERE:
            self._elsewhere()
        elif broker == EXISTING and there is not None:
            self._draft.table("broker", {"port": there.port} if there.port != 1883 else {})
        elif self._ask(Question("", "Shall phones on the local network reach it, encrypted (y/n)", "n", yes)):
            likely = found.interfaces(self._system)
            name = self._ask(Question("", "Which network interface", likely[0] if likely else "wlan0", text))
            self._draft.lines += ["[lan]", f"listen = [{json.dumps(name)}]", ""]
        return broker

    def _elsewhere(self) -> None:
        table: dict[str, Value] = {
            "host": self._ask(
                Question(
                    "", "Its name or address (Home Assistant's is often homeassistant.local)", None, text
                )
            ),
            "port": self._ask(Question("", "Its port", "1883", whole(1, 65535))),
        }
        user = self._ask(Question("", "User there, - for none", "-", text))
        if user != "-":
            table["username"] = user
            self._draft.secrets["broker__password"] = str(
                self._ask(Question("", "Password of that user", None, text))
            )
        authority = self._ask(
            Question("", "File with its certificate authority (TLS), - for none", "-", text)
        )
        if authority != "-":
            table["tls_ca"] = authority
        base = self._ask(
            Question("", "First level of all topics; each van on one broker its own", "camper", text)
        )
        if base != "camper":
            table["base"] = base
        self._draft.table("broker", table)

    def _devices(self) -> None:
        taken = set()
        for port in found.ports(self._system):
            serial = [one for one in KINDS if one.wire == SERIAL]
            options = [*((one.kind, one.title) for one in serial), ("", "nothing of these")]
            default = next((n for n, one in enumerate(serial, 1) if one.kind == port.kind), len(options))
            kind = self._choose(f"Found the port {port.path}. On it is", options, default)
            if kind:
                taken.add(port.path)
                self._device(next(one for one in serial if one.kind == kind), {"port": port.path})
        for address in found.chips(self._system):
            likely = [one for one in KINDS if one.kind in found.kinds_at(address)]
            if likely:
                self._chip(address, likely)
        self._more()

    def _chip(self, address: int, likely: list[Kind]) -> None:
        options = [*((one.kind, one.title) for one in likely), ("", "nothing of these")]
        kind = self._choose(f"On the I2C bus {address:#04x} answers. It is", options, len(options))
        if kind:
            self._device(next(one for one in likely if one.kind == kind), {"address": address})

    def _more(self) -> None:
        """Further devices until a person has no more."""
        options = [
            ("", "no more devices"),
            *((str(n), f"{one.title} ({one.wire})") for n, one in enumerate(KINDS)),
        ]
        while answer := self._choose("Add a device:", options, 1):
            self._device(KINDS[int(answer)], {})

    def _device(self, kind: Kind, given: Mapping[str, Value]) -> None:
        name = self._draft.id_for(str(self._ask(Question("", "Its name", kind.name, text))))
        values: dict[str, Value] = {"kind": kind.kind}
        for question in kind.questions:
            answer = given[question.key] if question.key in given else self._ask(question)
            if question.secret:
                self._draft.secrets[f"device__{name}__{question.key}"] = str(answer)
            elif kind.wire == TCP and question.key == "port" and not str(answer).startswith("tcp://"):
                values["port"] = f"tcp://{answer}"
            else:
                values[question.key] = answer
        self._draft.table(f"device.{name}", values)
        self._i2c |= kind.kind in plan.I2C_KINDS
        self._uart |= plan.needs_uart({"device": {name: values}})

    def _relays(self) -> None:
        first = True
        for name in self._names():
            if first and not found.has_pins(self._system):
                pins = self._ask(Question("", "This machine has no pins. Simulate them (y/n)", "y", yes))
                self._draft.table("controller", {"pins": "simulated"} if pins else {})
            first = False
            values = {one.key: self._ask(one) for one in RELAY}
            self._draft.table(f"relay.{self._draft.id_for(name)}", values)

    def _names(self) -> Iterator[str]:
        while (name := str(self._ask(Question("", "A relay: its name, - for no more", "-", text)))) != "-":
            yield name
