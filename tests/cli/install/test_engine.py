"""A whole installation in a folder: begun, interrupted anywhere, done again, taken back."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import cli.install
from cli.install import changes, plan, steps, texts
from cli.install.changes import JOURNAL, Command, File, Journal
from cli.install.plan import ELSEWHERE, EXISTING, OWN, SETTINGS
from cli.install.steps import COMMAND, STEPS, Context, Step
from cli.terminal import CommandError
from tests.cli.install.machine import TOML, Machine
from tests.cli.install.power_cut import PowerCut, lines
from tests.rounds import rounds

TRACED = {str(one.__file__) for one in (steps, changes, plan, cli.install)}
# What is the user's stays but for `boondock uninstall --purge`, which removes these folders at its end.
LEFT = {
    *("etc/boondock", "etc/boondock/boondock.toml", "etc/boondock/secrets", "var/lib/boondock-install"),
    *(f"var/lib/boondock-install/{name}" for name in ("journal.json", ".journal.json.new")),
}


def install(context: Context) -> tuple[int, list[str]]:
    said: list[str] = []
    return steps.do_steps(STEPS, context, said.append), said


def test_it_does_what_it_shows_and_the_second_time_nothing(machine: Machine) -> None:
    context = machine.context()
    before = machine.files()
    shown = "\n".join(steps.show_steps(STEPS, context))
    assert machine.files() == before
    assert machine.ran == []
    count, said = install(context)
    done = [line.strip() for line in said if not line.startswith("==")]
    assert count == len(done)
    # What the setup of the release brings is known only then.
    later = {"run systemctl disable --now mosquitto.service"}
    assert set(done) - later <= {line.strip() for line in shown.splitlines()}
    assert machine.at(SETTINGS).read_text() == TOML
    assert machine.at(COMMAND).stat().st_mode & 0o777 == 0o755
    assert {texts.TARGET, texts.BROKER, texts.BACKUP, texts.RESUME} <= machine.running()
    machine.ran.clear()
    assert install(context) == (0, [])
    assert machine.ran == []
    assert "\n".join(steps.show_steps(STEPS, context)).count("nothing to do") == len(STEPS)


def names(machine: Machine) -> set[str]:
    """Where files are; the digest of what was started has the machine's folder in it."""
    return set(machine.files())


def test_interrupted_at_any_line_it_goes_on_to_the_same_end_and_all_is_given_back(
    new_machine: Callable[[], Machine],
) -> None:
    whole = new_machine()
    before, units_before = whole.files(), whole.running()
    ran = lines(lambda: install(whole.context(time_zone="Europe/Berlin")), TRACED)
    for place in range(7, ran - 100, ran // rounds(20, 50)):
        one = new_machine()
        context = one.context(time_zone="Europe/Berlin")
        with pytest.raises(PowerCut):
            lines(partial(install, context), TRACED, cut_after=place)
        install(context)
        assert (names(one), one.running(), one.zone) == (names(whole), whole.running(), whole.zone), place
        assert install(context) == (0, [])
        assert steps.undo_steps(context, lambda _: None, purge=True)
        assert (one.zone, one.running(), one.users) == ("Etc/UTC", units_before, set()), place
        left = {name: one for name, one in one.files().items() if name not in before}
        assert set(left) <= LEFT, place


def test_a_mosquitto_that_was_here_is_kept_and_given_back_byte_by_byte(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.with_mosquitto()
    read = texts.existing_broker
    monkeypatch.setattr(texts, "existing_broker", lambda _root: read(machine.root))
    before = machine.files()
    context = machine.context(EXISTING)
    added = [one for one in steps.broker(context) if "broker-users" in "".join(one.show())]
    assert [isinstance(one, Command) and one.live for one in added] == [True], "it tells of users of theirs"
    install(context)
    assert "boondock_controller" in machine.at("/etc/mosquitto/users").read_text()
    assert machine.at(texts.INCLUDE).exists()
    assert machine.units[texts.MOSQUITTO] == [True, True]
    assert steps.undo_steps(context, lambda _: None, purge=True)
    after = machine.files()
    assert {name: one for name, one in after.items() if name in before} == before
    assert set(after) - set(before) <= LEFT
    assert machine.units[texts.MOSQUITTO] == [True, True]


def test_a_purge_takes_what_an_uninstall_kept_and_what_is_kept_is_found_again(machine: Machine) -> None:
    machine.users.add("dialout")
    context = machine.context()
    install(context)
    vault = machine.at("/etc/credstore/boondock-admin-password")
    assert steps.undo_steps(context, lambda _: None, purge=False)
    assert vault.exists()
    assert machine.at(SETTINGS).read_text() == TOML
    assert machine.users
    assert not machine.at(COMMAND).exists()
    install(context)
    assert vault.exists()
    assert steps.undo_steps(context, lambda _: None, purge=True)
    assert (vault.exists(), machine.users) == (False, {"dialout"})


def test_what_cannot_be_taken_back_holds_up_nothing_else_and_is_tried_again(machine: Machine) -> None:
    context = machine.context(time_zone="Europe/Berlin")
    install(context)
    machine.failing = "set-timezone"
    said: list[str] = []
    assert not steps.undo_steps(context, said.append, purge=False)
    assert any("cannot be taken back" in line for line in said)
    assert not machine.at(COMMAND).exists()
    assert not machine.running()
    machine.failing = ""
    # Beside it the folders of what is kept.
    left = [one for one in steps.would_undo(context, purge=False) if not one.startswith("  folder ")]
    assert len(left) == 1
    assert "timedatectl" in left[0]
    assert steps.undo_steps(context, said.append, purge=False)
    assert machine.zone == "Etc/UTC"


@pytest.mark.parametrize("sign", ["journal", "audit"])
def test_packages_that_a_power_cut_left_half_installed_are_finished_first(
    machine: Machine, sign: str
) -> None:
    if sign == "audit":
        machine.unfinished = "The following packages are only half configured"
    else:
        machine.at("/var/lib/dpkg/updates").mkdir(parents=True)
        machine.at("/var/lib/dpkg/updates/0001").touch()
    install(machine.context())
    assert machine.ran[0].startswith("sh -c dpkg --configure -a; apt-get ")
    assert sum("dpkg" in one for one in machine.ran) == 1


def test_a_file_that_cannot_be_written_is_told_with_its_step(machine: Machine) -> None:
    machine.at(COMMAND).mkdir()
    with pytest.raises(CommandError, match=r"the command boondock: .*boondock"):
        install(machine.context())


def test_a_command_that_fails_is_told_with_what_to_do(machine: Machine, tmp_path: Path) -> None:
    made = Command(machine, ["x"], lambda: False, advice="next: look")
    machine.failing = "x"
    step = Step("a step", lambda _context: iter([made]))
    said: list[str] = []
    with pytest.raises(CommandError, match="x failed\nnext: look"):
        steps.do_steps([step], machine.context(), said.append)
    assert said == ["== a step", "  run x"]
    done = Step("done", lambda _context: iter([File(tmp_path / "x", "")]))
    File(tmp_path / "x", "").do(Journal(machine.at(JOURNAL)))
    assert steps.do_steps([done], machine.context(), said.append) == 0
    assert list(steps.show_steps([done], machine.context())) == ["== done", "  nothing to do"]


PAGE_TABLE = '\n[page]\nenabled = true\nlisten = ["wlan0"]\n'


def with_page(machine: Machine, table: str = PAGE_TABLE, broker: str = OWN) -> Context:
    """What shall be installed, with a page; what is there already is changed by hand."""
    context = machine.context(broker)
    context.plan.toml = TOML + table
    if machine.at(SETTINGS).exists():
        machine.at(SETTINGS).write_text(context.plan.toml)
    return context


def test_a_page_brings_nginx_without_the_distributions_own_and_a_name_on_the_network(
    machine: Machine,
) -> None:
    machine.lacking = {"nginx", "avahi-publish"}
    install(with_page(machine))
    assert {texts.PAGE, texts.PAGE_NAME} <= machine.running()
    assert texts.NGINX not in machine.running(), "it would hold port 80"
    (apt,) = [one for one in machine.ran if "apt-get" in one and " install " in one and "nginx" in one]
    assert "avahi-utils" in apt
    assert (
        "LoadCredential=server.pem:" in machine.at(f"{steps.UNITS}/{texts.PAGE}.d/20-broker.conf").read_text()
    )
    machine.ran.clear()
    assert install(with_page(machine)) == (0, [])
    # One for this machine alone has no name on the network, none at all needs no unit.
    install(with_page(machine, "\n[page]\nenabled = true\n"))
    assert texts.PAGE in machine.running()
    assert texts.PAGE_NAME not in machine.running()
    assert not machine.at(f"{steps.UNITS}/{texts.PAGE}.d/20-broker.conf").exists()
    install(with_page(machine, ""))
    assert texts.PAGE not in machine.running()


def test_an_nginx_that_was_here_before_goes_on(machine: Machine) -> None:
    machine.units[texts.NGINX] = [True, True]
    install(with_page(machine))
    assert texts.NGINX in machine.running()


@pytest.mark.parametrize("broker", [EXISTING, ELSEWHERE])
def test_a_page_beside_a_broker_that_is_not_the_houses_is_refused_with_the_next_step(
    machine: Machine, broker: str
) -> None:
    with pytest.raises(CommandError, match=r"own broker(.|\n)*next: sudo boondock configure"):
        install(with_page(machine, broker=broker))


OUTPUT = '\n[[output]]\nname = "log"\nkind = "file"\npath = "/srv/van/log.csv"\n'


def test_the_forwarder_runs_only_where_there_is_something_to_send(machine: Machine) -> None:
    drop_in = machine.at(f"{steps.UNITS}/{texts.FORWARDER}.d/20-broker.conf")
    install(with_page(machine, ""))
    assert texts.FORWARDER not in machine.running()
    assert "ReadWritePaths" not in drop_in.read_text()
    install(with_page(machine, OUTPUT))
    assert texts.FORWARDER in machine.running()
    text = drop_in.read_text()
    assert text.count("[Service]") == 1
    assert {'ReadWritePaths="-/srv/van"', "Environment=BOONDOCK_BROKER__USERNAME=boondock_forwarder"} <= set(
        text.splitlines()
    )
    install(with_page(machine, '\n[[notify]]\nname = "me"\nurl = "ntfy://x"\n'))
    assert texts.FORWARDER in machine.running()
    install(with_page(machine, ""))
    assert texts.FORWARDER not in machine.running()
