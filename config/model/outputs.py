"""The tables of the forwarder: where readings and statistics are sent, and who is told of alarms."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from config.model.base import Held, Seconds, Table

Kind = Literal["stdout", "file", "webhook", "gcloud", "signed", "mqtt", "influx", "prometheus"]
Records = Literal["readings", "samples", "5minute", "hour"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Output(Table):
    """[[output]]: one place that readings or statistics are sent to; its id is the table's `name`.

    `records` are every reading, samples of all values at fixed times, or statistics. `entities` are
    device.entity, `devices` ids; `*` stands for any text in both; without both all are sent. A new output
    begins with what is new, or with all that is kept. It sends every `interval` seconds or by `cron`, else at
    once, at most `batch` records together. Its kind says which of the other settings it takes.
    """

    kind: Kind
    records: tuple[Records, ...] = ("readings",)
    entities: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    start: Literal["now", "all"] = "now"
    interval: Seconds | None = None
    cron: str | None = None
    batch: Annotated[int, Ge(1), Le(1000)] = 500
    # How records look: a format, or a ready-made `template` (hems), or a text with {names}; `columns` gives
    # the column of a sample its device.entity.
    format: Literal["csv", "jsonl", "json", "yaml"] | None = None
    template: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    # A file: begun anew beyond `rotate_mb` MB or each day, `keep` old ones, packed with `gzip`; `sync` is
    # when it is put on the card, `latest` a file with the newest values alone.
    path: str | None = None
    latest: str | None = None
    rotate_mb: Annotated[float, Gt(0), Le(1_000_000)] | None = None
    rotate_daily: bool | None = None
    keep: Annotated[int, Ge(1), Le(100_000)] | None = None
    gzip: bool | None = None
    sync: Literal["always", "minute", "never"] | None = None
    # HTTP, MQTT: `timeout` is seconds for one answer, `tls_ca` a file, `sign` the secret of an HMAC.
    url: str | None = field(default=None, repr=False)
    method: Literal["POST", "PUT"] | None = None
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    sign: str | None = field(default=None, repr=False)
    timeout: Annotated[float, Gt(0), Le(600)] | None = None
    tls_ca: str | None = None
    verify: bool | None = None
    # Google Pub/Sub: `credentials` is the file of a service account; an MQTT topic may have {names}.
    project: str | None = None
    topic: str | None = None
    credentials: str | None = None
    retain: bool | None = None
    # InfluxDB 2, 3 or VictoriaMetrics.
    org: str | None = None
    bucket: str | None = None
    measurement: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify(Table):
    """[[notify]]: who is told of alarms, and how; its id is the table's `name`. Times in seconds.

    `url` is the address of a service as Apprise writes it, best kept in a secret file. `alarms` are ids, `*`
    stands for any text. Between the two times of `quiet`, local, as 22:00-07:00, only `always` are told. A
    message comes again every `repeat` until somebody acknowledges the alarm. With `after` it is told only if
    it is not acknowledged by then. `resolve` tells its end, too. At most `most_an_hour` messages are sent.
    """

    url: str = field(repr=False)
    alarms: tuple[str, ...] = ("*",)
    quiet: str | None = None
    always: tuple[str, ...] = ()
    repeat: Seconds | None = None
    after: Held = 0.0
    resolve: bool = True
    most_an_hour: Annotated[int, Ge(1), Le(1000)] = 12
