"""Publishes the devices of a process: about, readings through the outbox, plain scalars, availability."""

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from bus import about as about_message
from bus import state_files
from bus.about import About
from bus.announcer import Announcer
from bus.clock import Clock, Now, boot_id, put_right
from bus.events import Link, Sent, Subscription, Unpublished, Wire
from bus.health import Journal
from bus.messages import (
    OFFLINE,
    ONLINE,
    Reading,
    Values,
    decode_reading,
    encode_reading,
    of_device,
    scalar,
)
from bus.outbox import Limits, Outbox
from bus.outbox.file import Row
from bus.process import Process
from bus.retained import RetainedTopics
from bus.topics import HOME_ASSISTANT, STATISTICIAN, BadTopicError, Topics, Verb
from config.model import ALARM_DEVICE, Settings

log = logging.getLogger(__name__)

_BATCH = 100
# What stream, seq, after and device add to a payload, and the topic of the backlog to that of the state.
_ENVELOPE = 384
# From when health tells that the statistician confirms nothing, and when again, minutes.
_TOLD_AT_MIN = (1, 2, 5, 10, 30, *(hour * 60 for hour in (1, 2, 6, 12)))
_DAY_MIN = 24 * 60


class Publisher:
    """What a process says of its devices; call `pump` often and `connected` on every connect.

    Nobody else polls the clock: when that steps, what waits is dated anew before more is sent.
    """

    def __init__(
        self,
        bus: Wire,
        topics: Topics,
        outbox: Outbox,
        clock: Clock,
        journal: Journal,
        *,
        scalars: bool = True,
        announcer: Announcer | None = None,
    ) -> None:
        self._bus = bus
        self._topics = topics
        self._outbox = outbox
        self._clock = clock
        self._journal = journal
        self._with_scalars = scalars
        self._retained = bus.retained
        self._announcer = announcer or Announcer(bus, topics, enabled=False)
        self._files = {"manifest": self._retained.file, "announced": self._announcer.file}
        self._precisions: dict[str, dict[str, int | None]] = {}
        # By device: the newest live reading as last sent, to be said again to a broker that forgot it. It is
        # no wish: what stands in it may be dated anew.
        self._newest: dict[str, Row] = {}
        # Devices whose newest reading is still to be said, in that order.
        self._unsaid: dict[str, None] = {}
        self._dated: tuple[int, bool] | None = None
        self._told_min = 0
        self._listened: set[str] = set()
        self._listen()
        bus.listen(Subscription(filter=topics.service(STATISTICIAN), as_published=False))

    @property
    def waiting(self) -> int:
        """Count the readings that no watermark has passed yet."""
        return self._outbox.waiting

    def about(self, device: str, about: About) -> None:
        """Describe a device, if the description changed."""
        topic, payload = self._topics.about(device), about_message.encode(about, self._outbox.name)
        if payload != self._retained.wanted.get(topic):
            self._precisions[device] = {key: entity.precision for key, entity in about.entities.items()}
            self._retained.add(device, about.entities)
            self._say(topic, payload)
            self._announcer.about(device, about)

    def availability(self, device: str, *, online: bool) -> None:
        """Publish whether the device is heard, if that changed."""
        topic, word = self._topics.availability(device), ONLINE if online else OFFLINE
        if word != self._retained.wanted.get(topic):
            self._say(topic, word)

    def forget(self, device: str) -> None:
        """Empty all retained topics of a device, after an `offline` for those who look on.

        Readings of it that still wait go to the statistician as backlog.
        """
        topics = self._topics
        scalars = self._of_entities(device, sorted(self._retained.entities(device)))
        self._say(topics.availability(device), OFFLINE)
        for known in (self._precisions, self._newest, self._unsaid):
            known.pop(device, None)
        self._announcer.forget(device)
        mine = [topics.about(device), *scalars, topics.state(device), topics.availability(device)]
        self._clear(mine, gone=[device])

    def forget_entities(self, device: str, entities: Collection[str]) -> None:
        """Empty the plain values of entities that are reported no more."""
        gone = sorted(self._retained.entities(device).intersection(entities))
        self._retained.drop(device, gone)
        self._announcer.without(device, entities)
        self._clear(self._of_entities(device, gone), gone=())

    def _of_entities(self, device: str, entities: list[str]) -> list[str]:
        """List the retained topics of single entities; each alarm has one more of its own."""
        topics = self._topics
        found = [topics.scalar(device, entity) for entity in entities]
        return found + [topics.alarm(entity) for entity in entities if device == ALARM_DEVICE]

    def _say(self, topic: str, payload: bytes, qos: int = 1) -> Sent:
        """Publish retained; an empty payload is said again on every connect, too."""
        sent = self._bus.publish(topic, payload, qos=qos, retain=True)
        if not payload:
            self._retained.want(topic, payload)
        return sent

    def _clear(self, topics: Iterable[str], *, gone: Iterable[str]) -> None:
        """Clear topics; the devices `gone` are dropped from the file once the broker has all of it."""
        sent = {self._say(topic, b"") for topic in topics}
        if sent <= {Sent.YES}:
            for device in gone:
                self._retained.drop(device)

    def tidy(self, known: Mapping[str, Collection[str] | None]) -> None:
        """Clear what an earlier run published and this one has no more.

        `known` holds the devices with all they may ever report; None: only they themselves know that.
        """
        for device in self._retained.devices:
            entities = known.get(device)
            if device not in known:
                self.forget(device)
            elif entities is not None:
                self.forget_entities(device, self._retained.entities(device) - set(entities))
        self._announcer.tidy(known)

    def reading(
        self,
        device: str,
        values: Values,
        *,
        ts: int,
        last_reset: Mapping[str, int] | None = None,
        late: bool = False,
        dated: bool = False,
    ) -> bool:
        """Put a reading on its way; False if it is too large for the broker and was set aside.

        A `late` one is history that the device remembered: it goes to the statistician alone. Of one that is
        `dated` the device itself said when: our clock has no part in it.
        """
        # It was reckoned before this look at the clock.
        ts += 0 if dated else self._look_at_clock()
        now = self._clock.now()
        clock = "ok" if dated else now.quality
        resets = dict(last_reset or {})
        payload = encode_reading(Reading(ts=ts, values=values, clock=clock, late=late, last_reset=resets))
        topic = self._topics.state(device)
        if len(payload) + len(topic) + _ENVELOPE > self._bus.largest:
            self._journal.count("refused_oversize_readings")
            self._outbox.bury(topic, payload, "too large for the broker")
            self._journal.error(f"{topic}: a reading of {len(payload)} bytes is too large", now.wall)
            return False
        self._journal.count("readings")
        at = self._clock.monotonic()
        row = self._outbox.append(topic, payload, at, None if dated else now.stamp)
        if not late:
            self._newest[device] = row
            self._unsaid[device] = None
        self.pump(at, now)
        if not late:
            self._mirror(device, values)
        return True

    def _look_at_clock(self) -> int:
        """Poll the clock; the ms that it stepped by."""
        if (step := self._clock.poll()) is None:
            return 0
        self._journal.count("clock_steps")
        log.info("the clock moved by %.3f s, %s before, %s now", step.by / 1000, step.was, step.now)
        return step.by

    def _mirror(self, device: str, values: Values) -> None:
        if not self._with_scalars:
            return
        precisions = self._precisions.get(device, {})
        for entity, value in values.items():
            topic, plain = self._topics.scalar(device, entity), scalar(value, precisions.get(entity))
            if plain != self._retained.wanted.get(topic):
                self._say(topic, plain, qos=0)

    def pump(self, now: float, clock: Now | None = None) -> None:
        """Say the newest readings; then send again what the outbox holds, once its times are put right."""
        clock = clock or self._clock.now()
        dated = clock.offset, clock.quality == "ok"
        if dated != self._dated:
            self._dated = dated
            self._put_right(clock)
        for device in list(self._unsaid):
            if self._say_live(device) is Sent.LATER:
                return
        if not self._outbox.put_right(clock):
            return
        while rows := self._outbox.next(_BATCH, now):
            for row in rows:
                sent = self._send_again(row)
                if sent is Sent.LATER:
                    return
                if sent is Sent.NEVER:
                    # What follows was read before this row was emptied: look again.
                    break

    def _put_right(self, clock: Now) -> None:
        """Date the newest readings by the clock as it is now, as the outbox does with those that wait."""
        for device, row in self._newest.items():
            if row.stamp is not None:
                payload, stamp = put_right(row.payload, row.stamp, clock)
                self._newest[device] = replace(row, payload=payload, stamp=stamp)

    def _say_live(self, device: str) -> Sent:
        """Say the newest reading of a device on its state topic, retained."""
        row, sent = self._newest[device], Sent.NEVER
        if len(row.payload) + len(row.topic) + _ENVELOPE <= self._bus.largest:
            sent = self._bus.say_once(row.topic, row.payload)
        if sent is not Sent.LATER:
            del self._unsaid[device]
        if sent is Sent.YES:
            self._outbox.sent_live(row)
        return sent

    def _send_again(self, row: Row) -> Sent:
        """Send a row to the statistician alone; the topic that it was kept with names its device."""
        device = row.topic.rpartition("/")[2]
        topic = self._topics.backlog(self._outbox.name, row.stream)
        sent = self._bus.publish(topic, of_device(device, row.payload))
        if sent is Sent.YES:
            self._outbox.sent(row)
            self._journal.count("resent_readings")
        elif sent is Sent.NEVER:
            self._outbox.refuse(row, "too large for the broker")
            self._journal.count("refused_oversize_readings")
        return sent

    def connected(self, now: float) -> None:
        """Publish again what the broker may have forgotten: the newest readings, then all that waits."""
        # Home Assistant first: it takes an emptied state for an error.
        self._announcer.connected()
        gone = [d for d in self._retained.devices if self._retained.wanted.get(self._topics.about(d)) == b""]
        self._clear(self._retained.cleared(), gone=gone)
        self._outbox.rewind(now)
        self._say_newest(now)

    def _say_newest(self, now: float) -> None:
        self._unsaid = dict.fromkeys(sorted(self._newest, key=lambda device: self._newest[device].seq))
        self.pump(now)

    def _say_again(self, now: float) -> None:
        """Publish availability and states, behind the configurations of a new Home Assistant."""
        for topic, word, _ in self._retained.said():
            if self._topics.is_below(Verb.AVAILABILITY, topic):
                self._say(topic, word)
        self._say_newest(now)

    def take(self, topic: str, payload: bytes, now: float, *, kept: bool = False) -> None:
        """Take a watermark, whether the statistician runs, or Home Assistant's birth; count what is none.

        `kept`: the broker had retained the message.
        """
        if self._announcer.birth(topic, payload, now):
            return
        try:
            said = self._topics.parse(topic)
            if said.verb is Verb.WATERMARK and self._outbox.hear(said.name, payload, now):
                self.pump(now)
        except (BadTopicError, ValueError):
            self._journal.count("refused_messages")
            return
        if said.verb is Verb.SERVICE and said.name == STATISTICIAN:
            self._outbox.statistician(online=payload == ONLINE, kept=kept, now=now)
            self.pump(now)

    def unpublished(self, event: Unpublished) -> None:
        """Set aside a reading that the broker will never take; all else is published again by itself."""
        try:
            reading = decode_reading(event.payload)
        except ValueError:
            # What is no reading is said again on every connect.
            return
        if event.forever and reading.seq is not None and reading.stream is not None:
            self._outbox.refuse(Row(reading.seq, reading.stream, event.topic, event.payload), event.reason)
            self._journal.count("refused_readings")

    def settle(self, now: float) -> None:
        """Once a second: move to disk what waits too long, send again what was lost, tell what is wrong."""
        self._look_at_clock()
        self._outbox.settle(now)
        self._listen()
        self.pump(now)
        self._journal.counters["dropped_readings"] = self._outbox.dropped
        self._journal.counters["outbox_on_disk"] = self._outbox.on_disk
        self._tell_unconfirmed(now)
        problems = {"outbox": self._outbox.problem}
        for subject, file in self._files.items():
            file.settle(now)
            problems[subject] = file.problem
        for subject, problem in problems.items():
            if problem is None:
                self._journal.solved(subject)
            else:
                self._journal.problem(subject, problem, self._clock.wall())
        if self._announcer.again(now):
            self._say_again(now)

    def _tell_unconfirmed(self, now: float) -> None:
        minutes = self._outbox.unconfirmed_s(now) // 60
        # Not each minute, or health would be news all the time.
        told = max((at for at in _TOLD_AT_MIN if at <= minutes), default=0)
        told = told if minutes < _DAY_MIN else int(minutes // _DAY_MIN) * _DAY_MIN
        if told == 0 or "broker" in self._journal.problems:
            self._told_min = 0
            self._journal.solved("backlog")
        elif told != self._told_min:
            self._told_min = told
            text = (
                f"the statistician has confirmed nothing for {_span(told)}: {self._outbox.waiting} readings"
                f" wait, {self._outbox.on_disk} of them on disk; look at its service"
            )
            if self._journal.problem("backlog", text, self._clock.wall()):
                log.warning("%s", text)

    def _listen(self) -> None:
        for stream in self._outbox.streams - self._listened:
            self._listened.add(stream)
            self._bus.listen(Subscription(filter=self._topics.watermark(stream)))

    def close(self) -> None:
        """Put what still waits on disk."""
        for file in self._files.values():
            file.close()
        self._outbox.close()


def _span(minutes: int) -> str:
    for unit, length in (("day", _DAY_MIN), ("hour", 60), ("minute", 1)):
        if minutes >= length:
            count = minutes // length
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "less than a minute"


_MB = 1024 * 1024


def owner_of_devices(
    name: str,
    settings: Settings,
    clock: Clock,
    subscriptions: list[Subscription],
    *,
    availability: bool = False,
) -> tuple[Process, Publisher]:
    """Make the process `name` and its publisher; it also listens for the watermarks of its readings.

    And for what others say of the availability of devices, to contradict where it knows better; with
    `availability` also for what they said before.
    """
    storage = settings.storage
    mine = state_files.identify(Path(storage.state), name, clock.wall())
    topics = Topics(settings.broker.base)
    limits = Limits(storage.outbox_rows, storage.outbox_mb * _MB)
    outbox = Outbox(
        Path(storage.runtime),
        Path(storage.state),
        name,
        limits=limits,
        boot=boot_id(),
        commit_s=settings.statistician.commit_interval,
    )
    said = Subscription(filter=topics.every(Verb.AVAILABILITY), retained=availability)
    process = Process(
        name,
        link=Link.of(settings.broker, name, mine.part, instance=mine.instance),
        unlocked=mine.problem,
        topics=topics,
        clock=clock,
        acknowledge=True,
        runtime=Path(storage.runtime),
        retained=RetainedTopics(_published(name, settings)),
        subscriptions=[*subscriptions, said, Subscription(filter=HOME_ASSISTANT)],
    )
    announcer = Announcer(
        process.connection,
        topics,
        service=name,
        path=_announced(name, settings),
        enabled=settings.publish.discovery,
        details=settings.publish.details,
        wall=lambda: 0 if clock.quality() == "unset" else clock.wall(),
    )
    publisher = Publisher(
        process.connection,
        topics,
        outbox,
        clock,
        process.journal,
        scalars=settings.publish.scalars,
        announcer=announcer,
    )
    return process, publisher


def has_left(name: str, settings: Settings) -> bool:
    """Whether earlier runs of the process have published what may still have to be taken back."""
    files = (_announced(name, settings), _published(name, settings))
    return any(state_files.read(path, dict[str, object]) for path in files)


def _announced(name: str, settings: Settings) -> Path:
    return Path(settings.storage.state) / f"{name}-announced.json"


def _published(name: str, settings: Settings) -> Path:
    return Path(settings.storage.state) / f"{name}-published.json"
