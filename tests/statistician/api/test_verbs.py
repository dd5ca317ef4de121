"""The table of verbs: what follows from it is up to date, and CONTRIBUTING.md shows how to add to it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.commands import Code
from cli.broker_rights import users
from config.model import Settings
from scripts import verbs
from statistician.api import RequestVerb, history
from statistician.arithmetic import HOUR
from statistician.service import MODULES, VERBS
from tests.statistician.requests_rig import AskingRig
from tests.statistician.rig import START

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
    monkeypatch.setattr("cli.broker_rights.ASKERS", {name: row.asker for name, row in VERBS.items()})
    topic = f"camper/request/statistician/{example.name}"
    assert f"| `{topic}` |  |  |  | write | write |" in verbs.security()
    may = {user.name for user in users(Settings()) if any(right.topic == topic for right in user.rights)}
    assert may == {"viewer", "operator"}
