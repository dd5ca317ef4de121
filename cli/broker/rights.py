"""Who may write and read what on the broker: what becomes the ACL and the table of docs/security.md."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from bus.topics import DISCOVERY_PREFIX, FORWARDER, STATISTICIAN, SYSTEM, Topics, Verb
from bus.verbs import ASKERS
from cli.broker import secret_of
from cli.terminal import CommandError
from collector.device import TRANSPORTS, transport
from config.model import INTEGRAL, RESERVED, Settings, topics_of
from config.rules import OURS, ROLES

CONTROLLER = "controller"
COLLECTORS = tuple(f"collector_{one}" for one in dict.fromkeys((*TRANSPORTS, "mqtt")))
# The one that brings in what other software says on the broker.
OF_OTHERS = "collector_mqtt"
# Requests to a collector that change nothing; the tests hold them against its own list.
ASKS_COLLECTOR = ("devices",)
# Others to a collector, for those who may switch: one that keeps a line busy; of every service, who did what.
READS, LOG = "read", "log"
# Requests that hold the keys of devices: for the collector that is asked alone.
CARRY_KEYS = ("device_add", "device_update")


class Access(StrEnum):
    """What may be done, in the words of Mosquitto's ACL."""

    READ = "read"
    WRITE = "write"
    BOTH = "readwrite"
    # It counts before all others.
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Right:
    """One line of the ACL."""

    access: Access
    topic: str


@dataclass(frozen=True, slots=True)
class User:
    """A user of the broker; `secret` names the file with its password, where systemd finds it."""

    name: str
    rights: tuple[Right, ...]

    @property
    def secret(self) -> str:
        """As in LoadCredential of the units."""
        return secret_of(self.name)


def users(settings: Settings) -> list[User]:
    """Every user: the processes, the three roles, and those of boondock.toml."""
    topics = Topics(settings.broker.base)
    found = [
        User(OURS + STATISTICIAN, _statistician(topics, _owned_by(settings)[STATISTICIAN])),
        User(OURS + CONTROLLER, _controller(topics)),
        User(OURS + FORWARDER, _forwarder(topics)),
    ]
    for service in COLLECTORS:
        others = [d for owner, all_ in _owned_by(settings).items() if owner != service for d in all_]
        more = _imported(settings) if service == OF_OTHERS else ()
        found.append(User(OURS + service, _collector(topics, service, others) + more))
    roles = _roles(topics)
    found += [User(role, roles[role]) for role in ROLES]
    for name, user in settings.user.items():
        more = tuple(Right(Access.BOTH, topic) for topic in user.topics)
        mine = roles.get(user.role or "", ()) + _publisher(topics, user.devices, user.commands)
        found.append(User(name, mine + more))
    return found


def _owned_by(settings: Settings) -> dict[str, list[str]]:
    """Group the devices that boondock.toml names by the service or user that speaks for them."""
    owned: dict[str, list[str]] = {
        STATISTICIAN: [],
        CONTROLLER: list(RESERVED),
        OF_OTHERS: list(settings.imports),
    }
    owned |= {name: list(user.devices) for name, user in settings.user.items()}
    for name, device in settings.device.items():
        owner = STATISTICIAN if device.kind == INTEGRAL else f"collector_{transport(device)}"
        owned.setdefault(owner, []).append(name)
    return owned


def _imported(settings: Settings) -> tuple[Right, ...]:
    """Allow what [[import]] names: to hear it, and where it has a command, to say it."""
    heard: list[str] = []
    said: list[str] = []
    for table in settings.imports.values():
        if table.availability is not None:
            heard.append(table.availability.topic)
        if table.keep_alive is not None:
            said.append(table.keep_alive.topic)
        for one in table.entities.values():
            heard += topics_of(table, one)
            if one.command_topic is not None:
                said.append(one.command_topic)
    return _lines(read=dict.fromkeys(heard), write=dict.fromkeys(said))


def _lines(*, read: Iterable[str] = (), write: Iterable[str] = ()) -> tuple[Right, ...]:
    written = tuple(Right(Access.WRITE, topic) for topic in write)
    return written + tuple(Right(Access.READ, topic) for topic in read)


def _own(topics: Topics, service: str) -> tuple[str, ...]:
    return topics.service(service), topics.health(service)


def _device(topics: Topics, device: str) -> tuple[str, ...]:
    """All that the owner of one device says of it, but for its entities one by one."""
    return topics.about(device), topics.state(device), topics.availability(device)


def _devices(topics: Topics) -> tuple[str, ...]:
    """List what owners say of devices, of any."""
    return (
        topics.every(Verb.ABOUT),
        topics.every(Verb.STATE, levels=1),
        topics.every(Verb.STATE),
        topics.every(Verb.AVAILABILITY),
    )


def _statistician(topics: Topics, derived: Iterable[str]) -> tuple[Right, ...]:
    mine = [one for name in derived for one in (*_device(topics, name), topics.of_device(Verb.STATE, name))]
    written = (
        *mine,
        topics.every(Verb.STATISTICS),
        topics.every(Verb.WATERMARK),
        topics.below(Verb.RESPONSE),
        *_own(topics, STATISTICIAN),
        topics.discoveries(),
        # It keeps what an admin wrote there, and says it again to a broker that forgot it.
        topics.page,
    )
    heard = (topics.every(Verb.ABOUT), topics.every(Verb.STATE, levels=1), topics.every(Verb.BACKLOG))
    # It answers requests to services that are not there.
    asked = (topics.below(Verb.REQUEST), topics.every(Verb.SERVICE))
    read = (*heard, topics.every(Verb.AVAILABILITY), *asked, topics.home_assistant_status(), topics.page)
    denied = tuple(Right(Access.DENY, topics.requests(None, verb)) for verb in CARRY_KEYS)
    return denied + _lines(write=written, read=read)


def _controller(topics: Topics) -> tuple[Right, ...]:
    mine = [
        topic
        for device in RESERVED
        for topic in (topics.about(device), topics.state(device), topics.of_device(Verb.STATE, device))
    ]
    written = (
        *mine,
        topics.every(Verb.ALARM),
        topics.backlogs(CONTROLLER),
        # Of a service that is gone it says that its devices are offline.
        topics.every(Verb.AVAILABILITY),
        # It answers commands that nobody else does.
        topics.every(Verb.RESULT),
        topics.below(Verb.RESPONSE),
        *_own(topics, CONTROLLER),
        # Also below an older base topic, to take back what stands there.
        topics.discoveries(),
    )
    # Interlocks and feedback look at the entities of other devices.
    verbs = (Verb.ABOUT, Verb.AVAILABILITY, Verb.SERVICE, Verb.HEALTH)
    looked_at = tuple(topics.every(verb) for verb in verbs)
    # Also commands whose topic names no entity, and what other owners answer to theirs.
    asked = (topics.below(Verb.SET), topics.every(Verb.RESULT), topics.requests(CONTROLLER))
    read = (*asked, topics.every(Verb.WATERMARK), topics.every(Verb.STATE, levels=1), *looked_at)
    return _lines(write=written, read=(*read, topics.home_assistant_status()))


def _forwarder(topics: Topics) -> tuple[Right, ...]:
    """Let it ask for the change feed and hear alarms; it commands nothing."""
    written = (*_own(topics, FORWARDER), topics.requests(STATISTICIAN, "changes"))
    answers = topics.responses(FORWARDER)
    heard = (answers, topics.every(Verb.WATERMARK), topics.every(Verb.ALARM), topics.service(STATISTICIAN))
    return _lines(write=written, read=(*heard, topics.service(FORWARDER)))


def _collector(topics: Topics, service: str, others: Iterable[str]) -> tuple[Right, ...]:
    """Of any device, for they come and go over MQTT, but not of those that are others' by boondock.toml."""
    foreign: list[str] = []
    for device in others:
        foreign += (*_device(topics, device), topics.discovery(device))
        foreign += (topics.of_device(verb, device) for verb in (Verb.STATE, Verb.RESULT))
    written = (
        *_devices(topics),
        topics.backlogs(service),
        topics.every(Verb.RESULT),
        topics.below(Verb.RESPONSE),
        *_own(topics, service),
        topics.discoveries(),
    )
    asked = (topics.every(Verb.SET), topics.requests(service))
    # Whether the statistician runs, and how far it has confirmed.
    confirmed = (topics.every(Verb.WATERMARK), topics.service(STATISTICIAN))
    # Where others may say `offline`: a process that knows better says `online` again.
    contradicted = (topics.every(Verb.AVAILABILITY), topics.service(service))
    read = (*asked, *confirmed, *contradicted)
    rights = _lines(write=written, read=(*read, topics.home_assistant_status()))
    return tuple(Right(Access.DENY, topic) for topic in foreign) + rights


def _publisher(topics: Topics, devices: Iterable[str], commands: Iterable[str]) -> tuple[Right, ...]:
    """One line a topic: whoever may write below a wildcard can fill the broker's memory."""
    said = [one for device in devices for one in (*_device(topics, device), topics.discovery(device))]
    said += [topics.result(*command.split(".")) for command in commands]
    # To contradict who says that they are offline.
    heard = [topics.availability(device) for device in devices]
    heard += [topics.of_device(Verb.SET, device) for device in devices]
    return _lines(write=said, read=heard)


def _roles(topics: Topics) -> Mapping[str, tuple[Right, ...]]:
    seen = (
        *_devices(topics),
        *(topics.every(v) for v in (Verb.RESULT, Verb.STATISTICS)),
        topics.below(Verb.RESPONSE),
        *(topics.every(v) for v in (Verb.SERVICE, Verb.HEALTH, Verb.ALARM)),
        topics.discoveries(),
        topics.page,
    )
    asked = (
        *(topics.requests(STATISTICIAN, verb) for verb, asker in ASKERS.items() if asker == "viewer"),
        # Each by its name: no right to write has a wildcard where anything may stand.
        *(topics.requests(service, verb) for service in COLLECTORS for verb in ASKS_COLLECTOR),
    )
    read = (
        *(topics.requests(STATISTICIAN, verb) for verb, asker in ASKERS.items() if asker == "operator"),
        *(topics.requests(service, READS) for service in COLLECTORS),
        *(topics.requests(service, LOG) for service in (STATISTICIAN, CONTROLLER, *COLLECTORS)),
    )
    switched = (topics.below(Verb.SET), topics.home_assistant_status(), *read)
    everything = (topics.below(), f"{DISCOVERY_PREFIX}/#")
    return {
        "viewer": _lines(read=seen, write=asked),
        "operator": _lines(read=seen, write=(*asked, *switched)),
        "admin": (*(Right(Access.BOTH, topic) for topic in everything), Right(Access.READ, SYSTEM)),
        "publisher": _lines(read=(topics.home_assistant_status(),)),
    }


def acl(all_users: Iterable[User]) -> str:
    """Mosquitto's acl_file: one line per right; what is not said is not allowed. Raises CommandError."""
    blocks = ["# Written by `boondock broker`; changes here are lost. docs/security.md has it as a table.\n"]
    for user in all_users:
        for right in user.rights:
            if not right.topic.isprintable() or right.topic != right.topic.strip():
                raise CommandError(f"{right.topic!r} cannot be written into Mosquitto's ACL")
        lines = [f"topic {right.access} {right.topic}\n" for right in user.rights]
        blocks.append("".join((f"user {user.name}\n", *lines)))
    return "\n".join(blocks)


def by_kind(another: str, derived: str, its: str, command: str) -> dict[str, tuple[Right, ...]]:
    """Group the rights by kind of user, for docs/security.md.

    Its examples are `another`'s device, a `derived` one, and a publisher's: `its`, which has a `command`.
    """
    topics = Topics()
    roles = _roles(topics)
    return {
        "collector": _collector(topics, COLLECTORS[0], [another]),
        STATISTICIAN: _statistician(topics, [derived]),
        CONTROLLER: _controller(topics),
        FORWARDER: _forwarder(topics),
        **{role: roles[role] for role in ROLES},
        "publisher": _publisher(topics, [its], [f"{its}.{command}"]) + roles["publisher"],
    }
