"""The child that sends one message: through real Apprise, to servers of push messages and of mail."""

import math
import os
import re
import socket
from pathlib import Path

import pytest

from forwarder.tell import LIMIT_S, Child, reason, tell_now
from tests.emulators.ntfy import Ntfy, Pushed
from tests.emulators.smtp import Smtp
from tests.ports import free_port

pytest.importorskip("apprise", reason="the extra `notify` is not installed: run scripts/setup dev")

TITLE, BODY = "Hausbatterie schwach", "smartshunt.soc < 20 (it is 18.5) & more,\nsince 14:05 → *see* <b>"
HIDDEN = "van-of-mine-4711"


def test_a_push_message_comes_as_it_was_written() -> None:
    with Ntfy() as ntfy:
        assert tell_now(ntfy.url(HIDDEN), TITLE, BODY) == ""
        assert ntfy.pushed == [Pushed(HIDDEN, TITLE, BODY)]


@pytest.mark.parametrize(
    ("login", "user"), [("me:pw@", "me:pw"), ("tk_abcdefghijklmnopqrstuvwxyz012@", None)]
)
def test_a_server_of_ones_own_gets_the_login(login: str, user: str | None) -> None:
    with Ntfy() as ntfy:
        assert tell_now(ntfy.url(HIDDEN, login), TITLE, BODY) == ""
        assert ntfy.pushed[0].user == (user or login[:-1])


def test_a_mail_comes_as_it_was_written() -> None:
    with Smtp() as smtp:
        assert tell_now(smtp.url("me@example.com"), "House battery low", "It is 18.5.\n.since 14:05") == ""
        (mail,) = smtp.mails
        assert (mail.sender, mail.receivers) == ("van@example.org", ("me@example.com",))
        assert "Subject: House battery low" in mail.text.splitlines()
        assert mail.text.endswith("It is 18.5.\n.since 14:05")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "does not take the message; next: compare"),
        (401, "refuses the login; next:"),
        (403, "refuses the login; next:"),
        (404, "knows no such receiver; next:"),
        (413, "does not take the message; next:"),
        (429, "takes no more messages for now"),
        (500, "has an error of its own"),
        (507, "has an error of its own"),
        ("redirect", "has moved; next:"),
        ("drop", "cannot be reached; next:"),
    ],
)
def test_what_a_service_refuses_is_told_in_words_without_the_address(status: int | str, words: str) -> None:
    with Ntfy(status) as ntfy:
        said = tell_now(ntfy.url(HIDDEN, "me:hidden@"), TITLE, BODY)
    assert words in said
    assert not any(one in said for one in (HIDDEN, "hidden", "127.0.0.1", str(ntfy.port)))
    assert ntfy.pushed == []


@pytest.mark.parametrize(
    ("refuses", "words"),
    [
        ({"AUTH": "535 5.7.8 no"}, "refuses the login"),
        ({"RCPT": "550 5.1.1 no such user"}, "knows no such receiver"),
        ({"greeting": "421 busy"}, "takes no more messages for now"),
        ({"MAIL": "451 greylisted"}, "takes no more messages for now"),
    ],
)
def test_what_a_mail_server_refuses_is_told_in_words(refuses: dict[str, str], words: str) -> None:
    with Smtp(refuses=refuses) as smtp:
        said = tell_now(smtp.url("me@example.com"), TITLE, BODY)
    assert words in said
    assert "secret" not in said
    assert smtp.mails == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ntfy://127.0.0.1:{port}/x", "nobody answers at that address; next:"),
        ("ntfy://no-such-name.invalid/x", "the name of the service is not found; next:"),
        ("bogus://hidden", "no address that Apprise can use; next:"),
        ("signal://127.0.0.1/1/hidden", "no address that Apprise can use; next:"),
    ],
)
def test_an_address_that_is_wrong_is_told(url: str, words: str) -> None:
    said = tell_now(url.format(port=free_port()), TITLE, BODY)
    assert words in said
    assert "hidden" not in said


def test_each_address_of_the_page_is_one_that_apprise_can_use() -> None:
    import apprise  # noqa: PLC0415 — skipped above where it is not installed

    page = Path(__file__).parents[2] / "docs" / "alarms.md"
    urls = re.findall(r'^url = "(.*)"$', page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(urls) >= 9
    assert [url for url in urls if apprise.Apprise.instantiate(url) is None] == []


def test_a_service_that_does_not_speak_tls_is_told() -> None:
    with Ntfy() as ntfy:
        said = tell_now(f"ntfys://127.0.0.1:{ntfy.port}/{HIDDEN}", TITLE, BODY)
    assert said.startswith("the encryption fails; next:")


def test_the_words_of_the_message_are_no_reason() -> None:
    log = "ntfy Payload: {'message': 'connection refused, error=404.'}\nFailed to send: error=50001."
    assert reason(log) == "the service has an error of its own; it is tried again"


def test_a_child_that_hangs_is_ended_at_its_limit() -> None:
    with Ntfy("hang") as ntfy:
        child = Child(ntfy.url(HIDDEN), TITLE, BODY, "warning", now=0.0)
        assert ntfy.asked.wait(30)
        assert child.done(LIMIT_S - 1) is None
        said = child.done(LIMIT_S)
        assert said == "the service does not answer within 90 s; next: look at the network"
        assert child._process.returncode == -9


def test_a_child_that_dies_is_told() -> None:
    with Ntfy("hang") as ntfy:
        child = Child(ntfy.url(HIDDEN), TITLE, BODY, "warning", now=0.0)
        assert ntfy.asked.wait(30)
        child._process.terminate()
        child.wait(30)
        assert child.done(0.0) == "the process that sends ended with code -15; please report it"


def test_no_argument_of_the_process_shows_the_address() -> None:
    with Ntfy("hang") as ntfy:
        child = Child(ntfy.url(HIDDEN), TITLE, BODY, "warning", now=0.0)
        assert ntfy.asked.wait(30)
        shown = Path(f"/proc/{child._process.pid}/cmdline").read_bytes()
        shown += Path(f"/proc/{child._process.pid}/environ").read_bytes()
        child.end()
    assert b"forwarder.tell" in shown
    assert HIDDEN.encode() not in shown


def test_without_apprise_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "apprise.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    said = tell_now("ntfy://x", TITLE, BODY)
    assert said.startswith("Apprise is not installed; next: sudo boondock install;")


@pytest.mark.long
def test_a_slow_answer_is_waited_for() -> None:
    """Apprise's own limit of 4 s would send again what a slow network took."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        child = Child(f"ntfy://127.0.0.1:{server.getsockname()[1]}/x", TITLE, BODY, "info", now=0.0)
        client, _ = server.accept()
        with client:
            client.settimeout(6.0)
            client.recv(65536)
            # It would hang up.
            with pytest.raises(TimeoutError):
                list(iter(lambda: client.recv(65536), b""))
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            child.wait(30)
    assert child.done(math.inf) == ""
