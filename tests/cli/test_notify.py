"""`boondock notify test`: a real message to a server of push messages, and what became of it."""

import json
from pathlib import Path

import pytest

from tests.command import boondock
from tests.emulators.ntfy import Ntfy, Pushed

pytest.importorskip("apprise", reason="the extra `notify` is not installed: run scripts/setup dev")


def write(folder: Path, **urls: str) -> Path:
    """Settings that tell these people."""
    tables = (f'[[notify]]\nname = "{name}"\nurl = "{url}"\n' for name, url in urls.items())
    (folder / "boondock.toml").write_text("\n".join(tables))
    return folder


def test_a_test_message_is_sent_now(tmp_path: Path) -> None:
    with Ntfy() as ntfy:
        done = boondock(
            write(tmp_path, phone=ntfy.url("van"), other=ntfy.url("x")), "notify", "test", "phone"
        )
        assert ntfy.pushed == [
            Pushed("van", "Boondock: a test", "Alarms of this house come to you this way.")
        ]
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "phone: the service took it: look at the phone\n"


def test_all_are_told_and_a_failure_has_its_reason_and_code(tmp_path: Path) -> None:
    with Ntfy() as ntfy, Ntfy(403) as closed:
        folder = write(tmp_path, phone=ntfy.url("van"), other=closed.url("hidden"))
        done = boondock(folder, "notify", "test", "--json")
        assert len(ntfy.pushed) == 1
    assert done.returncode == 1
    good, bad = json.loads(done.stdout)
    assert good == {"name": "phone", "sent": True, "problem": None}
    assert (bad["name"], bad["sent"]) == ("other", False)
    assert "refuses the login; next:" in bad["problem"]
    assert "hidden" not in done.stdout


@pytest.mark.parametrize("name", ["fone", None])
def test_a_table_that_is_not_there_is_told(tmp_path: Path, name: str | None) -> None:
    folder = write(tmp_path, **({} if name is None else {"phone": "ntfy://x"}))
    done = boondock(folder, "notify", "test", *([] if name is None else [name]))
    assert done.returncode == 1
    assert done.stderr.startswith("boondock notify: there is no [[notify]] table")
    assert done.stderr.count("\n") == 1
    assert "next: docs/alarms.md" in done.stderr
