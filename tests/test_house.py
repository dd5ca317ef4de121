"""The rules of the house: floors, homes of libraries, sizes, reasons; and what each rule would catch."""

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from fnmatch import fnmatch

import pytest

from bus.topics import DISCOVERY_PREFIX, Verb
from tests.house import PACKAGES, PROCESSES, ROOT, WORKSHOPS, Found, Module, modules, path_of, project_files

# From the ground up; a file may import from its own floor and those below. The first row that fits counts.
GROUND, PURE, ADAPTERS, SERVICE, ROOF = range(5)
FLOORS: tuple[tuple[str, int], ...] = (
    ("bus/pins/*", ADAPTERS),
    ("*/__main__.py", ROOF),
    ("bus/*", GROUND),
    ("config/*", GROUND),
    ("collector/devices/*", PURE),
    # Below the devices that ask for it: it reads the TOML files beside it and knows nothing of ours.
    ("collector/profiles/*", GROUND),
    ("collector/schedule.py", PURE),
    ("statistician/arithmetic/*", PURE),
    ("statistician/records.py", PURE),
    ("statistician/clock/__init__.py", PURE),
    ("statistician/streams.py", PURE),
    ("controller/policy.py", PURE),
    ("controller/others.py", PURE),
    ("controller/conditions.py", PURE),
    ("forwarder/records.py", PURE),
    ("forwarder/feed.py", PURE),
    ("forwarder/samples.py", PURE),
    ("forwarder/shapes.py", PURE),
    ("forwarder/alarms.py", PURE),
    ("forwarder/tokens.py", ADAPTERS),
    ("forwarder/outputs/*", ADAPTERS),
    ("collector/transports/*", ADAPTERS),
    ("statistician/store/*", ADAPTERS),
    ("*/schedule.py", ADAPTERS),
    ("controller/files.py", ADAPTERS),
    ("*", SERVICE),
)
HOMES: dict[str, tuple[str, ...]] = {
    "apprise": ("forwarder/tell.py",),
    "msgspec": ("*",),
    "annotated_types": ("config/model*.py",),
    "minimalmodbus": ("collector/transports/modbus_rtu.py",),
    "sunspec2": ("collector/devices/modbus/sunspec_models.py",),
    "momonga": ("collector/transports/route_b.py",),
    "paho": ("bus/connection.py", "bus/client.py"),
    "pydantic": ("config/source.py",),
    "pydantic_core": ("config/source.py",),
    "pydantic_settings": ("config/source.py",),
    "dotenv": ("config/env_file.py",),
    "bleak": (
        "collector/transports/bluez.py",
        "collector/transports/gatt.py",
        "collector/transports/radio.py",
    ),
    "dbus_fast": ("collector/transports/bluez.py",),
    "asyncio": (
        "collector/transports/bluez.py",
        "collector/transports/gatt.py",
        "collector/transports/radio.py",
    ),
    "serial": ("collector/transports/serial_port.py",),
    "smbus2": ("collector/transports/board.py",),
    "peewee": ("statistician/store/*",),
    "playhouse": ("statistician/store/*",),
    "apscheduler": ("*/schedule.py", "statistician/upkeep.py"),
    "typer": ("cli/*.py",),
    "segno": ("cli/broker/setup.py",),
    "rich": ("cli/live.py", "cli/install/status.py"),
    "plotext": ("cli/history.py",),
    "zeroconf": ("cli/lan.py",),
    "RPi": ("bus/pins/rpi.py",),
    "gpiod": ("bus/pins/gpiod_lines.py",),
    "joserfc": ("forwarder/tokens.py",),
    "cryptography": ("forwarder/tokens.py",),
    "google": ("forwarder/outputs/gcloud.py",),
    "grpc": ("forwarder/outputs/gcloud.py",),
    "Crypto": ("collector/devices/senders/bthome.py",),
    "victron_ble": ("collector/devices/victron/ble.py",),
}
IMPURE = frozenset(
    {"time", "socket", "logging", "sqlite3", "os", "pathlib", "threading", "random", "subprocess"}
    | {"asyncio", "secrets", "queue", "signal", "io", "shutil", "tempfile"}
)
# What the pure floor may take from the ground: words and types, nothing that owns a socket or a file.
PURE_GROUND = (
    "bus.about",
    "bus.commands",
    "bus.integral",
    "bus.messages",
    "bus.schedule",
    "config.addresses",
    "config.conditions",
    "config.addresses",
    "config.model",
)
TOP = frozenset(
    {*PACKAGES, *WORKSHOPS, "mosquitto", "systemd", "docs", ".ci", ".gitignore", ".gitattributes"}
    | {
        "docker-compose.yml",
        "pyproject.toml",
        "README.md",
        "CONTRIBUTING.md",
        "README.ja.md",
        "CHANGELOG.md",
        "LICENSE",
        ".dockerignore",
    }
    | {
        "requirements.lock",
        "requirements-dev.lock",
        "requirements-gcloud.lock",
        "requirements-gpio.lock",
        "requirements-notify.lock",
        "requirements-page.lock",
        "requirements-signed.lock",
        "Dockerfile",
    }
)
# Joined here, so that this file does not name them.
MACHINE = tuple(f"/{name}/" for name in ("work", "root")) + tuple(
    ".".join(parts)
    for parts in (("pypi", "org"), ("pythonhosted", "org"), ("piwheels", "org"), ("npmjs", "org"))
)
_REASON = {
    re.compile(r"#\s*noqa"): re.compile(r"# noqa: [A-Z]+\d+(, ?[A-Z]+\d+)*\s+\W*\w"),
    re.compile(r"#\s*type:\s*ignore"): re.compile(r"# type: ignore\[[a-z-]+(, ?[a-z-]+)*\]\s+# *\w+"),
}
_VERBS = "|".join(Verb)
_TOPIC = re.compile(rf"(^|/)({_VERBS})/|/({_VERBS})$|^camper/|^{DISCOVERY_PREFIX}\b")


def floor(path: str) -> int:
    """Which floor a file stands on."""
    return next(height for pattern, height in FLOORS if fnmatch(path, pattern))


# What the command needs of a process: mistakes, names and profiles of collectors; the files of a database.
CLI_MAY = (
    "collector.checking",
    "collector.device",
    "collector.direct",
    "collector.lines",
    "collector.read",
    "controller.conditions",
    "forwarder.chain",
    "forwarder.checking",
    "forwarder.tokens",
    "forwarder.tell",
    "statistician.store.backup",
    "statistician.store.engine",
    "statistician.store.schema",
)


# The one command that reads a device and feeds outputs by itself.
COLLECT_MAY = (
    "collector.schedule",
    "collector.devices.description",
    "collector.devices.lines",
    "forwarder.outputs",
    "forwarder.records",
    "forwarder.shapes",
)


def _may(path: str, name: str) -> bool:
    return name in CLI_MAY or (path.startswith("cli/collect/") and name in COLLECT_MAY)


def imports_go_down(module: Module) -> Found:
    for line, name in module.imports:
        head = name.split(".")[0]
        if head in PACKAGES and floor(path_of(name)) > floor(module.path):
            yield line, f"{name} stands on a higher floor"


def processes_do_not_know_each_other(module: Module) -> Found:
    for line, name in module.imports:
        head = name.split(".")[0]
        if head == "cli" and module.package != "cli":
            yield line, "nothing imports the command"
        elif module.package == "cli" and head in PROCESSES and not _may(module.path, name):
            yield line, f"cli is a client of the broker and may not import {name}"
        elif module.package != "cli" and head in PROCESSES and head != module.package:
            yield line, f"{module.package} may not import {name}"


def the_ground_is_level(module: Module) -> Found:
    for line, name in module.imports:
        if module.package == "bus" and name.startswith("config") and name != "config.model":
            yield line, f"bus knows of config only the model, not {name}"
        if module.package == "config" and name.startswith("bus"):
            yield line, "config knows nothing of bus"


def nothing_imports_a_workshop(module: Module) -> Found:
    for line, name in module.imports:
        if name.split(".")[0] in WORKSHOPS or name.startswith("."):
            yield line, f"{name} is not shipped, or relative"


def each_library_has_its_home(module: Module) -> Found:
    for line, name in module.imports:
        head = name.split(".")[0]
        ours = head in PACKAGES or head in WORKSHOPS or name.startswith(".")
        if ours or (head in sys.stdlib_module_names and head not in HOMES):
            continue
        if not any(fnmatch(module.path, home) for home in HOMES.get(head, ())):
            yield line, f"{head} lives in {', '.join(HOMES.get(head, ())) or 'no file'}"


def the_pure_floor_is_pure(module: Module) -> Found:
    if floor(module.path) != PURE:
        return
    for line, name in module.imports:
        head = name.split(".")[0]
        if head in IMPURE or (head in ("bus", "config") and name not in PURE_GROUND):
            yield line, f"the pure floor imports {name}"
    for node in module.nodes:
        if isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "today"):
            yield node.lineno, f".{node.attr}: time is an argument"
        if isinstance(node, ast.Name) and node.id in ("open", "print", "input"):
            yield node.lineno, f"{node.id}: no file, no console"


def only_topics_spells_a_topic(module: Module) -> Found:
    if module.path != "bus/topics.py":
        for line, text in module.literals:
            if _TOPIC.search(text):
                yield line, f"{text!r} spells a topic"


def errors_are_named(module: Module) -> Found:
    for node in module.nodes:
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        for kind in caught:
            unnamed = kind is None or ast.unparse(kind) in ("Exception", "BaseException")
            if unnamed and module.path != "bus/health.py":
                yield node.lineno, "name the failure you expect"
        last = node.body[-1]
        said = any(module.comments.get(line) for line in range(node.lineno, (last.end_lineno or 0) + 1))
        if isinstance(node.body[0], ast.Pass) and not said:
            yield node.lineno, "except … pass without a comment why"


def exceptions_to_checks_have_reasons(module: Module) -> Found:
    for line, comment in module.comments.items():
        for start, whole in _REASON.items():
            if start.search(comment) and not whole.search(comment):
                yield line, f"{comment}: code and reason, please"


def files_are_short(module: Module) -> Found:
    length = len(module.source.splitlines())
    hard = 450
    if length > hard:
        yield length, f"{length} lines are more than {hard}"


def functions_are_short(module: Module) -> Found:
    for node in module.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.body[0].lineno + 1
            if length > 60:
                yield node.lineno, f"{node.name} has {length} lines, more than 60"


def modules_say_what_they_are(module: Module) -> Found:
    # An empty __init__.py may stand where nothing is shipped.
    if (module.source.strip() or module.package in PACKAGES) and not ast.get_docstring(module.tree):
        yield 1, "no docstring"


# The rule, the folders it holds in, and a planted file it must catch: a rule that catches nothing is none.
RULES: tuple[tuple[Callable[[Module], Found], tuple[str, ...], tuple[str, str]], ...] = (
    (imports_go_down, PACKAGES, ("controller/policy.py", "from bus.pins import Pins")),
    (imports_go_down, PACKAGES, ("bus/pins/rpi.py", "from controller.relays import Bank")),
    (imports_go_down, PACKAGES, ("statistician/service.py", "import statistician.__main__")),
    (imports_go_down, PACKAGES, ("bus/outbox/file.py", "from statistician.store import Store")),
    (processes_do_not_know_each_other, PACKAGES, ("controller/relays.py", "from collector import device")),
    (processes_do_not_know_each_other, PACKAGES, ("cli/__main__.py", "from collector import service")),
    (processes_do_not_know_each_other, PACKAGES, ("controller/relays.py", "import cli")),
    (processes_do_not_know_each_other, PACKAGES, ("cli/export.py", "from forwarder.outputs import Place")),
    (the_ground_is_level, PACKAGES, ("bus/events.py", "from config.load import load")),
    (the_ground_is_level, PACKAGES, ("config/rules.py", "from bus.topics import ID")),
    (nothing_imports_a_workshop, PACKAGES, ("bus/clock.py", "from tests.clock import FakeTime")),
    (
        each_library_has_its_home,
        PACKAGES,
        ("bus/events.py", "def f():\n    from paho.mqtt import client"),
    ),
    (each_library_has_its_home, PACKAGES, ("controller/service.py", "import asyncio")),
    (
        each_library_has_its_home,
        PACKAGES,
        ("collector/devices/victron/x.py", "from Crypto.Cipher import AES"),
    ),
    (the_pure_floor_is_pure, PACKAGES, ("controller/policy.py", "import time")),
    (the_pure_floor_is_pure, PACKAGES, ("statistician/arithmetic/__init__.py", "x = datetime.now()")),
    (the_pure_floor_is_pure, PACKAGES, ("collector/schedule.py", "from bus.outbox import Outbox")),
    (only_topics_spells_a_topic, PACKAGES, ("bus/health.py", 'x = f"{base}/health/{name}"')),
    (only_topics_spells_a_topic, PACKAGES, ("cli/__main__.py", 'x = base + "/state/#"')),
    (only_topics_spells_a_topic, PACKAGES, ("cli/__main__.py", 'x = "homeassistant/status"')),
    (errors_are_named, (*PACKAGES, *WORKSHOPS), ("x.py", "try:\n    f()\nexcept:\n    g()")),
    (errors_are_named, (*PACKAGES, *WORKSHOPS), ("x.py", "try:\n    f()\nexcept (Exception, A):\n    g()")),
    (errors_are_named, (*PACKAGES, *WORKSHOPS), ("x.py", "try:\n    f()\nexcept OSError:\n    pass")),
    (exceptions_to_checks_have_reasons, (*PACKAGES, *WORKSHOPS), ("x.py", "import x  # noqa: F401")),
    (exceptions_to_checks_have_reasons, (*PACKAGES, *WORKSHOPS), ("x.py", "import x  # noqa — because")),
    (exceptions_to_checks_have_reasons, (*PACKAGES, *WORKSHOPS), ("x.py", "x  # noqa: F401, E501")),
    (exceptions_to_checks_have_reasons, (*PACKAGES, *WORKSHOPS), ("x.py", "x = 1  # type: ignore[x]")),
    (files_are_short, (*PACKAGES, *WORKSHOPS), ("bus/x.py", "x = 1\n" * 451)),
    (files_are_short, (*PACKAGES, *WORKSHOPS), ("tests/x.py", "x = 1\n" * 451)),
    (functions_are_short, (*PACKAGES, *WORKSHOPS), ("x.py", "def f(\n):\n" + "    x = 1\n" * 61)),
    (modules_say_what_they_are, (*PACKAGES, *WORKSHOPS), ("bus/x.py", "")),
    (modules_say_what_they_are, (*PACKAGES, *WORKSHOPS), ("tests/x.py", "x = 1")),
)


@pytest.mark.parametrize(("rule", "folders"), {(r, f): None for r, f, _ in RULES})
def test_the_house_keeps(rule: Callable[[Module], Found], folders: tuple[str, ...]) -> None:
    broken = [f"{m.path}:{line}: {text}" for m in modules(*folders) for line, text in rule(m)]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(("rule", "planted"), [(rule, planted) for rule, _, planted in RULES])
def test_a_broken_rule_is_noticed(rule: Callable[[Module], Found], planted: tuple[str, str]) -> None:
    assert list(rule(Module(*planted)))


def _in_a_fresh_python(code: str) -> str:
    environment = os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nowhere", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_file_imports_on_a_laptop_without_gpio_and_without_a_d_bus() -> None:
    names = [m.name for m in modules(*PACKAGES) if not m.path.endswith("__main__.py")]
    code = (
        "import importlib, sys\n"
        "sys.modules.update({'RPi': None, 'RPi.GPIO': None, 'gpiod': None, 'dbus_fast': None})\n"
        f"for name in {names}:\n"
        "    try:\n        importlib.import_module(name)\n"
        "    except ImportError as error:\n"
        # What an extra brings that the tests do not have.
        "        if name != 'forwarder.outputs.gcloud' or error.name not in ('grpc', 'google'):\n"
        "            print(name, error)\n"
    )
    assert _in_a_fresh_python(code) == ""


@pytest.mark.parametrize(
    ("module", "spared"),
    [
        ("controller.__main__", {"pydantic", "bleak", "peewee", "apscheduler", "asyncio", "victron_ble"}),
        ("controller.service", {"pydantic", "bleak", "peewee", "apscheduler", "asyncio", "victron_ble"}),
        ("collector.__main__", {"pydantic", "bleak", "dbus_fast", "peewee", "apscheduler"}),
        ("collector.service", {"pydantic", "bleak", "dbus_fast", "peewee", "apscheduler"}),
        (
            "forwarder.__main__",
            {"pydantic", "bleak", "peewee", "apscheduler", "asyncio", "gzip"}
            | {"joserfc", "cryptography", "google", "grpc", "apprise"},
        ),
        ("statistician.__main__", {"pydantic", "bleak", "victron_ble", "argparse", "statistician.replay"}),
        ("statistician.service", {"pydantic", "bleak", "victron_ble", "argparse", "statistician.replay"}),
    ],
)
def test_a_process_does_not_pay_for_the_libraries_of_others(module: str, spared: set[str]) -> None:
    assert importlib.util.find_spec(module), "or the test would prove nothing"
    loaded = _in_a_fresh_python(f"import sys, {module}\nprint(*sys.modules)").split()
    assert module in loaded
    assert spared.isdisjoint(loaded)


needs_git = pytest.mark.skipif(
    shutil.which("git") is None or not (ROOT / ".git").exists(), reason="this is no checkout"
)


@needs_git
def test_no_file_names_a_machine_or_a_registry() -> None:
    guilty = []
    for path in project_files():
        if path.suffix == ".lock":
            continue
        text = path.read_bytes().decode(errors="ignore")
        guilty += [f"{path.relative_to(ROOT)}: {word}" for word in MACHINE if word in text]
    assert guilty == []


@needs_git
def test_the_top_of_the_tree_is_the_one_decided() -> None:
    present = {path.relative_to(ROOT).parts[0] for path in project_files()}
    assert present - TOP == set()
    assert present >= {*PACKAGES, "tests", "pyproject.toml", "LICENSE"}


@needs_git
def test_new_files_are_seen_by_the_walk() -> None:
    tracked = {p.relative_to(ROOT).as_posix() for p in project_files() if p.suffix == ".py"}
    walked = {m.path for m in modules(*PACKAGES, *WORKSHOPS)}
    assert tracked <= walked, "a Python file stands outside the folders that the rules walk"
