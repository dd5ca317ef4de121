"""What `boondock collect` is asked for: by options, by the environment, by a `.env`, in this order."""

import ipaddress
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bus.schedule import BadCronError, check_cron
from cli.app import UsageError
from cli.house import House
from cli.terminal import CommandError, SettingsError
from collector.devices.lines import MeterPlace
from config import env_file
from config.mistakes import ConfigError, Mistake
from config.model import INTEGRAL, Device, Output, Settings
from config.output_rules import wrong_outputs

log = logging.getLogger(__name__)

Format = Literal["json", "yaml", "csv"]
FORMATS: Mapping[str, Format] = {"json": "json", "yaml": "yaml", "csv": "csv"}
METER = "meter"
"""What the meter of the environment is called."""

# The variables, and the options that count more.
_OPTIONS = {
    "SERIAL_PORT": "--port",
    "SERIAL_RATE": "--baudrate",
    "B_ROUTE_ID": "",
    "B_ROUTE_PASSWORD": "",
    "LOCAL_TIMEZONE": "",
    "FILE_FORMAT": "--format",
    "WEBHOOK_URL": "--webhook-url",
    "GCP_PROJECT_ID": "--gcp-project",
    "GCP_TOPIC_NAME": "--gcp-topic",
}
# What a setting of a device or of an output is called here.
_DEVICE = {
    "port": "SERIAL_PORT",
    "baudrate": "SERIAL_RATE",
    "route_b_id": "B_ROUTE_ID",
    "route_b_password": "B_ROUTE_PASSWORD",
}
_OUTPUT = {"url": "WEBHOOK_URL", "project": "GCP_PROJECT_ID", "topic": "GCP_TOPIC_NAME"}
_SCHEDULE, _INTERVAL_S = "*/5 * * * *", 300.0
_LONGEST_S = 31_536_000
_FILE = "hems_data.dat"
_BAUDRATES = (300, 4_000_000)
_CHANNELS = range(33, 61)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line; None: it does not say."""

    output: tuple[str, ...] = ()
    format: str | None = None
    file: Path | None = None
    port: str | None = None
    baudrate: int | None = None
    webhook_url: str | None = None
    gcp_project: str | None = None
    gcp_topic: str | None = None
    mode: str | None = None
    schedule: str | None = None
    interval: float | None = None
    meter_channel: str | None = None
    meter_panid: str | None = None
    meter_ipv6: str | None = None
    env_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """A value, and where it stands: an option, or a place of the environment."""

    value: str
    origin: str

    def refused(self, wrong: str, allowed: str) -> Exception:
        """Return the error that says what is wrong with it."""
        if self.origin.startswith("-"):
            return UsageError(f"{self.origin}: {wrong}; allowed: {allowed}")
        return SettingsError(str(Mistake(self.origin, "", wrong, allowed)))


class Choices:
    """The command line over the environment over a `.env`.

    The methods raise UsageError of the command line, SettingsError of the others.
    """

    def __init__(self, options: Options, environment: Mapping[str, str] = os.environ) -> None:
        self._options = options
        self._environment = environment
        path = options.env_file or Path(env_file.NAME)
        if options.env_file is not None and not path.exists():
            raise UsageError(f"--env-file: there is no {path}; allowed: a file of NAME=value lines")
        try:
            self._env = env_file.read(path, _OPTIONS.__contains__, "SERIAL_PORT=/dev/ttyUSB0")
        except ConfigError as error:
            raise SettingsError(str(error)) from error
        if self._env.mistakes:
            raise SettingsError("\n".join(map(str, self._env.mistakes)))

    def get(self, name: str) -> Choice | None:
        """Look a variable up; an empty one counts as none."""
        option = _OPTIONS[name]
        said = getattr(self._options, option.removeprefix("--").replace("-", "_")) if option else None
        if said is not None:
            return Choice(str(said), option)
        if text := self._environment.get(name):
            return Choice(text, f"environment {name}")
        if text := self._env.variables.get(name):
            return Choice(text, f"{self._env.path} line {self._env.lines[name]}: {name}")
        return None

    def text(self, name: str) -> str | None:
        """Look up the text of a variable."""
        found = self.get(name)
        return None if found is None else found.value

    def number(self, name: str, least: int, most: int) -> int | None:
        """Look up a whole number."""
        found = self.get(name)
        if found is None:
            return None
        if not re.fullmatch(r"[0-9]{1,9}", found.value) or not least <= int(found.value) <= most:
            raise found.refused(f"{found.value!r} is not allowed", f"a whole number, {least} to {most}")
        return int(found.value)

    def format(self) -> Format:
        """Choose how records are written."""
        found = self.get("FILE_FORMAT")
        if found is None:
            return "json"
        if found.value not in FORMATS:
            raise found.refused(f"{found.value!r} is no format", ", ".join(FORMATS))
        return FORMATS[found.value]

    def zone(self) -> str | None:
        """Choose the time zone of a schedule; None: the machine's."""
        found = self.get("LOCAL_TIMEZONE")
        if found is None:
            return None
        try:
            ZoneInfo(found.value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise found.refused(f"there is no time zone {found.value!r}", "such as Asia/Tokyo") from error
        return found.value

    def due(self) -> tuple[str | None, float]:
        """Choose when to read: a crontab line, or None and every so many seconds."""
        options = self._options
        mode = options.mode
        if mode is None and options.schedule is not None and options.interval is not None:
            raise UsageError("--schedule and --interval: one of the two, or say with --mode which")
        if mode is None:
            mode = "schedule" if options.interval is None else "interval"
        unused = "schedule" if mode == "interval" else "interval"
        if getattr(options, unused) is not None:
            log.warning("--%s does not count with --mode %s", unused, mode)
        if mode == "interval":
            seconds = _INTERVAL_S if options.interval is None else options.interval
            if not 1 <= seconds <= _LONGEST_S:
                raise Choice("", "--interval").refused(f"{seconds:g} is not allowed", "seconds, 1 or more")
            return None, seconds
        line = _SCHEDULE if options.schedule is None else options.schedule
        try:
            check_cron(line)
        except BadCronError as error:
            allowed = 'five fields of crontab, such as "*/5 * * * *"'
            raise Choice(line, "--schedule").refused(str(error), allowed) from error
        return line, _INTERVAL_S

    def place(self) -> MeterPlace | None:
        """Choose where the meter is on the air; None: it is to be found by a scan."""
        options = self._options
        said = (options.meter_channel, options.meter_panid, options.meter_ipv6)
        if said == (None, None, None):
            return None
        if None in said:
            raise UsageError("--meter-channel, --meter-panid, --meter-ipv6: give all three, or none")
        channel, pan_id, address = (str(one) for one in said)
        return MeterPlace(_channel(channel), _pan_id(pan_id), _address(address))

    def meter(self) -> Device:
        """Return the smart meter that the environment says. Raises SettingsError."""
        missing = [name for name in ("B_ROUTE_ID", "B_ROUTE_PASSWORD") if self.get(name) is None]
        if missing:
            raise SettingsError(
                f"{' and '.join(missing)}: not set; next: put what your electricity company sent into the"
                f" environment or into {self._env.path}, or name a device of boondock.toml"
            )
        return Device(
            kind="route_b_meter",
            port=self.text("SERIAL_PORT") or "/dev/ttyUSB0",
            baudrate=self.number("SERIAL_RATE", *_BAUDRATES),
            route_b_id=self.text("B_ROUTE_ID"),
            route_b_password=self.text("B_ROUTE_PASSWORD"),
        )

    def house_device(self, house: House, name: str) -> tuple[Settings, Device]:
        """Find a [device.<id>] table, and the settings around it. Raises CommandError."""
        settings = house.settings()
        device = settings.device.get(name)
        if device is None:
            listed = ", ".join(sorted(settings.device)) or "none"
            raise CommandError(
                f"{house.file()} has no device {name!r}; there are: {listed}; without a name it is the smart"
                " meter of B_ROUTE_ID"
            )
        if device.kind == INTEGRAL:
            raise CommandError(f"{name} is computed by the statistician; next: boondock watch {name}")
        options = self._options
        port = device.port if options.port is None else options.port
        baudrate = device.baudrate if options.baudrate is None else options.baudrate
        return settings, replace(device, port=port, baudrate=baudrate)

    def outputs(self, shape: Output) -> dict[str, Output]:
        """Return the outputs asked for, with the shape of their records; `shape` is one of kind stdout."""
        path = self._options.file or Path(_FILE)
        url, project, topic = map(self.text, ("WEBHOOK_URL", "GCP_PROJECT_ID", "GCP_TOPIC_NAME"))
        made = {
            "stdout": shape,
            "file": replace(shape, kind="file", path=str(path.expanduser().absolute()), sync="always"),
            "webhook": replace(shape, kind="webhook", url=url, headers={"Content-Type": "application/json"}),
            "gcloud": replace(shape, kind="gcloud", project=project, topic=topic, format=None),
        }
        asked = dict.fromkeys(self._options.output)
        for name in asked:
            for key, wrong, allowed in wrong_outputs(Settings(output={name: made[name]})):
                raise self._wrong_output(key.rpartition(".")[2], wrong, allowed)
        # One record a message, as a JSON object, whatever the others write.
        for name in ("webhook", "gcloud"):
            made[name] = replace(made[name], format="json")
        return {name: made[name] for name in asked}

    def _wrong_output(self, key: str, wrong: str, allowed: str) -> Exception:
        variable = _OUTPUT.get(key)
        if variable is None:
            return UsageError(f"--{key}: {wrong}; allowed: {allowed}")
        found = self.get(variable)
        if found is not None:
            return found.refused(wrong, allowed)
        return UsageError(f"{_OPTIONS[variable]} or {variable}: {wrong}; allowed: {allowed}")

    def named(self, mistakes: list[Mistake]) -> str:
        """Say the mistakes of the environment's meter by the names that they have here."""
        lines = []
        for one in mistakes:
            found = self.get(_DEVICE[one.key]) if one.key in _DEVICE else None
            where = one.key if found is None else found.origin
            lines.append(str(replace(one, where=where, key="")))
        return "\n".join(lines)


def _channel(text: str) -> int:
    """Read a channel; sticks say it in hexadecimal, without a mark."""
    number = -1
    if re.fullmatch(r"[0-9]{2}", text) and int(text) in _CHANNELS:
        number = int(text)
    elif re.fullmatch(r"(0[xX])?[0-9A-Fa-f]{2}", text):
        number = int(text, 16)
    if number not in _CHANNELS:
        allowed = "33 to 60, or 0x21 to 0x3C"
        raise Choice(text, "--meter-channel").refused(f"{text!r} is no channel", allowed)
    return number


def _pan_id(text: str) -> bytes:
    if not re.fullmatch(r"(0[xX])?[0-9A-Fa-f]{4}", text):
        raise Choice(text, "--meter-panid").refused(f"{text!r} is no PAN ID", "four hexadecimal digits")
    return bytes.fromhex(text[-4:])


def _address(text: str) -> str:
    """Write an address as a stick takes it."""
    try:
        return ipaddress.IPv6Address(text).exploded.upper()
    except ValueError as error:
        allowed = "an IPv6 address, such as FE80::21D:1290:1234:5678"
        raise Choice(text, "--meter-ipv6").refused(f"{text!r} is no address", allowed) from error
