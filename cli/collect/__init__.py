"""`boondock collect`: one device to files and servers, without a house: once, or until somebody ends it."""

import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Annotated, Literal

from typer import Argument, Context, Option
from typer.core import TyperCommand

from bus.health import VERSION, Journal
from bus.messages import to_iso
from bus.schedule import Cron, Timer
from cli.app import INTERRUPTED, UsageError
from cli.collect.choices import METER, Choices, Options
from cli.collect.outlets import Outlet
from cli.house import Config, House, Json, complete_devices
from cli.terminal import CommandError, SettingsError, shown
from collector.devices.description import Decoded
from collector.direct import Direct, EndedError, Got, open_device
from collector.lines import Surroundings
from collector.schedule import timer
from config.mistakes import ConfigError
from config.model import Device, Output, Settings
from forwarder.outputs import SendError
from forwarder.records import Sample
from forwarder.shapes import HEMS, RESET

log = logging.getLogger(__name__)

# The clock may be set while we wait for a time of day.
_LOOK_S = 10.0
# An end waits so long for what outputs have in hand; who asks once waits for as long as they may take.
_FINISH_S, _FINISH_ONCE_S = 5.0, 120.0
ROUTE_B = "route_b_meter"
# Who logs; the last is the library of Wi-SUN sticks.
_LOGGERS = ("bus", "cli", "collector", "config", "forwarder", "momonga")


class Where(StrEnum):
    """Where records go."""

    STDOUT = "stdout"
    FILE = "file"
    GCLOUD = "gcloud"
    WEBHOOK = "webhook"


def _spread(arguments: list[str]) -> Iterator[str]:
    """Write `--output file webhook` as two options."""
    taking = named = False
    for word in arguments:
        taking = named or (taking and word in list(Where))
        if taking and not named:
            yield "--output"
        yield word
        named = word in ("-o", "--output")


class _Command(TyperCommand):
    """The command line as argparse took it."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:  # type: ignore[override]  # typer's own, of its base class
        """Read the words."""
        return super().parse_args(ctx, list(_spread(args)))


def collect(
    device: Annotated[
        str | None,
        Argument(
            autocompletion=complete_devices,
            help="A device of boondock.toml; default: the smart meter of B_ROUTE_ID.",
        ),
    ] = None,
    *,
    output: Annotated[
        list[Where] | None,
        Option("--output", "-o", help="Where to, several if you like; default: only the log."),
    ] = None,
    file_format: Annotated[
        Literal["json", "yaml", "csv"] | None,
        Option("--format", "-f", help="Of stdout and file; default: FILE_FORMAT, or json."),
    ] = None,
    file: Annotated[
        Path | None, Option(metavar="FILE", help="Where output file writes; default: hems_data.dat.")
    ] = None,
    once: Annotated[bool, Option("--once", help="Read once, and end.")] = False,
    mode: Annotated[
        Literal["schedule", "interval"] | None,
        Option(help="By --schedule or by --interval; default: the one that is given, else schedule."),
    ] = None,
    schedule: Annotated[
        str | None, Option("--schedule", "-s", metavar="CRONTAB", help="Default: */5 * * * *.")
    ] = None,
    interval: Annotated[
        float | None, Option("--interval", "-i", metavar="SECONDS", help="Default: 300.")
    ] = None,
    port: Annotated[
        str | None, Option(help="Of the device or stick; default: SERIAL_PORT, or /dev/ttyUSB0.")
    ] = None,
    baudrate: Annotated[
        int | None, Option(min=300, max=4_000_000, help="Of the port; default: SERIAL_RATE, or its kind's.")
    ] = None,
    webhook_url: Annotated[
        str | None,
        Option(metavar="URL", help="Default: WEBHOOK_URL. Others on this machine can see what stands here."),
    ] = None,
    gcp_project: Annotated[
        str | None, Option(metavar="PROJECT", help="Of Google Pub/Sub; default: GCP_PROJECT_ID.")
    ] = None,
    gcp_topic: Annotated[
        str | None, Option(metavar="TOPIC", help="Of Google Pub/Sub; default: GCP_TOPIC_NAME.")
    ] = None,
    meter_channel: Annotated[
        str | None, Option(metavar="33-60", help="Of a smart meter; with the next two nothing is scanned.")
    ] = None,
    meter_panid: Annotated[str | None, Option(metavar="8888", help="Its PAN ID, hexadecimal.")] = None,
    meter_ipv6: Annotated[str | None, Option(metavar="FE80::…", help="Its address.")] = None,
    env_file: Annotated[
        Path | None, Option(metavar="FILE", help="Variables for the environment; default: .env.")
    ] = None,
    debug: Annotated[bool, Option("--debug", help="Log in detail, without secrets.")] = False,
    version: Annotated[bool, Option("--version", "-v", help="Print the version, and end.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Read one device and write what it says to outputs; no house and no broker are needed.

    Without a device it is the Japanese smart meter whose route B ID and password stand in B_ROUTE_ID and
    B_ROUTE_PASSWORD, in the environment or in a file .env. It goes on until Ctrl-C; the log is on standard
    error. --json is short for --output stdout --format json. docs/outputs.md has a section about it.
    """
    if version:
        print(f"boondock {VERSION}")
        return 0
    if as_json and file_format not in (None, "json"):
        raise UsageError(f"--json and --format {file_format}: one of the two")
    choices = Choices(
        Options(
            output=(*(output or ()), *(("stdout",) if as_json else ())),
            format="json" if as_json else file_format,
            file=file,
            port=port,
            baudrate=baudrate,
            webhook_url=webhook_url,
            gcp_project=gcp_project,
            gcp_topic=gcp_topic,
            mode=mode,
            schedule=schedule,
            interval=interval,
            meter_channel=meter_channel,
            meter_panid=meter_panid,
            meter_ipv6=meter_ipv6,
            env_file=env_file,
        )
    )
    with _log_on_stderr(debug=debug):
        return _collect(choices, House(config=config), device, once=once)


collect.cls = _Command  # type: ignore[attr-defined]  # read by cli.app


@contextmanager
def _log_on_stderr(*, debug: bool) -> Iterator[None]:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    # Not of other libraries: they might log an address with a token.
    ours = [logging.getLogger(name) for name in _LOGGERS]
    levels = [one.level for one in ours]
    for one in ours:
        one.addHandler(handler)
        one.setLevel(logging.DEBUG if debug else logging.INFO)
    try:
        yield
    finally:
        for one, level in zip(ours, levels, strict=True):
            one.removeHandler(handler)
            one.setLevel(level)


def _collect(choices: Choices, house: House, device: str | None, *, once: bool) -> int:
    """Check all that was asked for, then read. Raises CommandError, UsageError."""
    _use_zone(choices)
    line, seconds = choices.due()
    file_format = choices.format()
    shape = Output(kind="stdout", records=("samples",), interval=seconds, format=file_format)
    # What is wrong with them is told before anything is read.
    choices.outputs(shape)
    with (
        _opened(choices, house, device) as direct,
        _ended_by_signals(direct.end),
        tempfile.TemporaryDirectory(prefix="boondock-collect-") as folder,
    ):
        run = _Run(direct, choices, shape, Path(folder))
        try:
            if once:
                run.once()
            else:
                run.forever(timer(Device(kind="", cron=line), seconds, _never))
        except EndedError:
            # Who asked once has not got what he asked for.
            return INTERRUPTED if once else 0
        finally:
            left = run.finish(_FINISH_ONCE_S if once else _FINISH_S)
    return 1 if once and left else 0


def _use_zone(choices: Choices) -> None:
    """Use the time zone asked for, before anybody looks what the machine's is."""
    if (zone := choices.zone()) is not None:
        os.environ["TZ"] = zone
        time.tzset()


def _never() -> float:
    return 0.0


def _opened(choices: Choices, house: House, device: str | None) -> Direct:
    place = choices.place()
    if device is None:
        settings, name, settled, where, table = Settings(), METER, choices.meter(), "", ""
    else:
        settings, settled = choices.house_device(house, device)
        name, where, table = device, str(house.file()), f"device.{device}."
    if place is not None and settled.kind != ROUTE_B:
        raise UsageError(f"--meter-channel, --meter-panid, --meter-ipv6: {name} is no smart meter")
    around = Surroundings(
        state=Path(settings.storage.state),
        controller=settings.controller,
        tell=partial(log.info, "%s: %s", name),
        meter_place=place,
        detail=log.isEnabledFor(logging.DEBUG),
    )
    try:
        return open_device(settings, name, settled, where=where, table=table, around=around)
    except ConfigError as error:
        raise SettingsError(choices.named(error.mistakes) if device is None else str(error)) from error


@contextmanager
def _ended_by_signals(end: Callable[[], None]) -> Iterator[None]:
    def ended(_number: int, _frame: FrameType | None) -> None:
        end()

    before = {number: signal.signal(number, ended) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Run:
    """One device and its outputs."""

    def __init__(self, direct: Direct, choices: Choices, shape: Output, folder: Path) -> None:
        self._direct = direct
        self._owned = direct.owned
        self._choices = choices
        self._shape = shape
        self._folder = folder
        self._outlets: list[Outlet] = []
        self._journal = Journal()
        if self._is_meter:
            # Others tell with their first answer what they have.
            self._open()

    @property
    def _is_meter(self) -> bool:
        return self._owned.kind.name == ROUTE_B

    def _entities(self) -> list[str]:
        return [entity for entity in self._owned.rows if entity not in self._owned.settings.disabled]

    def _open(self) -> None:
        """Open the outputs. Raises CommandError."""
        shape = replace(self._shape, devices=(self._owned.id,))
        if self._is_meter:
            shape = replace(shape, template=HEMS)
        else:
            shape = replace(shape, columns={e: f"{self._owned.id}.{e}" for e in self._entities()})
        for name, output in self._choices.outputs(shape).items():
            try:
                self._outlets.append(Outlet(name, output, self._folder, self._direct.end))
            except SendError as error:
                raise CommandError(f"output {name}: {error}") from error

    def finish(self, seconds: float) -> int:
        """End the outputs; return how many records were not taken. Raises BrokenPipeError."""
        left = sum(outlet.finish(seconds) for outlet in self._outlets)
        if any(outlet.is_unread for outlet in self._outlets):
            raise BrokenPipeError
        log.debug("ended")
        return left

    def once(self) -> None:
        """Read once. Raises CommandError, EndedError."""
        got = self._direct.read()
        if got.why is not None:
            raise CommandError(f"{self._owned.id}: {got.why}")
        self._take(got)

    def forever(self, due: Timer) -> None:
        """Read whenever it is time. Raises EndedError."""
        self._say(self._direct.open())
        if isinstance(due, Cron):
            # It begins at the first time of the schedule, not now.
            due.due(time.monotonic(), _wall())
        while True:
            if due.due(time.monotonic(), _wall()):
                self._take(self._direct.read())
            self._direct.rest(min(due.wait(time.monotonic(), _wall()), _LOOK_S))

    def _say(self, got: Got) -> None:
        """Tell what is wrong, once, and that it is well again."""
        name = self._owned.id
        if got.why is None:
            if self._journal.solved(name):
                log.info("%s: it answers again", name)
        elif self._journal.problem(name, got.why, got.ts):
            log.error("%s: %s (it is asked again at the next time)", name, got.why)

    def _take(self, got: Got) -> None:
        self._say(got)
        if got.found is None:
            return
        if not self._outlets:
            self._open()
        record = self._sample(got.ts, got.found)
        for outlet in self._outlets:
            outlet.put(record)
        values = self._owned.enabled(got.found.values)
        said = (f"{entity} {shown(value)}" for entity, value in values.items())
        log.log(logging.DEBUG if self._outlets else logging.INFO, "%s: %s", self._owned.id, ", ".join(said))

    def _sample(self, ts: int, found: Decoded) -> Sample:
        """Make a record: a smart meter's as programs of its owners know it, else a column an entity."""
        owned, values = self._owned, self._owned.enabled(found.values)
        if not self._is_meter:
            return Sample(ts, {entity: values.get(entity) for entity in self._entities()}, owned.id)
        resets = {f"{entity}{RESET}": to_iso(began) for entity, began in found.last_reset.items()}
        return Sample(ts, {f"{owned.id}.{name}": one for name, one in (values | resets).items()}, owned.id)


def _wall() -> int:
    return time.time_ns() // 1_000_000
