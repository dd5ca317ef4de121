"""Alarms and rules: what people are told, and what is switched by itself.

Both are looked at once a second, from live states alone; neither needs a network or the statistician.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import msgspec
from msgspec import Struct

from bus import messages
from bus.about import About, Entity
from bus.commands import Code, Refused
from bus.messages import OFF, ON, Value, encode, to_iso
from bus.state_files import KeptFile
from config.conditions import Condition, Problem, automations, parse_condition, texts, title_of
from config.model import ALARM_DEVICE, RELAY_DEVICE, RULE_DEVICE, Alarm, Rule, Settings
from controller.conditions import Look, Trigger, words
from controller.relays import RelayOutputs
from controller.supervisor import Supervisor

log = logging.getLogger(__name__)

ACKNOWLEDGE = "acknowledge"
AUTO: Literal["auto"] = "auto"
# The entity that tells what a rule wants, beside the one that takes its mode.
WANTS = "_wants"
_SECOND = 1.0

Mode = Literal["auto", "ON", "OFF"]
_EVER = float("inf")


class KeptAlarm(Struct, frozen=True):
    """What of an alarm outlives the process; `since` in ms since 1970."""

    active: bool
    acknowledged: bool
    since: int


class KeptRule(Struct, frozen=True):
    """What of a rule outlives the process; `until` in ms since 1970, 0 without an end."""

    wants: bool
    mode: Mode
    until: int


class Kept(Struct):
    """The file of both."""

    alarms: dict[str, KeptAlarm] = {}
    rules: dict[str, KeptRule] = {}


def conditions_of(settings: Settings) -> list[Condition]:
    """List all conditions of alarms and rules."""
    both = automations(settings).values()
    return [parse_condition(text) for one in both for text in (*texts(one.when), *texts(one.until))]


def devices(settings: Settings) -> frozenset[str]:
    """Return the devices that alarms and rules look at."""
    return frozenset(one.device for one in conditions_of(settings) if not isinstance(one, Problem))


def services(settings: Settings) -> frozenset[str]:
    """Return the services whose problems alarms and rules look at."""
    return frozenset(one.service for one in conditions_of(settings) if isinstance(one, Problem))


class Alarms:
    """Evaluates the alarms, tells them on their topics, and takes their acknowledgement."""

    def __init__(self, alarms: Mapping[str, Alarm], kept: Mapping[str, KeptAlarm], now_ms: int) -> None:
        self._alarms = alarms
        before = KeptAlarm(active=False, acknowledged=False, since=now_ms)
        self.kept = {name: kept.get(name, before) for name in alarms}
        self._triggers = {name: Trigger(one, active=self.kept[name].active) for name, one in alarms.items()}

    def about(self) -> dict[str, Entity]:
        """Describe an entity for each alarm: ON while it is active, acknowledged or not."""
        return {
            name: Entity(name=title_of(name, one), device_class="problem", boolean=True)
            for name, one in self._alarms.items()
        }

    def look(self, look: Look, now: float, now_ms: int) -> list[str]:
        """Look at all of them; returns those that began or ended."""
        changed = [name for name, trigger in self._triggers.items() if trigger.look(look, now)]
        for name in changed:
            active = self._triggers[name].active
            self.kept[name] = KeptAlarm(active=active, acknowledged=False, since=now_ms)
            log.log(logging.WARNING if active else logging.INFO, "alarm %s: %s", name, self.state(name))
        return changed

    def acknowledge(self, name: str) -> None:
        """Note that somebody has read an alarm. Raises Refused if it is not active."""
        if not self.kept[name].active:
            raise Refused(Code.DENIED, f"alarm {name} is not active: there is nothing to acknowledge")
        self.kept[name] = msgspec.structs.replace(self.kept[name], acknowledged=True)

    def state(self, name: str) -> Literal["ok", "active", "acknowledged"]:
        """Return how an alarm stands."""
        kept = self.kept[name]
        return "ok" if not kept.active else "acknowledged" if kept.acknowledged else "active"

    def message(self, name: str, look: Look) -> messages.Alarm:
        """Make what its topic says."""
        one, when = self._alarms[name], self._triggers[name].when
        value = look.value(when)
        title = title_of(name, one)
        said = (one.text or words(when, value)) if self.kept[name].active else "ok"
        since = to_iso(self.kept[name].since)
        return messages.Alarm(state=self.state(name), since=since, value=value, text=f"{title}: {said}")

    def values(self) -> dict[str, Value]:
        """Return what the alarms' device says."""
        return {name: ON if one.active else OFF for name, one in self.kept.items()}


@dataclass(slots=True)
class _Automatic:
    """One rule; `until` is monotonic seconds; `spent`: its relay's own time was over while it wanted ON."""

    trigger: Trigger
    mode: Mode = AUTO
    until: float = _EVER
    spent: bool = False

    @property
    def wants(self) -> bool:
        """Whether the relay shall be on."""
        return self.trigger.active if self.mode == AUTO else self.mode == ON


class Rules:
    """Switches relays by conditions; what a person commanded counts for a time, the relay's policy always."""

    def __init__(self, rules: Mapping[str, Rule], outputs: RelayOutputs, supervisor: Supervisor) -> None:
        self._rules = rules
        self._outputs = outputs
        self._supervisor = supervisor
        self._clock, self._journal = outputs.clock, outputs.journal
        self._all: dict[str, _Automatic] = {}
        self._of_relay = {relay_of(rule): name for name, rule in rules.items()}

    def start(self, kept: Mapping[str, KeptRule], now: float, now_ms: int) -> None:
        """Take up what an earlier run left."""
        for name, rule in self._rules.items():
            was = kept.get(name, KeptRule(wants=False, mode=AUTO, until=0))
            # The clock may have been set meanwhile: no override lasts longer than a new one would.
            left = min((was.until - now_ms) / 1000, rule.override)
            until = _EVER if was.until == 0 else now + left
            self._all[name] = _Automatic(Trigger(rule, active=was.wants), was.mode, until)

    def kept(self, now: float, now_ms: int) -> dict[str, KeptRule]:
        """Return what shall outlive the process."""
        return {
            name: KeptRule(
                wants=one.trigger.active,
                mode=one.mode,
                until=0 if one.until == _EVER else now_ms + int((one.until - now) * 1000),
            )
            for name, one in self._all.items()
        }

    def about(self) -> dict[str, Entity]:
        """Describe two entities for each rule: its mode, which takes commands, and what it wants."""
        found = {}
        for name, rule in self._rules.items():
            title = title_of(name, rule)
            found[name] = Entity(name=title, device_class="enum", options=(AUTO, ON, OFF), command=True)
            found[name + WANTS] = Entity(name=f"{title} wants", boolean=True, diagnostic=True)
        return found

    def values(self) -> dict[str, Value]:
        """Return what the rules' device says."""
        found: dict[str, Value] = {}
        for name, one in self._all.items():
            found[name] = one.mode
            found[name + WANTS] = ON if one.wants else OFF
        return found

    def look(self, look: Look, now: float) -> bool:
        """Look at all rules and switch what has to be; True if something is to be kept."""
        changed = False
        for name, one in self._all.items():
            if one.mode != AUTO and now >= one.until:
                one.mode, one.until = AUTO, _EVER
                changed = True
            before = one.wants
            changed |= one.trigger.look(look, now)
            one.spent = one.spent and one.wants and before
            self._apply(name, one, now)
        return changed

    def _apply(self, name: str, one: _Automatic, now: float) -> None:
        relay = relay_of(self._rules[name])
        if self._outputs.is_on(relay) is one.wants or one.spent:
            self._journal.solved(f"rule.{name}")
            return
        try:
            self._outputs.position(relay)
            if one.wants:
                self._supervisor.check(relay, now)
        except Refused as refusal:
            text = f"it wants {RELAY_DEVICE}.{relay} {ON if one.wants else OFF}, but: {refusal}"
            # The seconds of the reason move on; the news is that it may not.
            if f"rule.{name}" not in self._journal.problems:
                self._journal.problem(f"rule.{name}", text, self._clock.wall())
            return
        if self._supervisor.switch(relay, on=one.wants, now=now):
            log.info("%s: %s by rule %s", relay, ON if one.wants else OFF, name)
            self._journal.solved(f"rule.{name}")

    def elapsed(self, relay: str) -> None:
        """Note that a relay's own time was over: its rule does not turn it on again before it has ended."""
        if relay in self._of_relay:
            self._all[self._of_relay[relay]].spent = True

    def commanded(self, relay: str, *, on: bool, now: float) -> None:
        """Note that a person commanded a relay: that counts for the rule's `override` seconds."""
        if relay in self._of_relay:
            name = self._of_relay[relay]
            self.choose(name, "ON" if on else "OFF", now)

    def choose(self, name: str, mode: Mode, now: float) -> None:
        """Set a rule's mode: `auto`, or ON or OFF for its `override` seconds."""
        one = self._all[name]
        one.mode, one.spent = mode, False
        one.until = _EVER if mode == AUTO else now + self._rules[name].override


def relay_of(rule: Rule) -> str:
    """Return the id of the relay that a rule switches."""
    return rule.output.removeprefix(f"{RELAY_DEVICE}.")


class Automation:
    """The devices `alarm` and `rule`: what they look at, tell, keep and obey.

    `say(device, values)` publishes a reading if something changed. Call `tick` often.
    """

    def __init__(
        self,
        settings: Settings,
        outputs: RelayOutputs,
        supervisor: Supervisor,
        look: Look,
        *,
        path: Path | None,
        tell: Callable[[str, bytes], object],
        say: Callable[[str, dict[str, Value]], object],
    ) -> None:
        self._look = look
        self._tell = tell
        self._say = say
        self._clock, self._journal = outputs.clock, outputs.journal
        self.file = KeptFile(path, self._content)
        was = self.file.read(Kept) or Kept()
        now, now_ms = self._clock.monotonic(), self._clock.wall()
        self._alarms = Alarms(settings.alarm, was.alarms, now_ms)
        self._rules = Rules(settings.rule, outputs, supervisor)
        self._rules.start(was.rules, now, now_ms)
        self._looked = float("-inf")
        self.abouts = {
            device: About(name=name, manufacturer="Boondock", entities=entities)
            for device, name, entities in (
                (ALARM_DEVICE, "Alarms", self._alarms.about()),
                (RULE_DEVICE, "Rules", self._rules.about()),
            )
            if entities
        }

    def _content(self) -> bytes:
        rules = self._rules.kept(self._clock.monotonic(), self._clock.wall())
        return msgspec.json.encode(Kept(self._alarms.kept, rules))

    def start(self) -> None:
        """Tell how all alarms stand: the broker may have the word of an earlier life."""
        for name in self._alarms.kept:
            self._tell_alarm(name)

    def tick(self, now: float) -> None:
        """Look at everything once a second, and keep what changed."""
        if now - self._looked < _SECOND:
            return
        self._looked = now
        changed = self._alarms.look(self._look, now, self._clock.wall())
        for name in changed:
            self._tell_alarm(name)
        if self._rules.look(self._look, now) or changed:
            self.file.changed()
        self.say_state()
        self.file.settle(now)
        if self.file.problem is None:
            self._journal.solved("alarms")
        else:
            self._journal.problem("alarms", self.file.problem, self._clock.wall())

    def say_state(self) -> None:
        """Publish the readings of both devices, if something changed."""
        values = {ALARM_DEVICE: self._alarms.values, RULE_DEVICE: self._rules.values}
        for device in self.abouts:
            self._say(device, values[device]())

    def _tell_alarm(self, name: str) -> None:
        self._tell(name, encode(self._alarms.message(name, self._look)))

    def entity(self, device: str, entity: str) -> Entity:
        """Return what a command to an alarm or a rule may say. Raises Refused(not_found)."""
        about = self.abouts.get(device)
        found = None if about is None else about.entities.get(entity)
        if found is not None and device == ALARM_DEVICE:
            return Entity(name=found.name, options=(ACKNOWLEDGE,), command=True)
        if found is None or not found.command:
            known = ", ".join(one for one in (about.entities if about else ()) if not one.endswith(WANTS))
            raise Refused(Code.NOT_FOUND, f"there is no {device} {entity!r}; there are: {known or 'none'}")
        return found

    def actual(self, device: str, entity: str) -> Value:
        """Return how an alarm or a rule stands now, None of what is none."""
        if device == ALARM_DEVICE:
            return self._alarms.state(entity) if entity in self._alarms.kept else None
        return self._rules.values().get(entity)

    def obey(self, device: str, entity: str, wanted: str) -> None:
        """Acknowledge an alarm, or set the mode of a rule. Raises Refused."""
        if device == ALARM_DEVICE:
            self._alarms.acknowledge(entity)
            self._tell_alarm(entity)
        else:
            self._rules.choose(entity, cast("Mode", wanted), self._clock.monotonic())
            self._looked = float("-inf")
        self.file.changed()

    def commanded(self, relay: str, *, on: bool) -> None:
        """Note that a person commanded a relay."""
        self._rules.commanded(relay, on=on, now=self._clock.monotonic())
        self.file.changed()

    def elapsed(self, relay: str) -> None:
        """Note that a relay's own time was over."""
        self._rules.elapsed(relay)
