"""The table of verbs, and the page that describes them."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.commands import Code
from bus.request_server import QUEUE
from bus.requests import CODES, ENVELOPE, LARGEST
from cli.broker.rights import users
from config.model import Settings
from scripts import verbs
from statistician.api import RequestVerb, history
from statistician.arithmetic import HOUR
from statistician.fixes import LARGEST_DATA
from statistician.service import MODULES, VERBS
from tests.broker import Mosquitto
from tests.statistician.asked import ROOT, statistician
from tests.statistician.rig import START, AskingRig, Json

CONTRIBUTING = (verbs.ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_what_follows_from_the_table_is_up_to_date() -> None:
    told = "run: python -m scripts.verbs"
    assert verbs.MODULE.read_text(encoding="utf-8") == verbs.module(), told
    assert verbs.REQUESTS.read_text(encoding="utf-8") == verbs.requests(), told
    assert verbs.SECURITY.read_text(encoding="utf-8") == verbs.security(), told


def test_every_module_of_verbs_is_in_the_table() -> None:
    folder = Path(history.__file__).parent
    having = {path.stem for path in folder.glob("*.py") if "\n@verb(" in path.read_text(encoding="utf-8")}
    assert having == {module.__name__.rpartition(".")[2] for module in MODULES}


def test_whoever_may_not_change_is_asked_for_nothing_that_changes() -> None:
    assert all(row.asker == "admin" for row in VERBS.values() if row.changes)


@pytest.fixture
def example() -> Iterator[RequestVerb]:
    """Add the example of CONTRIBUTING.md to the table while a test runs."""
    (code,) = re.findall(r"```python verb\n(.*?)```", CONTRIBUTING, re.DOTALL)
    before = dict(VERBS)
    names = vars(history) | {"__name__": history.__name__}
    exec(compile(code, "CONTRIBUTING.md", "exec", dont_inherit=True), names)  # noqa: S102 — our own page
    (added,) = VERBS.keys() - before.keys()
    yield VERBS[added]
    del VERBS[added]


def test_the_example_answers_as_printed(tmp_path: Path, example: RequestVerb) -> None:
    asked, printed = re.findall(
        r"Asked with `(.*?)` it answers:\n\n```json verb\n(.*?)```", CONTRIBUTING, re.DOTALL
    )[0]
    rig = AskingRig(tmp_path / "x.db")
    rig.about("van", volt="measurement")
    for ts, value in ((START - 2 * HOUR, 12.5), (START, 13.0)):
        rig.now = ts
        rig.reading("van", {"volt": value}, ts=ts)
        rig.commit()
    assert rig.data(example.name, **json.loads(asked)) == json.loads(printed)
    assert rig.refusal(example.name, entity="van.x")[0] is Code.NOT_FOUND


def test_from_the_example_follow_rights_and_pages(
    example: RequestVerb, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert f'"{example.name}": "viewer",' in verbs.module()
    assert (
        f"| [{example.name}](#{example.name}) | viewer, operator, admin | `entity`* text |"
        in verbs.requests()
    )
    monkeypatch.setattr("cli.broker.rights.ASKERS", {name: row.asker for name, row in VERBS.items()})
    topic = f"camper/request/statistician/{example.name}"
    assert f"| `{topic}` |  |  |  | write | write |" in verbs.security()
    may = {user.name for user in users(Settings()) if any(right.topic == topic for right in user.rights)}
    assert may == {"viewer", "operator"}


PAGE = (ROOT / "docs" / "requests.md").read_text(encoding="utf-8")
# Each request and the answer printed below it, in the order of the page: later ones build on earlier ones.
EXAMPLES = re.findall(r"```sh\n(mosquitto_rr [^\n]+)\n```\n\n```json (\w+)\n(.*?)```", PAGE, re.DOTALL)
LINES = re.findall(r"^mosquitto_\w+ .*$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with statistician(tmp_path_factory.mktemp("asked")) as running:
        yield running


def run(line: str, broker: Mosquitto) -> Json:
    """The answer to a line of the page, run as it stands but for the port."""
    command = [*shlex.split(line), "-h", "127.0.0.1", "-p", str(broker.port), "-W", "20"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=40, check=True)
    return json.loads(done.stdout)


def shape(value: Json) -> Json:
    """Keys and types; of a list its first element's."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value[:1]]
    return "number" if isinstance(value, int | float) else type(value).__name__


def test_the_examples_are_answered_as_printed(broker: Mosquitto) -> None:
    for line, verb, printed in EXAMPLES:
        assert f"/{verb} " in line
        answer = run(line, broker)
        assert answer["status"] == "ok", (line, answer)
        assert shape(answer) == shape(json.loads(printed)), line


def test_the_first_line_of_all_is_answered_with_its_id(broker: Mosquitto) -> None:
    assert run(LINES[0], broker)["id"] == "first"


def test_the_pair_for_older_clients(broker: Mosquitto) -> None:
    (pair,) = re.findall(r"```sh pair\n(.*?)\n(.*?)\n```", PAGE, re.DOTALL)
    place = ["-h", "127.0.0.1", "-p", str(broker.port)]
    listener = subprocess.Popen(
        [*shlex.split(pair[0]), *place, "-W", "20"], stdout=subprocess.PIPE, text=True
    )
    # It does not say when it listens: ask until it has heard.
    while True:
        subprocess.run([*shlex.split(pair[1]), *place], check=True, timeout=20)
        try:
            said, _ = listener.communicate(timeout=0.3)
        except subprocess.TimeoutExpired:
            continue
        break
    answer = json.loads(said)
    assert (answer["id"], answer["status"]) == (7, "ok")


def test_the_error_example(broker: Mosquitto) -> None:
    (printed,) = re.findall(r"```json error\n(.*?)```", PAGE, re.DOTALL)
    line = "mosquitto_rr -V 5 -t camper/request/statistician/history -e camper/response/me -m"
    answer = run(f"""{line} '{{"id": "first", "entity": "mppt.volt"}}'""", broker)
    assert answer == json.loads(printed)


def test_every_line_is_tried_by_one_of_these_tests() -> None:
    assert len(LINES) == len(EXAMPLES) + 3


def test_the_verbs_of_the_page_are_those_of_the_statistician(tmp_path: Path) -> None:
    rig = AskingRig(tmp_path / "x.db")
    _, text = rig.refusal("there_is_no_such_verb")
    assert set(re.findall(r"^### (\w+)$", PAGE, re.MULTILINE)) == set(text.split("there are ")[1].split(", "))
    assert {verb for _, verb, _ in EXAMPLES} == set(re.findall(r"^### (\w+)$", PAGE, re.MULTILINE))


def test_every_parameter_is_named_in_its_section(tmp_path: Path) -> None:
    rig = AskingRig(tmp_path / "x.db")
    for section in re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]:
        verb = section.split("\n")[0]
        _, text = rig.refusal(verb, there_is_no_such_parameter=1)
        fields = set(text.split("allowed are ")[1].split(", ")) - set(ENVELOPE)
        for field in fields - {"entity", "entities", "start", "end", "dry_run", "units", "time_zone"}:
            assert f"`{field}`" in section, (verb, field)
        for field in fields:
            assert f"`{field}`" in PAGE or f'"{field}"' in PAGE, (verb, field)


def test_codes_and_limits_are_those_of_the_code() -> None:
    table = PAGE.split("| code | meaning |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == [str(code) for code in CODES]
    keys = PAGE.split("| key | meaning |")[1].split("\n\n")[0]
    assert tuple(re.findall(r"^\| `(\w+)`", keys, re.MULTILINE)) == ENVELOPE
    assert (QUEUE, LARGEST, LARGEST_DATA) == (8, 4096, 65_000)
