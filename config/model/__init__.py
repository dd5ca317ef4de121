"""Every setting, typed once: what boondock.toml may say, with units and defaults.

Plain dataclasses, so that a running process carries no validation library; config/source.py validates them.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from config.model.base import Days, Held, Seconds, Table
from config.model.base import Role as Role
from config.model.base import key_of as key_of
from config.model.imports import Availability as Availability
from config.model.imports import Import as Import
from config.model.imports import ImportEntity as ImportEntity
from config.model.imports import KeepAlive as KeepAlive
from config.model.imports import topics_of as topics_of
from config.model.outputs import Notify as Notify
from config.model.outputs import Output as Output

Pull = Literal["up", "down", "off"]

# A kind of device that no collector owns: the statistician derives its energy from another's power.
INTEGRAL = "integral"
# The devices of the controller: no other may have these ids.
RESERVED = (RELAY_DEVICE, ALARM_DEVICE, RULE_DEVICE) = ("relay", "alarm", "rule")
# Entities of that device beside the relays themselves.
GUARD = "battery_guard"
FAULT = "_fault"


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker(Table):
    """[broker]: the Mosquitto all processes talk through; `base` starts every topic."""

    host: str = "127.0.0.1"
    port: Annotated[int, Ge(1), Le(65535)] = 1883
    base: str = "camper"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls_ca: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lan(Table):
    """[lan]: where `boondock broker` lets the local network in, with TLS and a password; nowhere by default.

    `listen` holds IPv4 addresses or interfaces of this machine; `names` are further names of it for the
    certificate, which lasts `days`. `certificate` and `private_key` are files of another's instead.
    """

    listen: tuple[str, ...] = ()
    port: Annotated[int, Ge(1), Le(65535)] = 8883
    websockets: Annotated[int, Ge(1), Le(65535)] | None = None
    names: tuple[str, ...] = ()
    days: Annotated[int, Ge(60), Le(825)] = 825
    certificate: str | None = None
    private_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Table):
    """[page]: the page for browsers, by nginx, for this machine alone, or where `listen` lets the network in.

    `listen` is as in [lan]. `port`, where it is not said: 443, without `tls` 80, for this machine alone 8080.
    `name` is what the network calls it; one below .local is announced. `websockets` is the broker's port for
    it on this machine.
    """

    enabled: bool = False
    listen: tuple[str, ...] = ()
    port: Annotated[int, Ge(1), Le(65535)] | None = None
    tls: bool = True
    name: str = "boondock.local"
    websockets: Annotated[int, Ge(1), Le(65535)] = 8083

    @property
    def is_open(self) -> bool:
        """Whether the network may open it."""
        return self.enabled and bool(self.listen)

    @property
    def encrypted(self) -> bool:
        """Whether it needs a certificate: this machine alone does not."""
        return self.is_open and self.tls

    @property
    def opened_port(self) -> int:
        """The port that a browser opens."""
        if self.port is not None:
            return self.port
        return 443 if self.encrypted else 80 if self.is_open else 8080


@dataclass(frozen=True, slots=True, kw_only=True)
class User(Table):
    """[user.<name>]: one more user of the broker: what `role` may, and read and write `topics` of others.

    A publisher speaks for its `devices` and obeys `commands`, each device.entity.
    """

    role: Literal["viewer", "operator", "admin", "publisher"] | None = None
    topics: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage(Table):
    """[storage]: where readings wait for the statistician, in memory (`runtime`) and at need on disk.

    `card_mb_a_day` is what the owner lets be written to the card, MB a day; `boondock doctor` compares.
    """

    runtime: str = "/run/boondock"
    state: str = "/var/lib/boondock"
    outbox_rows: Annotated[int, Ge(100), Le(100_000_000)] = 500_000
    outbox_mb: Annotated[int, Ge(1), Le(1_000_000)] = 64
    card_mb_a_day: Annotated[float, Gt(0), Le(1_000_000)] = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock(Table):
    """[clock]: `trusted`: the machine keeps time by itself (a real-time clock chip).

    `folder` holds the newest stored time; all processes read it, the statistician writes it (None: `state`).
    """

    trusted: bool = False
    folder: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish(Table):
    """[publish]: how often readings go out, seconds; a device may say otherwise for itself."""

    min_interval: Annotated[float, Ge(0), Le(3600)] = 1.0
    heartbeat: Seconds = 30.0
    timeout: Seconds = 60.0
    scalars: bool = True
    discovery: bool = True
    details: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ble(Table):
    """[ble]: the Bluetooth adapter; `watchdog` is how long it may hear nothing at all, seconds."""

    adapter: str = "hci0"
    mode: Literal["active", "passive"] = "active"
    watchdog: Seconds = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Device(Table):
    """[device.<id>]: one device. Its kind says which of these settings it needs and takes.

    `key`, `route_b_id` and `route_b_password` are best kept in secret files. `every` and `jitter` are seconds
    between two polls, `cron` a crontab line instead, `pause` seconds between two questions, `logger` the
    serial number of a Solarman data logger. With `allow_write` commands may change its
    settings, with `energy` its powers are added up.
    Resistances are ohms, currents A, `capacity` litres; `medium` is what an echo passes through.
    """

    kind: str
    name: str | None = None
    min_interval: Annotated[float, Ge(0), Le(3600)] | None = None
    heartbeat: Seconds | None = None
    timeout: Seconds | None = None
    steps: dict[str, Annotated[float, Ge(0), Le(1e9)]] = field(default_factory=dict)
    disabled: tuple[str, ...] = ()
    # What its values are in the energy flow of the house, in place of what its kind says.
    role: Role | Literal["none"] | None = None
    # How it is reached and when it is asked.
    address: str | int | None = None
    key: str | None = field(default=None, repr=False)
    port: str | None = None
    baudrate: Annotated[int, Ge(300), Le(4_000_000)] | None = None
    unit: Annotated[int, Ge(0), Le(255)] | None = None
    pause: Annotated[float, Ge(0), Le(10)] | None = None
    logger: Annotated[int, Ge(1), Le(4_294_967_295)] | None = None
    profile: str | None = None
    push: bool = False
    energy: bool = False
    bus: Annotated[int, Ge(0), Le(255)] | None = None
    route_b_id: str | None = field(default=None, repr=False)
    route_b_password: str | None = field(default=None, repr=False)
    every: Annotated[float, Ge(0.05), Le(86_400)] | None = None
    cron: str | None = None
    jitter: Annotated[float, Ge(0), Le(3600)] | None = None
    allow_write: bool = False
    # Chips and pins; `chip` is the kernel's name of one.
    chip: str | None = None
    shunt: Annotated[float, Gt(0), Le(1000)] | None = None
    max_current: Annotated[float, Gt(0), Le(10_000)] | None = None
    correction: Annotated[float, Gt(0), Le(100)] | None = None
    channel: Annotated[int, Ge(0), Le(3)] | None = None
    gain: float | None = None
    divider: Annotated[float, Gt(0), Le(10_000)] | None = None
    pull_up: Annotated[float, Gt(0), Le(10_000_000)] | None = None
    supply: Annotated[float, Gt(0), Le(60)] | None = None
    pin: Annotated[int, Ge(0), Le(27)] | None = None
    pull: Pull | None = None
    active_low: bool | None = None
    debounce: Annotated[float, Ge(0), Le(3600)] | None = None
    counts: str | None = None
    pulses_per_unit: Annotated[float, Gt(0), Le(1_000_000)] | None = None
    device_class: str | None = None
    levels: dict[str, Annotated[int, Ge(0), Le(27)]] = field(default_factory=dict)
    calibration: tuple[tuple[float, float], ...] = ()
    capacity: Annotated[float, Gt(0), Le(1_000_000)] | None = None
    medium: str | None = None
    # Of kind `integral` only: `source` is device.entity in W; a silence longer than `max_gap` s adds nothing;
    # `sign` says which watts count.
    source: str | None = None
    max_gap: Seconds | None = None
    sign: Literal["positive", "negative", "both"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector(Table):
    """[collector]: `run` names the transports whose collector runs although it has no device yet."""

    run: tuple[Literal["ble", "serial", "tcp", "i2c", "gpio", "host", "mqtt"], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistician(Table):
    """[statistician]: the database, how often it is written (s) and how long states are kept (days).

    A full disk may shorten that to `keep_days_at_least`. `backups` is a folder; None: beside the database.
    """

    database: str = "/var/lib/boondock/statistics.db"
    commit_interval: Annotated[float, Gt(0), Le(30)] = 5.0
    keep_days: Days = 10
    keep_days_at_least: Days = 1
    backups: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup(Table):
    """[backup]: the folder for the nightly backup of everything, how many are kept, and when, local time.

    `mounted`: only if a disk is mounted there; None: so below /media, /mnt and /run/media.
    """

    to: str = "/var/lib/boondock-backup"
    keep: Annotated[int, Ge(1), Le(1000)] = 7
    at: str = "03:30"
    mounted: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller(Table):
    """[controller]: `pins` is how the board's pins are reached, `simulated` switches none.

    `chip` is the chip they are on, by path, name or label; None is that of a Raspberry Pi's header, else the
    first.
    """

    name: str = "Relays"
    pins: Literal["auto", "gpiod", "rpi", "simulated"] = "auto"
    chip: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay(Table):
    """[relay.<id>]: one output, numbered as BCM; docs/relays.md says what each policy does.

    `chip` is the kernel's name of another chip that the pins are on.
    Times are seconds, but `feedback_within` is ms. `only_if` holds conditions as `fresh_water.level > 5`,
    `never_with` names of relays, `feedback` device.entity.
    """

    pin: Annotated[int, Ge(0), Le(27)]
    chip: str | None = None
    name: str | None = None
    active_low: bool = False
    boot: Literal["off", "on", "restore"] = "off"
    exit: Literal["keep", "off"] = "off"
    max_on: Seconds | None = None
    min_off: Seconds | None = None
    broker_loss: Literal["keep", "off"] = "keep"
    broker_loss_after: Annotated[float, Ge(0), Le(31_536_000)] = 60.0
    only_if: tuple[str, ...] = ()
    only_if_within: Seconds = 120.0
    only_if_enforce: bool = True
    never_with: tuple[str, ...] = ()
    feedback: str | None = None
    feedback_pin: Annotated[int, Ge(0), Le(27)] | None = None
    feedback_pull: Pull = "up"
    feedback_active_low: bool = True
    feedback_within: Annotated[float, Ge(1), Le(60_000)] = 500.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BatteryGuard(Table):
    """[battery_guard]: turns a relay off before the battery is empty. Times in seconds.

    `source` is device.entity; `disconnect_below` and `reconnect_above` are in its unit. With `restore` the
    relay comes back as it was.
    """

    relay: str
    source: str
    disconnect_below: Annotated[float, Ge(0), Le(1000)]
    disconnect_after: Annotated[float, Ge(0), Le(86_400)] = 60.0
    reconnect_above: Annotated[float, Ge(0), Le(1000)]
    reconnect_after: Annotated[float, Ge(0), Le(86_400)] = 300.0
    restore: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm(Table):
    """[alarm.<id>]: what people are told, on `alarm/<id>`. All of `when` must hold for `for` seconds.

    It ends when all of `until` have held for `until_for` seconds; without `until`, when `when` ends. A value
    older than `within` seconds is unknown, and what is unknown changes nothing.
    """

    when: str | tuple[str, ...]
    for_: Held = 60.0
    until: str | tuple[str, ...] = ()
    until_for: Held = 0.0
    within: Seconds = 300.0
    name: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Table):
    """[rule.<id>]: switches the relay `output` on by `when`, off by `until`; as an alarm's, in seconds.

    Once on it stays on for `min_on`, once off for `min_off` seconds. A command of a person to the relay or to
    the rule counts for `override` seconds. What the relay itself allows counts above all.
    """

    output: str
    when: str | tuple[str, ...]
    for_: Held = 60.0
    until: str | tuple[str, ...] = ()
    until_for: Held = 60.0
    within: Seconds = 300.0
    min_on: Held = 60.0
    min_off: Held = 60.0
    override: Seconds = 3600.0
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Table):
    """All of boondock.toml."""

    broker: Broker = field(default_factory=Broker)
    lan: Lan = field(default_factory=Lan)
    page: Page = field(default_factory=Page)
    user: dict[str, User] = field(default_factory=dict)
    storage: Storage = field(default_factory=Storage)
    clock: Clock = field(default_factory=Clock)
    publish: Publish = field(default_factory=Publish)
    ble: Ble = field(default_factory=Ble)
    collector: Collector = field(default_factory=Collector)
    device: dict[str, Device] = field(default_factory=dict)
    # By device; `import` is a word of Python.
    imports: dict[str, Import] = field(default_factory=dict)
    statistician: Statistician = field(default_factory=Statistician)
    backup: Backup = field(default_factory=Backup)
    controller: Controller = field(default_factory=Controller)
    relay: dict[str, Relay] = field(default_factory=dict)
    battery_guard: BatteryGuard | None = None
    alarm: dict[str, Alarm] = field(default_factory=dict)
    rule: dict[str, Rule] = field(default_factory=dict)
    output: dict[str, Output] = field(default_factory=dict)
    notify: dict[str, Notify] = field(default_factory=dict)


def has_feedback(relay: Relay) -> bool:
    """Whether anything tells if the relay's load follows."""
    return relay.feedback is not None or relay.feedback_pin is not None
