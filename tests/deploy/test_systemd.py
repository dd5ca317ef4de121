"""The units: systemd understands them, their sandbox is tight, and what they start exists."""

import importlib.util
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from cli.install.plan import PENDING
from cli.install.texts import BROKER, broker_text, outputs_text
from cli.install.update import FORMER
from collector.device import TRANSPORTS
from config import load
from controller.files import FILE
from statistician.watermarks import HOLD_FILE

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "systemd"
COLLECTORS = tuple(f"boondock-collector@{transport}.service" for transport in TRANSPORTS)
FORWARDER = "boondock-forwarder.service"
PROCESSES = ("boondock-statistician.service", "boondock-controller.service", FORWARDER, *COLLECTORS)
PAGE, PAGE_NAME = "boondock-page.service", "boondock-page-name.service"
SERVICES = (*PROCESSES, "boondock-mosquitto.service", PAGE)
WATCH = "boondock-mosquitto-watch"
MOST_EXPOSED = 2.0


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as installed, but that the current release is this checkout."""
    for source in UNITS.glob("boondock*"):
        if source.is_dir():
            shutil.copytree(source, tmp_path / source.name)
        else:
            text = source.read_text().replace("/opt/boondock/current", str(ROOT))
            (tmp_path / source.name).write_text(text)
    for name in COLLECTORS:
        shutil.copy(tmp_path / "boondock-collector@.service", tmp_path / name)
    return tmp_path


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def lines(unit: str) -> list[str]:
    """The lines of a unit and of what is dropped into it."""
    files = [UNITS / re.sub(r"@\w+", "@", unit), *UNITS.glob(f"{unit}.d/*.conf")]
    return [line for file in files for line in file.read_text().splitlines()]


@pytest.mark.parametrize(
    "unit", [*SERVICES, PAGE_NAME, "boondock.target", f"{WATCH}.path", f"{WATCH}.service"]
)
def test_systemd_finds_no_fault(installed: Path, unit: str) -> None:
    # The manual pages a unit names need not be installed here.
    checked = analyze("verify", "--man=no", str(installed / unit))
    assert (checked.returncode, checked.stderr.strip()) == (0, "")


@pytest.mark.parametrize("unit", [*SERVICES, PAGE_NAME, f"{WATCH}.service"])
def test_the_sandbox_is_tight(installed: Path, unit: str) -> None:
    checked = analyze("security", "--offline=true", "--no-pager", str(installed / unit))
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", checked.stdout)
    assert found, checked.stdout + checked.stderr
    assert float(found[1]) <= MOST_EXPOSED


def test_systemd_reads_the_folders_of_outputs(installed: Path) -> None:
    paths = ["/media/usb/a.csv", "/srv/my logs/b,c=d+@e.csv", "/home/pi/c.csv", "/run/boondock/latest.json"]
    folder = installed / f"{FORWARDER}.d"
    folder.mkdir()
    text = outputs_text([{"path": path} for path in paths])
    (folder / "20-broker.conf").write_text(f"[Service]\n{text}")
    checked = analyze("verify", "--man=no", str(installed / FORWARDER))
    assert (checked.returncode, checked.stderr.strip()) == (0, "")
    (folder / "20-broker.conf").write_text("[Service]\nReadWritePaths=nonsense\n")
    # Or the test would prove nothing.
    assert "nonsense" in analyze("verify", "--man=no", str(installed / FORWARDER)).stderr


@pytest.mark.parametrize("unit", [*PROCESSES, PAGE])
def test_what_a_unit_starts_exists(unit: str) -> None:
    [start] = [line for line in lines(unit) if line.startswith("ExecStart=")]
    program, isolated, flag, module = start.removeprefix("ExecStart=").split()[:4]
    assert (program, isolated, flag) == ("/opt/boondock/current/.venv/bin/python", "-I", "-m")
    assert not any(line.startswith("WorkingDirectory=") for line in lines(unit)), "none that could be gone"
    assert importlib.util.find_spec(f"{module}.__main__")


@pytest.mark.parametrize("unit", PROCESSES)
def test_a_process_is_watched_and_keeps_its_readings(unit: str) -> None:
    assert {
        "Type=notify",
        f"WatchdogSec={20 if 'controller' in unit else 60}",
        "Restart=on-failure",
        "RestartPreventExitStatus=78",
        "StartLimitIntervalSec=0",
        "RuntimeDirectoryPreserve=yes",
    } <= set(lines(unit))
    # The forwarder speaks to the world.
    assert ("IPAddressDeny=any" in lines(unit)) is (unit != FORWARDER)


@pytest.mark.parametrize("unit", PROCESSES)
def test_the_environment_points_into_the_units_own_directories(unit: str) -> None:
    settings = dict(line.split("=", 1) for line in lines(unit) if line.startswith(("State", "Runtime")))
    environment = dict(
        line.removeprefix("Environment=").split("=", 1)
        for line in lines(unit)
        if line.startswith("Environment=")
    )
    assert environment["BOONDOCK_STORAGE__STATE"] == f"%S/{settings['StateDirectory']}"
    assert environment["BOONDOCK_STORAGE__RUNTIME"] == f"%t/{settings['RuntimeDirectory']}"


@pytest.mark.parametrize("unit", PROCESSES)
def test_all_read_the_newest_stored_time_and_the_statistician_alone_writes_it(unit: str) -> None:
    said = lines(unit)
    assert {"Environment=BOONDOCK_CLOCK__FOLDER=%S/boondock-clock", "Environment=BOOT_ID=%b"} <= set(said)
    made = [line for line in said if line.startswith("ExecStartPre=")]
    writes = [line for line in said if line.startswith("ReadWritePaths=")]
    if "statistician" not in unit:
        assert made == writes == []
        return
    assert writes == ["ReadWritePaths=-%S/boondock-clock"]
    assert made[0].endswith("-m 0755 -o boondock-statistician %S/boondock-clock")


@pytest.mark.parametrize("update", [True, False])
def test_watermarks_wait_from_the_statisticians_start_while_an_update_may_go_back(
    tmp_path: Path, *, update: bool
) -> None:
    for name in ("boondock-install", "boondock-statistician"):
        (tmp_path / name).mkdir()
    if update:
        (tmp_path / "boondock-install" / Path(PENDING).name).touch()
    text = "\n".join(lines("boondock-statistician.service")).replace("\\\n", "")
    [words] = re.findall(r"^ExecStartPre=-\+/bin/sh -c '(.*)'$", text, re.MULTILINE)
    script = (
        words.replace("%%", "%").replace("$$", "$").replace("%S", str(tmp_path)).replace("%t", str(tmp_path))
    )
    subprocess.run(["/bin/sh", "-c", script], check=True, timeout=60)
    hold = tmp_path / "boondock-statistician" / HOLD_FILE
    assert hold.exists() is update
    if update:
        left = float(hold.read_text()) - time.clock_gettime(time.CLOCK_BOOTTIME)
        assert 590 < left <= 600
        assert hold.stat().st_mode & 0o777 == 0o644


def test_the_release_that_an_update_comes_from_decides_about_it() -> None:
    said = lines("boondock-update.service")
    assert f"ExecStart={FORMER}/.venv/bin/python -I -m cli update --resume" in said
    assert f"ConditionPathExists={PENDING}" in said


@pytest.mark.parametrize("unit", [*PROCESSES, PAGE, PAGE_NAME])
def test_every_user_and_group_a_unit_names_is_made(unit: str) -> None:
    made = (UNITS / "sysusers.d" / "boondock.conf").read_text()
    names = re.findall(r"^(?:User|SupplementaryGroups)=(\S+)$", "\n".join(lines(unit)), re.MULTILINE)
    assert names
    for name in names:
        assert re.search(rf"^[ug] {name} ", made, re.MULTILINE), name


def test_a_unit_opens_the_devices_of_its_transport_and_no_others() -> None:
    opens = {
        unit: sorted(line.split("=")[1].split()[0] for line in lines(unit) if line.startswith("DeviceAllow="))
        for unit in SERVICES
    }
    assert {unit: devices for unit, devices in opens.items() if devices} == {
        "boondock-controller.service": ["/dev/gpiomem", "char-gpiochip"],
        "boondock-collector@gpio.service": ["/dev/gpiomem", "char-gpiochip"],
        "boondock-collector@i2c.service": ["char-i2c"],
        "boondock-collector@serial.service": ["char-ttyACM", "char-ttyAMA", "char-ttyS", "char-ttyUSB"],
    }


def test_only_ports_and_inverters_may_be_elsewhere_on_the_local_network() -> None:
    wider = {unit for unit in SERVICES if any(line.startswith("IPAddressAllow=10.") for line in lines(unit))}
    assert wider == {"boondock-collector@serial.service", "boondock-collector@tcp.service"}
    assert not any("IPAddressAllow=any" in line for unit in SERVICES for line in lines(unit))


def test_the_target_wants_every_process_but_no_broker_that_was_not_asked_for() -> None:
    wanted = re.findall(r"boondock\S+\.service", (UNITS / "boondock.target").read_text())
    assert sorted(wanted) == sorted(set(PROCESSES) - {FORWARDER})
    assert "WantedBy=boondock.target" in lines(FORWARDER), "enabled by the installer, if there is an output"
    assert f"{WATCH}.path" in (UNITS / "boondock.target").read_text()
    assert "WantedBy=boondock.target" in lines(BROKER), "enabled by the installer, if it is the house's own"


def test_no_unit_stops_a_broker_that_was_here_before() -> None:
    every = [line for unit in [*SERVICES, "boondock.target"] for line in lines(unit)]
    assert not [line for line in every if line.startswith("Conflicts=")]


@pytest.mark.parametrize("unit", PROCESSES)
@pytest.mark.parametrize("users", [True, False], ids=["own broker", "broker elsewhere"])
def test_a_unit_gives_its_process_these_settings(
    unit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, users: bool
) -> None:
    toml = tmp_path / "boondock.toml"
    toml.write_text('[broker]\nhost = "192.168.1.9"\nusername = "van"\n[device.pi]\nkind = "raspberry_pi"\n')
    transport = re.search(r"@(\w+)", unit)
    instance = transport[1] if transport else ""
    drop_in = broker_text(re.sub(r"@\w+", "@", unit), {"host": "192.168.1.9"}, [], users=users)
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    for line in [*lines(unit), *drop_in.splitlines()]:
        name, _, value = line.partition("=")
        value = value.replace("%i", instance).replace("%d", str(credentials))
        if name == "Environment":
            key, _, text = value.partition("=")
            monkeypatch.setenv(key, text.replace("%S", "/var/lib").replace("%t", "/run"))
        if name == "LoadCredential" and value.startswith("boondock.toml:"):
            (credentials / "boondock.toml").write_text(toml.read_text())
        if name == "LoadCredential" and value.startswith("broker__password:"):
            (credentials / "broker__password").write_text(f"{value.partition(':')[2]}\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    settings = load.load()
    process = unit.removeprefix("boondock-").removesuffix(".service").replace("@", "_")
    user, password = (f"boondock_{process}", f"boondock-{process.replace('_', '-')}-password")
    assert (settings.broker.username, settings.broker.password) == (
        (user, password) if users else ("van", None)
    )
    assert settings.storage.state == f"/var/lib/boondock-{process.replace('_', '-')}"
    assert settings.storage.runtime == f"/run/boondock-{process.replace('_', '-')}"
    assert settings.clock.folder == "/var/lib/boondock-clock"
    assert "LoadCredential=secrets:/etc/boondock/secrets" in lines(unit), "keys in secret files reach it, too"


def test_the_broker_is_restarted_for_the_file_that_the_controller_writes() -> None:
    settings = dict(line.split("=", 1) for line in lines("boondock-controller.service") if "=" in line)
    file = f"%t/{settings['RuntimeDirectory']}/{FILE}"
    assert f"PathExists={file}" in lines(f"{WATCH}.path")
    started = [line for line in lines(f"{WATCH}.service") if line.startswith("ExecStart=")]
    assert started == [
        f"ExecStart=/bin/rm -f {file}",
        "ExecStart=/bin/systemctl try-restart boondock-mosquitto.service mosquitto.service",
    ], "removed first, or it would be restarted again and again"


def test_the_page_is_wanted_once_the_installer_enables_it_and_its_name_goes_with_it() -> None:
    assert "boondock-page" not in (UNITS / "boondock.target").read_text()
    assert {"WantedBy=boondock.target", "PartOf=boondock.target"} <= set(lines(PAGE))
    settings = dict(line.split("=", 1) for line in lines(PAGE) if line.startswith("RuntimeDirectory"))
    named = f"%t/{settings['RuntimeDirectory']}/announced"
    assert {
        f"BindsTo={PAGE}",
        f"WantedBy={PAGE}",
        f"ConditionPathExists={named}",
        f"EnvironmentFile={named}",
    } <= set(lines(PAGE_NAME))
    assert settings["RuntimeDirectoryMode"] == "0755"
    assert "RestartPreventExitStatus=78" in lines(PAGE)
    assert not [line for line in lines(PAGE) if "secrets" in line.partition("=")[2]], "it needs none"
