"""Who may write and read what on the broker: the one table that becomes the ACL and docs/security.md."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from bus.topics import DISCOVERY_PREFIX, SYSTEM, Topics, Verb
from cli.broker_error import BrokerError
from collector.ownership import TRANSPORTS
from config.access_rules import OURS, ROLES
from config.model import Settings
from config.model_import import topics_of
from config.rules import RELAY_DEVICE

STATISTICIAN = "statistician"
CONTROLLER = "controller"
COLLECTORS = tuple(f"collector_{one}" for one in dict.fromkeys((*TRANSPORTS, "mqtt")))
# The one that brings in what other software says on the broker.
OF_OTHERS = "collector_mqtt"
# Requests that change nothing; the tests hold them against the services' own lists.
ASKS_STATISTICIAN = (
    *("info", "entities", "latest", "history", "statistics", "statistic"),
    *("metadata", "validate", "outliers", "fixes"),
)
ASKS_COLLECTOR = ("devices",)


class Access(StrEnum):
    """What may be done, in the words of Mosquitto's ACL."""

    READ = "read"
    WRITE = "write"
    BOTH = "readwrite"


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
        return f"boondock-{self.name.removeprefix(OURS).replace('_', '-')}-password"


def users(settings: Settings) -> list[User]:
    """Every user: the processes, the three roles, and those of boondock.toml."""
    topics = Topics(settings.broker.base)
    found = [
        User(OURS + STATISTICIAN, _statistician(topics)),
        User(OURS + CONTROLLER, _controller(topics)),
    ]
    for service in COLLECTORS:
        more = _imported(settings) if service == OF_OTHERS else ()
        found.append(User(OURS + service, _collector(topics, service) + more))
    roles = _roles(topics)
    found += [User(role, roles[role]) for role in ROLES]
    for name, user in settings.user.items():
        more = tuple(Right(Access.BOTH, topic) for topic in user.topics)
        found.append(User(name, (roles[user.role] if user.role is not None else ()) + more))
    return found


def _imported(settings: Settings) -> tuple[Right, ...]:
    """What [[import]] names: heard, and where it has a command, said."""
    heard: list[str] = []
    said: list[str] = []
    for table in settings.imports.values():
        if table.availability is not None:
            heard.append(table.availability.topic)
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


def _contradicted(topics: Topics, service: str) -> tuple[str, ...]:
    """Where others may say `offline`: a process that knows better says `online` again."""
    return topics.every(Verb.AVAILABILITY), topics.service(service)


def _devices(topics: Topics) -> tuple[str, ...]:
    """All that the owner of devices says of them; devices come and go over MQTT, so of any."""
    return (
        topics.every(Verb.ABOUT),
        topics.every(Verb.STATE, levels=1),
        topics.every(Verb.STATE),
        topics.every(Verb.AVAILABILITY),
    )


def _statistician(topics: Topics) -> tuple[Right, ...]:
    written = (
        *_devices(topics),
        topics.every(Verb.STATISTICS),
        topics.every(Verb.WATERMARK),
        topics.below(Verb.RESPONSE),
        *_own(topics, STATISTICIAN),
        topics.discoveries(),
    )
    heard = (topics.every(Verb.ABOUT), topics.every(Verb.STATE, levels=1))
    read = (*heard, *_contradicted(topics, STATISTICIAN), topics.requests(STATISTICIAN))
    return _lines(write=written, read=(*read, topics.home_assistant_status()))


def _controller(topics: Topics) -> tuple[Right, ...]:
    device = RELAY_DEVICE
    written = (
        topics.about(device),
        topics.state(device),
        topics.of_device(Verb.STATE, device),
        # Of a service that is gone it says that its devices are offline.
        topics.every(Verb.AVAILABILITY),
        topics.of_device(Verb.RESULT, device),
        topics.below(Verb.RESPONSE),
        *_own(topics, CONTROLLER),
        # Also below an older base topic, to take back what stands there.
        topics.discoveries(),
    )
    # Interlocks and feedback look at the entities of other devices.
    looked_at = tuple(topics.every(verb) for verb in (Verb.ABOUT, Verb.AVAILABILITY, Verb.SERVICE))
    asked = (topics.every(Verb.SET), topics.requests(CONTROLLER))
    read = (*asked, topics.every(Verb.WATERMARK), topics.every(Verb.STATE, levels=1), *looked_at)
    return _lines(write=written, read=(*read, topics.home_assistant_status()))


def _collector(topics: Topics, service: str) -> tuple[Right, ...]:
    written = (
        *_devices(topics),
        topics.every(Verb.RESULT),
        topics.below(Verb.RESPONSE),
        *_own(topics, service),
        topics.discoveries(),
    )
    asked = (topics.every(Verb.SET), topics.requests(service))
    read = (*asked, topics.every(Verb.WATERMARK), *_contradicted(topics, service))
    return _lines(write=written, read=(*read, topics.home_assistant_status()))


def _roles(topics: Topics) -> Mapping[str, tuple[Right, ...]]:
    seen = (
        *_devices(topics),
        *(topics.every(v) for v in (Verb.RESULT, Verb.STATISTICS)),
        topics.below(Verb.RESPONSE),
        *(topics.every(v) for v in (Verb.SERVICE, Verb.HEALTH)),
        topics.discoveries(),
    )
    asked = (
        *(topics.requests(STATISTICIAN, verb) for verb in ASKS_STATISTICIAN),
        *(topics.requests(None, verb) for verb in ASKS_COLLECTOR),
    )
    switched = (topics.every(Verb.SET), topics.home_assistant_status())
    everything = (topics.below(), f"{DISCOVERY_PREFIX}/#")
    return {
        "viewer": _lines(read=seen, write=asked),
        "operator": _lines(read=seen, write=(*asked, *switched)),
        "admin": (*(Right(Access.BOTH, topic) for topic in everything), Right(Access.READ, SYSTEM)),
        "publisher": _lines(
            write=(*_devices(topics), topics.every(Verb.RESULT), topics.discoveries()),
            read=(topics.every(Verb.SET), topics.home_assistant_status()),
        ),
    }


def acl(all_users: Iterable[User]) -> str:
    """Mosquitto's acl_file: one line per right; what is not said is not allowed. Raises BrokerError."""
    blocks = ["# Written by `boondock broker`; changes here are lost. docs/security.md has it as a table.\n"]
    for user in all_users:
        for right in user.rights:
            if not right.topic.isprintable() or right.topic != right.topic.strip():
                raise BrokerError(f"{right.topic!r} cannot be written into Mosquitto's ACL")
        lines = [f"topic {right.access} {right.topic}\n" for right in user.rights]
        blocks.append("".join((f"user {user.name}\n", *lines)))
    return "\n".join(blocks)


def table() -> str:
    """The same for docs/security.md: a row a filter, a column a kind of user."""
    topics, any_collector = Topics(), COLLECTORS[0]
    roles = _roles(topics)
    columns = {
        "collector": _collector(topics, any_collector),
        STATISTICIAN: _statistician(topics),
        CONTROLLER: _controller(topics),
        **{role: roles[role] for role in (*ROLES, "publisher")},
    }
    rows: dict[str, dict[str, str]] = {}
    for column, rights in columns.items():
        for right in rights:
            cells = rows.setdefault(right.topic, {})
            cells[column] = "both" if column in cells or right.access is Access.BOTH else right.access
    lines = ["| topic | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for topic, cells in rows.items():
        shown = topic.replace(any_collector, "collector_<transport>")
        lines.append(f"| `{shown}` | " + " | ".join(cells.get(column, "") for column in columns) + " |")
    return "\n".join(lines) + "\n"
