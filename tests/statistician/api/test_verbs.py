"""The table of verbs, and the page that describes them."""

import json
import re
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
from tests.page_lines import Page, run, shape
from tests.statistician.asked import ROOT, statistician
from tests.statistician.rig import START, AskingRig

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
    assert f"| `{topic}` |  |  |  |  | write | write |" in verbs.security()
    may = {user.name for user in users(Settings()) if any(right.topic == topic for right in user.rights)}
    assert may == {"viewer", "operator"}


PAGE = Page(ROOT / "docs" / "requests.md")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with statistician(tmp_path_factory.mktemp("asked")) as running:
        yield running


def test_the_examples_are_answered_as_printed(broker: Mosquitto) -> None:
    for line, verb, printed in PAGE.examples:
        assert f"/{verb} " in line
        answer = run(line, broker.port)
        assert answer["status"] == "ok", (line, answer)
        assert shape(answer) == shape(printed), line


def test_the_first_line_of_all_is_answered_with_its_id(broker: Mosquitto) -> None:
    assert run(PAGE.lines[0], broker.port)["id"] == "first"


def test_the_pair_for_older_clients(broker: Mosquitto) -> None:
    answer = PAGE.ask_by_pair(broker.port)
    assert (answer["id"], answer["status"]) == (7, "ok")


def test_the_error_example(broker: Mosquitto) -> None:
    line = "mosquitto_rr -V 5 -t camper/request/statistician/history -e camper/response/me -m"
    answer = run(f"""{line} '{{"id": "first", "entity": "mppt.volt"}}'""", broker.port)
    assert answer == PAGE.printed("error")


def test_every_line_is_tried_by_one_of_these_tests() -> None:
    assert len(PAGE.lines) == len(PAGE.examples) + 3


def test_the_verbs_of_the_page_are_those_of_the_statistician(tmp_path: Path) -> None:
    rig = AskingRig(tmp_path / "x.db")
    _, text = rig.refusal("there_is_no_such_verb")
    assert set(PAGE.verbs) == set(text.split("there are ")[1].split(", "))
    assert {verb for _, verb, _ in PAGE.examples} == set(PAGE.verbs)


def test_every_parameter_is_named_in_its_section(tmp_path: Path) -> None:
    rig = AskingRig(tmp_path / "x.db")
    for section in re.split(r"^### ", PAGE.text, flags=re.MULTILINE)[1:]:
        verb = section.split("\n")[0]
        _, text = rig.refusal(verb, there_is_no_such_parameter=1)
        fields = set(text.split("allowed are ")[1].split(", ")) - set(ENVELOPE)
        for field in fields - {"entity", "entities", "start", "end", "dry_run", "units", "time_zone"}:
            assert f"`{field}`" in section, (verb, field)
        for field in fields:
            assert f"`{field}`" in PAGE.text or f'"{field}"' in PAGE.text, (verb, field)


def test_codes_and_limits_are_those_of_the_code() -> None:
    table = PAGE.text.split("| code | meaning |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == [str(code) for code in CODES]
    keys = PAGE.text.split("| key | meaning |")[1].split("\n\n")[0]
    assert tuple(re.findall(r"^\| `(\w+)`", keys, re.MULTILINE)) == ENVELOPE
    assert (QUEUE, LARGEST, LARGEST_DATA) == (8, 4096, 65_000)
