"""`python -m forwarder.tell`: one message to a person, through Apprise, in a process of its own.

Apprise takes more memory than all else of the forwarder: it lives as long as one message takes. The order
comes as JSON on standard input, for it holds a secret address. What went wrong is a sentence on standard
output, of our own words alone: what Apprise and the services say holds parts of the address.
"""

import json
import logging
import math
import re
import subprocess
import sys
import time

# A child that takes longer hangs; a slow network needs more than Apprise's own 4 s for an answer.
LIMIT_S = 90.0
ANSWER_S = 30.0
_MISSING = (
    "Apprise is not installed; next: sudo boondock install; without an installed house"
    " .venv/bin/python -m pip install --require-hashes -r requirements-notify.lock"
)
_CHECK = "next: compare `url` with docs/alarms.md"
# What the log of Apprise says, and what it means; the first that fits counts. ntfy adds two digits.
_REASONS = (
    (
        r"error=40[13](\d\d)?\b|\(53[045], ",
        f"the service refuses the login; {_CHECK}: user, password or token",
    ),
    (
        r"error=404(\d\d)?\b|\(55[0-4], ",
        f"the service knows no such receiver; {_CHECK}: topic, chat or address",
    ),
    (r"error=429(\d\d)?\b|\(4[25]1, ", "the service takes no more messages for now; it is tried again"),
    (r"error=4\d\d(\d\d)?\b", f"the service does not take the message; {_CHECK}"),
    (r"error=5\d\d(\d\d)?\b", "the service has an error of its own; it is tried again"),
    (
        r"error=3\d\d\b",
        f"the service has moved; {_CHECK}: with an s at the end of ntfy, mailto and the like it is encrypted",
    ),
    (
        r"(?i)certificate|SSL|STARTTLS",
        "the encryption fails; next: look at the date of this machine and at the certificate of the service",
    ),
    (
        r"(?i)name or service|name resolution|getaddrinfo|NameResolutionError",
        "the name of the service is not found; next: look at the network, then at `url`",
    ),
    (r"(?i)timed out", "the service does not answer in time; next: look at the network"),
    (
        r"(?i)refused",
        "nobody answers at that address; next: see whether the service runs, then look at `url`",
    ),
    (r"", "the service cannot be reached; next: look at the network, then at `url`"),
)


class Child:
    """One message on its way. Raises OSError where no process can be started."""

    def __init__(self, url: str, title: str, body: str, mood: str, *, now: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "forwarder.tell"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # A traceback may show the address.
            stderr=subprocess.DEVNULL,
        )
        self._until = now + LIMIT_S
        order = json.dumps({"url": url, "title": title, "body": body, "mood": mood})
        assert self._process.stdin is not None  # noqa: S101 — asked for above
        try:
            # Far less than a pipe holds: this does not wait.
            self._process.stdin.write(order.encode())
            self._process.stdin.close()
        except BrokenPipeError:
            # It has ended already, and `done` says so.
            return

    def done(self, now: float) -> str | None:
        """Return what went wrong, in a sentence, empty if nothing; None while it goes on."""
        if self._process.poll() is None:
            if now < self._until:
                return None
            self.end()
            return f"the service does not answer within {LIMIT_S:g} s; next: look at the network"
        said = self._read()
        if self._process.returncode == 0:
            return ""
        return said or f"the process that sends ended with code {self._process.returncode}; please report it"

    def wait(self, seconds: float) -> None:
        """Let it go on for so long at most."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            # `done` says that it goes on.
            return

    def end(self) -> None:
        """Kill it, if it still runs."""
        self._process.kill()
        self._process.wait()
        self._read()

    def _read(self) -> str:
        assert self._process.stdout is not None  # noqa: S101 — asked for above
        with self._process.stdout as output:
            return output.read(1000).decode("utf-8", "replace").strip()


def reason(log: str) -> str:
    """Say what a log of Apprise means, in a sentence with the next step."""
    # The message itself says nothing of what went wrong.
    found = "\n".join(line for line in log.splitlines() if "ayload" not in line)
    return next(words for pattern, words in _REASONS if re.search(pattern, found))


def send(url: str, title: str, body: str, mood: str) -> str | None:
    """Send a message; return what went wrong, None if nothing."""
    try:
        import apprise  # noqa: PLC0415 — an extra, and only the child has the memory for it
    except ImportError:
        return _MISSING
    apprise.URLBase.socket_read_timeout = ANSWER_S
    apprise.URLBase.socket_connect_timeout = ANSWER_S
    # No picture from elsewhere, nothing on disk.
    asset = apprise.AppriseAsset(
        app_id="Boondock",
        app_desc="Boondock",
        app_url="",
        image_url_mask="",
        async_mode=False,
        storage_mode="memory",
        # Followed, the message would be lost on the way, and the page that is there would say it was taken.
        http_redirects=False,
    )
    sender = apprise.Apprise(asset=asset)
    with apprise.LogCapture(level=logging.DEBUG, fmt="%(message)s") as log:
        if not sender.add(url):
            return f"`url` is no address that Apprise can use; {_CHECK}"
        sent = sender.notify(body=body, title=title, notify_type=mood, body_format="text")
        return None if sent else reason(log.getvalue())


def main() -> int:
    """Send what standard input orders; returns the exit code."""
    wrong = send(**json.loads(sys.stdin.buffer.read()))
    if wrong is not None:
        sys.stdout.write(f"{wrong}\n")
    return 0 if wrong is None else 1


def tell_now(url: str, title: str, body: str) -> str:
    """Send a message and wait for it; return what went wrong, empty if nothing. Raises OSError."""
    child = Child(url, title, body, "info", now=time.monotonic())
    child.wait(LIMIT_S)
    return child.done(math.inf) or ""


if __name__ == "__main__":
    sys.exit(main())
