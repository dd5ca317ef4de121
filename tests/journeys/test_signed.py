"""Signed outputs of a real forwarder, killed at any moment: all readings, in a chain without a fork."""

import json
import random
from pathlib import Path

import jwt
import pytest

from tests.broker import Mosquitto
from tests.cli.test_check import boondock
from tests.forwarder.signed_rig import backend, public_pem, read_chain
from tests.journeys.test_outputs import fill, van

SETTINGS = """
[[output]]
name = "log"
kind = "signed"
path = "{folder}/log.jwt"
start = "all"
batch = {batch}

[[output]]
name = "backend"
kind = "signed"
url = "{url}"
start = "all"
batch = {batch}
"""


def readings_of(token: str) -> list[str]:
    """The readings in a token, unchecked."""
    claims = jwt.decode(token, options={"verify_signature": False})
    return [f"{entity}@{at}" for at, values in claims.get("readings", {}).items() for entity in values]


def killed(folder: Path, broker: Mosquitto, *, count: int, kills: int) -> None:
    """Kill a forwarder so often on its way through so many readings, and check what it signed."""
    dice = random.Random(count)  # noqa: S311 — dice
    wanted = fill(folder / "statistics.db", count)
    log, batch = folder / "log.jwt", count // 50
    with backend() as server:
        # Some are refused, some taken without an answer.
        server.plan = [dice.choice((204, 204, 204, 503, "cut")) for _ in range(12)]
        with van(folder, broker, SETTINGS.format(folder=folder, url=server.url, batch=batch)) as one:
            for kill in range(1, kills + 1):
                one.forwarder = one.spawn("forwarder")
                share = 50 * (kill - dice.random()) / (kills + 1)
                one.until(lambda s=share: len(server.taken) >= s, "the backend got nothing")  # type: ignore[misc]  # a bound default
                one.forwarder.kill()
                one.forwarder.wait()
            one.forwarder = one.spawn("forwarder")
            for last in (lambda: server.taken, lambda: log.read_text().splitlines()):
                one.until(lambda s=last: wanted[-1] in readings_of(s()[-1]), "the last did not come")  # type: ignore[misc]  # as above
        tokens = log.read_text().splitlines()
    pem, known = public_pem(folder / "state"), set(wanted)
    for chain in (server.taken, tokens):
        assert read_chain(chain, pem)
        found = [key for token in chain for key in readings_of(token) if key in known]
        assert list(dict.fromkeys(found)) == wanted
    (folder / "public.pem").write_bytes(pem)
    done = boondock("verify", "--key", "public.pem", "--json", "log.jwt", folder=folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counts"]["reading"] >= count


def test_a_chain_has_no_fork_when_its_forwarder_is_killed(tmp_path: Path, broker: Mosquitto) -> None:
    killed(tmp_path, broker, count=1_000, kills=3)


@pytest.mark.long
def test_a_chain_has_no_fork_in_30_kills(tmp_path: Path, broker: Mosquitto) -> None:
    killed(tmp_path, broker, count=20_000, kills=30)
