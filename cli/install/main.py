"""install, update, uninstall: what the commands do, for the command line and for bare Python."""

import os
from dataclasses import replace
from pathlib import Path

from cli.install import System, alone, describe, plan, refuse_unfit, steps
from cli.install.changes import JOURNAL
from cli.install.plan import HOME, SETTINGS, Plan, Source, current
from cli.install.questions import Interview
from cli.install.steps import STEPS, Context, Step, started
from cli.install.texts import STOP
from cli.terminal import CommandError, Report

# Settings and data, and what `boondock restore` has put aside.
_DATA = (
    "/etc/boondock /var/lib/boondock-* /var/lib/private/boondock-* /var/cache/boondock-*"
    " /var/lib/systemd/timers/stamp-boondock-*"
    " /etc/credstore/before-[0-9]* /etc/systemd/system/before-[0-9]* /etc/mosquitto/conf.d/before-[0-9]*"
)

SOURCE = Path(__file__).resolve().parents[2]
"""The folder of this very copy."""
STATUS_WAIT_S = 60


def install(source: Path, report: Report, *, yes: bool = False, dry_run: bool = False) -> int:
    """Install a house from a folder, or go on with one that was interrupted; returns the exit code.

    Raises CommandError.
    """
    system = System()
    if not dry_run:
        need_root("install")
        refuse_unfit(system)
    report.ask(describe(system))
    context = Context(_plan(system, source.resolve(), report, yes=yes), system)
    if not dry_run:
        _update_first(context, report)
    return carry_out(context, report, dry_run=dry_run)


def _update_first(context: Context, report: Report) -> None:
    """Let the version that runs here update itself to this one. Raises CommandError if it went back.

    One that is not well is no place to go back to: then this one is installed over it.
    """
    old, new = current(context.system), Path(context.plan.release)
    if old is None or old == new:
        return
    python = str(old / ".venv" / "bin" / "python")
    if not context.system.succeeds(python, "-I", "-m", "cli.install", "status"):
        report.ask(f"{old.name} is installed here, but not well: {new.name} is installed over it.")
        return
    report.ask(f"{old.name} runs here: it is updated to {new.name}, and goes back if that is not well.")
    context.system.run(python, "-I", "-m", "cli", "update", context.plan.source, live=True)


def carry_out(context: Context, report: Report, *, dry_run: bool = False) -> int:
    """Do all steps of a plan that are not done, and look whether readings come; returns the exit code.

    With `dry_run` they are shown only. Raises CommandError.
    """
    system = context.system
    if dry_run:
        report.say("\n".join(steps.show_steps(STEPS, context)))
        report.ask("Nothing was changed.")
        return 0
    with alone(system):
        plan.remember(system, context.plan)
        count = steps.do_steps(STEPS, context, report.say)
        # Their files hold the secrets now.
        plan.remember(system, replace(context.plan, secrets={}))
    report.ask(f"{count} changes made." if count else "Everything was in place; nothing was changed.")
    # Where nothing was changed nothing new is to come.
    return _look(context, report, STATUS_WAIT_S if count else 0)


def _plan(system: System, source: Path, report: Report, *, yes: bool) -> Plan:
    releases = system.at(HOME / "releases")
    # `boondock install` runs from a release: that one is meant.
    release = source if source.parent == releases else releases / Source(source).name()
    known = plan.remembered(system)
    settings = system.at(SETTINGS)
    if settings.exists():
        report.ask(f"{SETTINGS} is there: it is kept, and decides; no questions are asked.")
        return of_file(system, settings, source, release, known)
    if known is not None:
        report.ask(f"Going on with the answers of before ({plan.ANSWERS}).")
        return replace(known, source=str(source), release=str(release))
    if not yes:
        return Interview(system, input, report.ask).plan(source, release)
    own = source / "boondock.toml"
    if not own.exists():
        raise CommandError(
            f"--yes takes {own}, which does not exist\n"
            "next: copy config/example.toml to boondock.toml and write what you have, or leave --yes out"
        )
    return of_file(system, own, source, release, known)


def of_file(system: System, file: Path, source: Path, release: Path, known: Plan | None) -> Plan:
    """Plan what a boondock.toml says; which broker of this machine was chosen stays chosen."""
    try:
        toml = file.read_text(encoding="utf-8")
    except PermissionError as error:
        raise CommandError(f"{file} may be read by root: use sudo") from error
    except (OSError, ValueError) as error:
        raise CommandError(f"{file} cannot be read: {error}") from error
    settings = plan.parsed(toml, str(file))
    broker = plan.broker_of(settings, system)
    if known is not None and plan.ELSEWHERE not in (known.broker, broker):
        broker = known.broker
    return Plan(
        source=str(source),
        release=str(release),
        toml=toml,
        broker=broker,
        secrets={} if known is None else known.secrets,
        # It was asked for once; who travels sets another.
        time_zone=None,
        i2c=plan.needs_i2c(settings),
        uart=plan.needs_uart(settings),
    )


def apply(release: Path, report: Report) -> int:
    """Do those steps that an update does, from a release that stands. Raises CommandError."""
    system = System()
    need_root("install")
    known = plan.remembered(system)
    context = Context(of_file(system, system.at(SETTINGS), release, release, known), system)
    again = (*(one for one in STEPS if one.again), Step("what is started", started))
    count = steps.do_steps(again, context, report.say)
    report.ask(f"{count} changes made.")
    return 0


def _look(context: Context, report: Report, wait: int) -> int:
    """Wait so many seconds for readings, show the state of everything and what to do next."""
    if wait:
        report.ask(f"Waiting up to {wait} s for a reading of every device …")
    argv = [str(context.release.python), "-I", "-m", "cli.install", "status", "--wait", str(wait)]
    try:
        context.system.run(*argv, live=True)
        well = True
    except CommandError:
        well = False
    if not well:
        report.fail("not all is well: sudo boondock status shows what is wrong")
    report.advise(_next(context, well=well))
    return 0 if well else 1


def _next(context: Context, *, well: bool) -> list[str]:
    """Say what to do next: a command and what it is for, a line each."""
    steps = [] if well else [("sudo journalctl -u 'boondock-*' -b", "not all is well: the services tell why")]
    if restart_needed(context):
        steps.append(("sudo reboot", "I2C or the serial port is switched on by it"))
    steps += [
        ("sudo boondock watch", "the readings as they come; Ctrl-C ends it"),
        ("sudo boondock status", "services, devices, problems, disk, clock"),
        ("sudo boondock configure", "ask one part again: a device, an output, …"),
        ("sudo boondock install", f"after a change in {SETTINGS}"),
    ]
    if context.plan.settings.get("page", {}).get("listen"):
        steps.append(
            ("sudo boondock phone", "a QR code that opens the page on a phone, with a login of its own")
        )
    if context.plan.users:
        steps.append(("sudo boondock broker --show operator", "login for your phone; viewer may only look"))
    steps += [
        ("sudo boondock backup", "everything in one file; each night by itself, too"),
        ("sudo boondock update FOLDER", "a new version; goes back by itself if it is not well"),
        ("sudo boondock uninstall", "gives back what was there before; keeps your data"),
    ]
    width = max(len(command) for command, _ in steps)
    return ["", "Next:", *(f"  {command:{width}}  {what}" for command, what in steps)]


def restart_needed(context: Context) -> bool:
    """Whether the machine must be restarted before a wire works."""
    wanted = context.plan
    i2c = wanted.i2c and not any(context.at("/dev").glob("i2c-*"))
    return i2c or (wanted.uart and not context.at("/dev/serial0").exists())


def uninstall(report: Report, *, purge: bool = False, dry_run: bool = False) -> int:
    """Give back what was there before; with `purge` data, settings and users go, too. Raises CommandError."""
    system = System()
    need_root("uninstall")
    if current(system) is None and not system.at(JOURNAL).exists():
        raise CommandError("nothing is installed here")
    known = plan.remembered(system) or Plan("", "", "", plan.OWN)
    context = Context(known, system)
    if dry_run:
        for line in steps.would_undo(context, purge=purge):
            report.say(line)
        return 0
    with alone(system):
        whole = _take_back(context, report, purge=purge)
    if not whole:
        report.fail("not all could be given back: see the lines with cannot be taken back")
    return 0 if whole else 1


def _take_back(context: Context, report: Report, *, purge: bool) -> bool:
    """Stop the house and give back what was there before; whether all could be."""
    system = context.system
    system.succeeds(*STOP)
    whole = steps.undo_steps(context, report.say, purge=purge)
    system.succeeds("systemctl", "daemon-reload")
    system.succeeds("sh", "-c", "systemctl reset-failed 'boondock*'")
    system.succeeds("sh", "-c", "rm -rf /run/boondock-* /run/private/boondock-*")
    if purge and whole:
        system.run("sh", "-c", f"rm -rf {_DATA}")
        report.say("Boondock is gone, with its data, settings and backups.")
    else:
        report.say("Boondock is gone.")
        report.say("Kept: /etc/boondock (settings), /etc/credstore (passwords), /var/lib/boondock-* (data).")
        report.advise(["To remove these, too, in the clone: sudo ./scripts/install --uninstall --purge"])
    report.say(
        "Debian's packages stay; to remove them: sudo apt-get remove mosquitto mosquitto-clients bluez nginx"
    )
    return whole


def need_root(verb: str) -> None:
    """Raise CommandError for anybody but root."""
    if os.geteuid() != 0:
        command = "./scripts/install" if verb == "install" else f"boondock {verb}"
        raise CommandError(f"this changes the system: sudo {command}")
