"""A Debian machine in a folder: what the installer's commands do to it, so far as the installer can see."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from cli.install import System, steps, texts
from cli.install.plan import OWN, Plan
from cli.install.steps import Context
from cli.terminal import CommandError
from tests.house import ROOT

TOML = '[device.pi]\nkind = "raspberry_pi"\n\n[relay.pump]\npin = 17\n'
MOSQUITTO = "/usr/lib/systemd/system/mosquitto.service"


class Machine(System):
    """The machine; `ran` are the commands, those with `failing` in them fail."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.units: dict[str, list[bool]] = {}
        self.users: set[str] = set()
        self.zone = "Etc/UTC"
        # What `dpkg --audit` says.
        self.unfinished = ""
        # Programs that are not here until their package is installed.
        self.lacking: set[str] = set()
        self.loaded = True
        self.ran: list[str] = []
        self.failing = ""
        # Where releases have their files from.
        self.source = root / "home/anna/boondock"
        for name in ("scripts/setup", "cli/__init__.py"):
            (self.source / name).parent.mkdir(parents=True, exist_ok=True)
            (self.source / name).write_text("")
        (self.source / "pyproject.toml").write_text('version = "1.2.3"\n')
        shutil.copytree(ROOT / "systemd", self.source / "systemd")
        for folder in (
            "etc/systemd/system",
            "etc/sysusers.d",
            "usr/local/bin",
            "var/lib",
            "opt",
        ):
            (root / folder).mkdir(parents=True)

    def context(self, broker: str = OWN, **more: object) -> Context:
        """What shall be installed."""
        release = self.at("/opt/boondock/releases/1.2.3")
        plan = Plan(str(self.source), str(release), TOML, broker, **more)  # type: ignore[arg-type]  # of a test
        return Context(plan, self)

    def has(self, program: str) -> bool:
        """Everything is there but the broker, which the setup of a release brings."""
        if program == "mosquitto":
            return self.at(MOSQUITTO).exists()
        return program not in self.lacking

    def ask(self, *argv: str) -> str:
        """What a command prints."""
        if argv[0] == "timedatectl":
            return self.zone
        if argv[0] == "dpkg":
            return self.unfinished
        return "Nothing would change." if self.at("/etc/boondock/mosquitto/mosquitto.conf").exists() else ""

    def word(self, *argv: str) -> str:
        """What systemctl prints."""
        unit = argv[-1]
        if argv[1] == "is-enabled":
            return "enabled" if self._unit(unit)[0] else "disabled"
        if argv[1] == "list-unit-files":
            known = self.has("nginx") if unit == texts.NGINX else self.at(MOSQUITTO).exists()
            return unit if known else ""
        there = all(self.at(f"{steps.UNITS}/{one}").exists() for one in argv[3:])
        return "NeedDaemonReload=no" if there and self.loaded else "NeedDaemonReload=yes"

    def succeeds(self, *argv: str) -> bool:
        """Whether a command ends well."""
        if "is-active" in argv:
            return self._unit(argv[-1])[1]
        if argv[-1] == "--check":
            return self.at("/etc/mosquitto/users").read_text().count("boondock_") > 0
        if "check" in argv:
            return True
        try:
            self.run(*argv)
        except CommandError:
            return False
        return True

    def _unit(self, unit: str) -> list[bool]:
        return self.units.setdefault(unit, [False, False])

    def run(self, *argv: str, live: bool = False, env: Mapping[str, str] | None = None) -> None:
        """Do what a command does. Raises CommandError."""
        del live, env
        words = " ".join(argv)
        self.ran.append(words)
        if self.failing and self.failing in words:
            raise CommandError(f"{words} failed")
        match argv[0]:
            case "systemctl":
                self._systemctl(argv[1], argv[2:])
            case "timedatectl":
                self.zone = argv[-1]
            case "systemd-sysusers":
                self.users.update(re.findall(r"^[ug] (\S+)", Path(argv[1]).read_text(), re.MULTILINE))
            case "sh":
                self._shell(argv[-1])
            case _:
                self._program(argv)

    def _program(self, argv: tuple[str, ...]) -> None:
        if argv[0] == "apt-get" and "install" in argv:
            if "nginx" in self.lacking and "nginx" in argv:
                # Debian starts what it installs.
                self.units[texts.NGINX] = [True, True]
            self.lacking.clear()
        if argv[0].endswith("scripts/setup"):
            self.at(MOSQUITTO).parent.mkdir(parents=True, exist_ok=True)
            self.at(MOSQUITTO).touch()
        elif "broker" in argv:
            for name in ("etc/boondock/mosquitto/mosquitto.conf", "etc/credstore/boondock-admin-password"):
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                (self.root / name).write_text(name)
        elif "broker-users" in argv:
            users = self.at("/etc/mosquitto/users")
            ours = [line for line in users.read_text().splitlines() if not line.startswith("boondock_")]
            vault = self.at("/etc/credstore/boondock-controller-password")
            if "--remove" in argv:
                vault.unlink()
            else:
                ours.append("boondock_controller:x")
                vault.touch()
            users.write_text("".join(f"{line}\n" for line in ours))

    def _systemctl(self, verb: str, words: tuple[str, ...]) -> None:
        for unit in (one for one in words if not one.startswith("-")):
            state = self._unit(unit)
            if verb in ("enable", "disable"):
                state[0] = verb == "enable"
            if verb in ("start", "restart", "stop") or "--now" in words:
                state[1] = verb in ("start", "restart", "enable")
        if verb == "daemon-reload":
            self.loaded = True

    def _shell(self, script: str) -> None:
        """`rm -rf`, `userdel`, `groupdel` and the end of an installation of packages, here alone."""
        for part in script.split("; "):
            if part.startswith(("userdel ", "groupdel ")):
                self.users.discard(part.split()[1])
            elif part == "dpkg --configure -a":
                for one in self.at("/var/lib/dpkg/updates").glob("*"):
                    one.unlink()
            elif part.endswith("--fix-broken install"):
                self.unfinished = ""
            elif part.startswith("rm -rf "):
                for path in (one for name in part.split()[2:] for one in self.root.glob(name.lstrip("/"))):
                    if path.is_dir():
                        shutil.rmtree(path)
                    else:
                        path.unlink()

    def files(self) -> dict[str, tuple[int, bytes]]:
        """All files and folders with their rights, without the clone and what apt brought."""
        return {
            str(one.relative_to(self.root)): (
                one.lstat().st_mode,
                one.read_bytes() if one.is_file() else b"",
            )
            for one in self.root.rglob("*")
            if not one.is_relative_to(self.source) and "usr/lib" not in str(one) and "run" not in one.parts
        }

    def with_mosquitto(self) -> None:
        """Let the distribution's broker run, with users of its own."""
        for name, text in (
            (texts.CONF, "include_dir /etc/mosquitto/conf.d\npassword_file /etc/mosquitto/users\n"),
            ("/etc/mosquitto/users", "anna:x\n"),
            (MOSQUITTO, ""),
        ):
            self.at(name).parent.mkdir(parents=True, exist_ok=True)
            self.at(name).write_text(text)
        self.at("/etc/mosquitto/conf.d").mkdir()
        self.units[texts.MOSQUITTO] = [True, True]

    def running(self) -> set[str]:
        """The units that are enabled or active."""
        return {name for name, state in self.units.items() if any(state)}
