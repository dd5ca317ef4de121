"""[[import]] tables: named by their device, mistakes in the owner's words."""

import pytest

from config.model import Availability, Import, ImportEntity
from tests.config.conftest import Machine

ENTITY = '[import.entities]\nvolt = { path = "v", unit = "mV" }\n'


def _import(text: str = 'topic = "a/b"\n', entities: str = ENTITY, device: str = "thermo") -> str:
    return f'[[import]]\ndevice = "{device}"\n{text}{entities}'


def test_tables_are_found_by_their_device(machine: Machine) -> None:
    machine.says(
        _import('topic = "a/b"\navailability = { topic = "a/lwt" }\n')
        + _import("", '[import.entities]\nlamp = { topic = "x", on = [1, "yes", true] }\n', device="lamp")
    )
    assert machine.settings().imports == {
        "thermo": Import(
            topic="a/b",
            availability=Availability(topic="a/lwt"),
            entities={"volt": ImportEntity(path="v", unit="mV")},
        ),
        "lamp": Import(entities={"lamp": ImportEntity(topic="x", on=(1.0, "yes", True))}),
    }


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[[import]]\ntopic = "a"\n', "import.0.device: it is missing; allowed: the id of the device"),
        (
            _import() + _import(),
            "import.thermo.device: another [[import]] has it; allowed: one table a device",
        ),
        (
            '[import]\ndevice = "a"',
            "import: this is no list of tables; allowed: [[import]], each with device, the id of the device",
        ),
        ("imports = {}", "imports: there is no such setting; did you mean [[import]]?"),
        (
            _import('topic = "a"\ntimout = 5\n'),
            "import.thermo.timout: there is no such setting; did you mean timeout?",
        ),
        (
            _import('topic = "a"\ntimeout = 0\n'),
            "import.thermo.timeout: 0 is not allowed; allowed: greater than 0",
        ),
        (
            _import(entities="[import.entities]\nvolt = { pth = 'v' }\n"),
            "import.thermo.entities.volt.pth: there is no such setting; did you mean path?",
        ),
        (
            _import(entities="[import.entities]\nvolt = { scale = nan }\n"),
            (
                "import.thermo.entities.volt.scale: nan is not allowed; "
                "allowed: less than or equal to 1000000000000"
            ),
        ),
        (
            _import('topic = "a"\navailability = { path = "x" }\n'),
            "import.thermo.availability.topic: it is missing; allowed: a value for topic",
        ),
        (
            _import(device="Thermo"),
            "import.Thermo.device: 'Thermo' is no id; allowed: a-z, 0-9 and _, such as thermo",
        ),
        (
            _import(device="relay"),
            "import.relay.device: this id belongs to the controller; allowed: any other id",
        ),
        (
            _import() + '[device.thermo]\nkind = "raspberry_pi"\n',
            "device.thermo: an [[import]] has this id already; allowed: one id a device",
        ),
        (
            _import(""),
            "import.thermo.entities.volt.topic: it is missing; allowed: a topic here or for the whole device",
        ),
        (
            _import('topic = "a/+/b"\n'),
            ("import.thermo.topic: 'a/+/b' has a wildcard; allowed: one exact topic; `topics` takes a list"),
        ),
        (
            _import('topics = ["a", "b/#"]\n'),
            ("import.thermo.topics.1: 'b/#' has a wildcard; allowed: one exact topic; `topics` takes a list"),
        ),
        (
            _import('topic = "camper/state/x"\n'),
            (
                "import.thermo.topic: 'camper/state/x' is below our own camper; "
                "allowed: a topic of another publisher: ours are there already"
            ),
        ),
        (
            '[broker]\nbase = "my/van"\n' + _import('topic = "my/van"\n'),
            (
                "import.thermo.topic: 'my/van' is below our own my/van; "
                "allowed: a topic of another publisher: ours are there already"
            ),
        ),
        (
            _import('topic = "a"\navailability = { topic = "camper/availability/x" }\n'),
            (
                "import.thermo.availability.topic: 'camper/availability/x' is below our own camper; "
                "allowed: a topic of another publisher: ours are there already"
            ),
        ),
        (
            _import('topic = "a"\navailability = { topic = "l", offline = "online" }\n'),
            "import.thermo.availability.offline: it is the same as online; allowed: two different payloads",
        ),
        (
            _import(entities="[import.entities]\nlamp = { command_topic = 'camper/set/relay/x' }\n"),
            (
                "import.thermo.entities.lamp.command_topic: 'camper/set/relay/x' is below our own camper; "
                "allowed: a topic of another publisher: ours are there already"
            ),
        ),
        (
            _import(entities="[import.entities]\nlamp = { command_topic = 'a/b' }\n"),
            (
                "import.thermo.entities.lamp.command_topic: the state is heard on it: "
                "each command would look obeyed; allowed: the topic on which the device takes commands"
            ),
        ),
        (
            _import(entities="[import.entities]\nlamp = { on = [1], payload_on = '1' }\n"),
            (
                "import.thermo.entities.lamp.payload_on: there is no command_topic; "
                "allowed: command_topic = the topic it goes to"
            ),
        ),
        (
            _import(entities="[import.entities]\nt = { range = [1, 2] }\n"),
            (
                "import.thermo.entities.t.range: there is no command_topic; "
                "allowed: command_topic = the topic it goes to"
            ),
        ),
        (
            _import(entities="[import.entities]\nt = { command_topic = 'c', range = [2, 2] }\n"),
            ("import.thermo.entities.t.range: 2 is not below 2; allowed: the least and the greatest number"),
        ),
        (
            _import(entities="[import.entities]\nt = { command_topic = 'c', command_step = 1 }\n"),
            "import.thermo.entities.t.command_step: there is no range; allowed: range = [least, greatest]",
        ),
        (
            _import(entities="[import.entities]\nvolt = { scale = 0 }\n"),
            "import.thermo.entities.volt.scale: every value would be 0; allowed: any other number",
        ),
    ],
)
def test_a_mistake_names_the_device_and_what_is_allowed(machine: Machine, text: str, line: str) -> None:
    machine.says(text)
    assert line in machine.mistakes()


def test_a_neighbour_of_our_base_is_another_publisher(machine: Machine) -> None:
    machine.says(_import('topic = "camper2/state"\n'))
    assert machine.settings().imports["thermo"].topic == "camper2/state"


@pytest.mark.parametrize("variable", ["BOONDOCK_IMPORT__THERMO__NAME", "BOONDOCK_IMPORTS__THERMO__NAME"])
def test_imports_come_from_the_file_alone(machine: Machine, variable: str) -> None:
    machine.says(_import())
    machine.env(**{variable: "x"})
    (line,) = machine.mistakes()
    assert "there is no such setting" in line
