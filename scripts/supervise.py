"""Runs Boondock in a terminal: a broker of its own and all processes, until Ctrl-C."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from bus.topics import Topics, Verb
from cli.broker.files import version as mosquitto_version
from cli.house import Running, write_running
from config.load import EXIT_CONFIG, load
from config.mistakes import ConfigError
from config.model import Broker, Settings
from scripts import broker, demo_van, programs
from scripts.children import ROOT, Child, Van
from scripts.kept import Kept, left_out
from scripts.places import CannotStartError, Places, prepare
from scripts.served import Page
from scripts.served import prepare as prepare_page

_LOOK_EVERY = 0.2
_PERIOD = 300  # the statistics' shorter period, seconds
_STATISTICS_AFTER = 10  # seconds after its end that a period is surely published


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    port: int | None
    data: Path | None
    seconds: float | None
    config: Path | None


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 1 to 65535")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return value


def parse(argv: Sequence[str]) -> Options:
    """Return the options; an unknown or wrong one ends the program with exit code 2."""
    parser = argparse.ArgumentParser(
        prog="scripts/run",
        description="Start Boondock here: your boondock.toml, or without one the demo on emulated hardware.",
        epilog="Ctrl-C ends everything.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--port",
        type=_port,
        help="the broker's port (default: as [broker] says; the demo takes the first free one from 1883)",
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="keep the database, the logs and all state here"
    )
    parser.add_argument("--seconds", type=_seconds, metavar="N", help="end by itself after N seconds")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="run this instead of $BOONDOCK_CONFIG or ./boondock.toml"
    )
    found = parser.parse_args(argv)
    return Options(found.port, found.data, found.seconds, found.config)


def configuration(options: Options) -> Path | None:
    """Return the user's own configuration file, None for the demo."""
    named = os.environ.get("BOONDOCK_CONFIG")
    own = options.config or (Path(named) if named else None)
    if own is None and (ROOT / "boondock.toml").exists():
        own = ROOT / "boondock.toml"
    if own is not None and not own.is_file():
        raise CannotStartError(f"there is no file {own}; config/example.toml is one to start from")
    return own.resolve() if own else None


@dataclass(frozen=True, slots=True)
class House:
    """What runs: the user's own file with its settings, or (None) the demo; and on which broker."""

    own: Path | None
    settings: Settings
    chosen: broker.Chosen

    @property
    def topics(self) -> Topics:
        """The topics of this house."""
        return Topics(self.chosen.broker.base)


def house_of(options: Options) -> House:
    """Choose what runs, and on which broker. Raises CannotStartError, ConfigError, BrokerError."""
    own = configuration(options)
    if own is not None:
        settings = load(own)
        return House(own, settings, broker.choose(settings.broker, options.port))
    base = os.environ.get("BOONDOCK_BROKER__BASE") or Broker().base
    port = broker.choose_port(options.port)
    return House(None, Settings(), broker.Chosen(Broker(port=port, base=base), own=True))


class Screen:
    """The terminal: lines that stay, and on a TTY one status line that does not."""

    def __init__(self) -> None:
        self.broken = False  # nobody reads any more
        self._tty = sys.stdout.isatty()

    def say(self, line: str) -> None:
        """Print a line that stays."""
        self._write(("\r\033[K" if self._tty else "") + line + "\n")

    def status(self, text: str) -> None:
        """Show the status, on a TTY."""
        if self._tty:
            self._write("\r\033[K" + text)

    def _write(self, text: str) -> None:
        if self.broken:
            return
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError:
            # The pipe's reader or the terminal is gone: the run ends, and must still clean up behind it.
            self.broken = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Run:
    """One run from the first process to the last."""

    def __init__(self, options: Options, screen: Screen) -> None:
        self.options = options
        self.screen = screen
        self._asked = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True

    def over(self) -> bool:
        """Tell whether someone asked for the end."""
        return self._asked or self.screen.broken

    def run(self) -> int:
        """Run until asked to stop; return the exit code."""
        house = house_of(self.options)
        data = self.options.data or (ROOT / "data" if house.own else None)
        with prepare(data.resolve() if data else None) as places:
            kept = Kept.of(places)
            if house.own:
                kept = Kept.as_said(house.settings, places, data=self.options.data is not None)
            if not house.chosen.own:
                self.screen.status(f"asking the broker at {house.chosen.place} …")
                # Only here: the demo starts sooner without a client of its own.
                from scripts import house_there  # noqa: PLC0415 — see above

                house_there.look(house.chosen, self.over)
            page = self._page(places, house.chosen)
            van = Van(places.logs, self.screen.say)
            try:
                self._start(van, places, house, kept, page)
                if not self.over():
                    self._greet(places, house, kept, page)
                code = self._watch(van)
            finally:
                self.screen.status("stopping …")
                van.stop()
        self.screen.say("stopped" if code == 0 else f"stopped with exit code {code}")
        return code

    def _page(self, places: Places, chosen: broker.Chosen) -> Page:
        if not chosen.own:
            return Page(
                f"not from this run: the broker at {chosen.place} is not its own; docs/page.md says how"
            )
        return prepare_page(places, chosen.broker, mosquitto_version())

    def _start(self, van: Van, places: Places, house: House, kept: Kept, page: Page) -> None:
        port = house.chosen.broker.port
        if house.chosen.own:
            child = van.start(programs.the_broker(places, port, page))
            self._await(child, lambda: broker.accepts(port))
        if page.server:
            van.start(programs.the_page(page))
        if house.own is None:
            child = van.start(programs.the_bus(places))
            self._await(child, programs.bus_socket(places).exists)
            child = van.start(programs.the_hardware(places, port))
            # It says one line once its devices are there.
            self._await(child, lambda: "ready" in child.output())
        if not self.over():
            configuration, where = house.own or programs.DEMO, house.chosen.broker
            sends = house.own is None or bool(house.settings.output or house.settings.notify)
            for program in programs.the_services(
                places, configuration, where, demo=house.own is None, sends=sends, kept=kept
            ):
                van.start(program)

    def _await(self, child: Child, ready: Callable[[], bool]) -> None:
        came = broker.wait_until(ready, lambda: self.over() or not child.is_up(), 20)
        if self.over() or (came and child.is_up()):
            return
        what = "did not get ready" if child.is_up() else f"ended with status {child.status()}"
        raise CannotStartError(
            f"{child.program.name} {what}; it wrote:\n{child.output().rstrip() or '(nothing)'}"
        )

    def _watch(self, van: Van) -> int:
        began = time.monotonic()
        shown = -1
        while not self.over():
            code = van.watch()
            if code is not None:
                return code
            elapsed = time.monotonic() - began
            if self.options.seconds is not None and elapsed >= self.options.seconds:
                break
            if int(elapsed) != shown:
                shown = int(elapsed)
                self.screen.status(f"{_clock(shown)}  {van.up()} of {len(van.children)} processes up")
            time.sleep(_LOOK_EVERY)
        return 0

    def _greet(self, places: Places, house: House, kept: Kept, page: Page) -> None:
        topics, chosen, own = house.topics, house.chosen, house.own
        write_running(
            places.temporary,
            Running(
                config=str(own or programs.DEMO),
                own=own is not None,
                host=chosen.broker.host,
                port=chosen.broker.port,
                base=topics.base,
                logs=str(places.logs),
                page=page.address,
            ),
        )
        where = chosen.options
        now = time.time()
        first = time.localtime(now - now % _PERIOD + _PERIOD + _STATISTICS_AFTER)
        gone = "" if own or self.options.data else " (removed at the end; --data DIR keeps it)"
        lines = [
            f"Boondock runs {own or 'the demo: a van with a device on every wire, emulated'}.",
            f"  page        {page.address or f'none: {page.why}'}",
            f"  broker      {chosen.place}, {chosen.how}",
            f"  everything  mosquitto_sub{where} -v -t '{topics.base}/#'",
            f"  answers     mosquitto_sub{where} -v -t '{topics.every(Verb.RESULT)}'",
            *(() if own else demo_van.lines(topics, where, chosen.broker.port)),
            f"  statistics  mosquitto_sub{where} -v -t '{topics.every(Verb.STATISTICS)}'",
            f"              the first at {time.strftime('%H:%M:%S', first)}, then every five minutes",
            f"  database    {kept.database}{gone}",
            *(() if own else [f"  a log file  {demo_van.log(places)}, a line a minute{gone}"]),
            f"  logs        {places.logs}",
            "Ctrl-C ends everything."
            if self.options.seconds is None
            else f"Ends in {self.options.seconds:g} s.",
        ]
        for line in left_out(house.settings, own=chosen.own):
            self.screen.say(line)
        if own is None and self.options.port is None and chosen.broker.port != broker.PORT:
            self.screen.say(
                f"Port {broker.PORT} is taken, by another broker or program: the demo's broker is at port "
                f"{chosen.broker.port}, and so are the lines below. Lines without{where} reach the other one."
            )
        lacks = None if own else demo_van.missing(places)
        if lacks:
            self.screen.say(f"The I2C devices are left out: to emulate them this machine lacks {lacks}.")
        for line in lines:
            self.screen.say(line)


def _clock(seconds: int) -> str:
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def main(argv: Sequence[str]) -> int:
    """Run with these arguments; return 0 (asked to stop), 1 (cannot start), 2 (usage) or 78 (settings)."""
    options = parse(argv)
    try:
        return Run(options, Screen()).run()
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIG
    except broker.BrokerError as error:
        print(f"run: {error}", file=sys.stderr)
        return 2
    except CannotStartError as error:
        print(f"run: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
