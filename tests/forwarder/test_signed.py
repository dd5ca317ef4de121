"""Signed outputs: what a token says, and a chain without a fork whatever fails. Read by another library."""

import os
import re
import resource
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from config.model import Output
from forwarder.outputs import Place, RefusedError, SendError, TooLargeError, open_sink
from forwarder.records import Reading, Record, Removed, Sample
from forwarder.tokens import house_key
from tests.clock import NOON_MS, FakeTime
from tests.forwarder.signed_rig import backend, hour, lines, public_pem, read, read_chain, sink, soc
from tests.house import ROOT

NOON = "2026-11-21T12:00:00.000Z"


def test_a_token_says_whose_it_is_and_what_was_when(tmp_path: Path) -> None:
    records: list[Record] = [
        soc(0, 97.5),
        Reading("meter.energy", NOON_MS, 12.25, "kWh", NOON_MS - 500),
        Reading("smartshunt.alarm", NOON_MS + 1000, "low_voltage"),
        Reading("smartshunt.soc", NOON_MS + 1000, None, "%"),
        hour(0, rev=2),
        Sample(NOON_MS + 2000, {"a.b": 1.5}),
    ]
    sink(tmp_path).send(records)
    (claims,) = read_chain(lines(tmp_path), public_pem(tmp_path / "state"))
    assert claims["sub"] == "history"
    assert claims["iat"] == NOON_MS // 1000
    assert "clock" not in claims
    assert claims["readings"] == {
        NOON: {"smartshunt.soc": 97.5, "meter.energy": 12.25},
        "2026-11-21T12:00:01.000Z": {"smartshunt.alarm": "low_voltage", "smartshunt.soc": None},
        "2026-11-21T12:00:02.000Z": {"a.b": 1.5},
    }
    assert claims["last_reset"] == {NOON: {"meter.energy": "2026-11-21T11:59:59.500Z"}}
    assert claims["units"] == {"smartshunt.soc": "%", "meter.energy": "kWh"}
    assert claims["rows"] == [hour(0, rev=2).body()]


def test_what_is_void_comes_first_in_a_token(tmp_path: Path) -> None:
    void = Removed("smartshunt.soc", "reading", NOON_MS, NOON_MS + 5000)
    sink(tmp_path).send([soc(0), void, soc(0, 42.0)])
    first, second = read_chain(lines(tmp_path), public_pem(tmp_path / "state"))
    assert first["readings"] == {NOON: {"smartshunt.soc": 0.0}}
    assert second["removed"] == [void.body()]
    assert second["readings"] == {NOON: {"smartshunt.soc": 42.0}}


def test_a_value_that_is_the_same_after_it_was_void_is_signed_again(tmp_path: Path) -> None:
    to = sink(tmp_path)
    to.send([soc(0)])
    to.send([Removed("smartshunt.soc", "reading", NOON_MS, NOON_MS + 1), soc(0)])
    _, second = read_chain(lines(tmp_path), public_pem(tmp_path / "state"))
    assert second["readings"] == {NOON: {"smartshunt.soc": 0.0}}


def test_the_key_is_the_owners_alone_and_stays(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        sink(tmp_path).send([soc(0)])
    finally:
        os.umask(umask)
    key, chain = tmp_path / "state" / "signing-key.pem", tmp_path / "state" / "history.chain"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (key, chain)] == [0o600, 0o600]
    before = key.read_bytes()
    sink(tmp_path).send([soc(1)])
    assert key.read_bytes() == before
    assert len(read_chain(lines(tmp_path), public_pem(tmp_path / "state"))) == 2
    assert sorted(path.name for path in key.parent.iterdir()) == ["history.chain", "signing-key.pem"]


@pytest.mark.parametrize(
    "content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_damaged_key_is_told_and_never_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state").mkdir()
    key = tmp_path / "state" / "signing-key.pem"
    key.write_bytes(content)
    with pytest.raises(RefusedError, match=r"signing-key\.pem cannot be read as a key .*; next: put it back"):
        sink(tmp_path)
    assert key.read_bytes() == content


def test_the_same_records_at_the_same_place_have_the_same_id(tmp_path: Path) -> None:
    time = FakeTime()
    with backend() as server:
        to = sink(tmp_path, time, url=server.url)
        server.plan = [413]
        with pytest.raises(TooLargeError):
            to.send([soc(0), soc(1)])
        time.pass_(60)
        to.send([soc(0), soc(1)])
        to.send([soc(2)])
    pem = public_pem(tmp_path / "state")
    refused, again, other = (read(token, pem) for token in server.got)
    assert refused["iat"] + 60 == again["iat"]
    assert refused["jti"] == again["jti"] != other["jti"]
    assert [head["Idempotency-Key"] for head in server.heads] == [
        one["jti"] for one in (refused, again, other)
    ]
    assert {head["Content-Type"] for head in server.heads} == {"application/jwt"}


def test_an_estimated_clock_is_said_and_without_a_clock_all_waits(tmp_path: Path) -> None:
    time = FakeTime()
    time.quality = "unset"
    to = sink(tmp_path, time)
    with pytest.raises(SendError, match="clock"):
        to.send([soc(0)])
    assert not (tmp_path / "log").exists()
    time.quality = "estimated"
    to.send([soc(0)])
    (claims,) = read_chain(lines(tmp_path), public_pem(tmp_path / "state"))
    assert claims["clock"] == "estimated"


@pytest.mark.parametrize("failure", [500, 401, "cut"])
@pytest.mark.parametrize("restart", [False, True])
def test_a_token_that_may_have_been_taken_is_sent_again_byte_for_byte(
    tmp_path: Path,
    failure: int | str,
    restart: bool,  # noqa: FBT001 — a case
) -> None:
    with backend() as server:
        to = sink(tmp_path, url=server.url)
        to.send([soc(0)])
        server.plan = [failure]
        with pytest.raises(SendError):
            to.send([soc(1), soc(2)])
        if restart:
            to = sink(tmp_path, url=server.url)
        # More came meanwhile: the batch is another one.
        to.send([soc(1), soc(2), soc(3)])
        to.send([soc(4)])
    assert server.got[1] == server.got[2]
    found = read_chain(server.taken, public_pem(tmp_path / "state"))
    held = [value for claims in found for at in claims["readings"].values() for value in at.values()]
    assert held == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_a_token_that_is_too_large_gives_its_place_to_a_smaller_one(tmp_path: Path) -> None:
    with backend() as server:
        to = sink(tmp_path, url=server.url)
        to.send([soc(0)])
        server.plan = [413]
        with pytest.raises(TooLargeError):
            to.send([soc(1), soc(2)])
        to.send([soc(1)])
        to.send([soc(2)])
    assert len(read_chain(server.taken, public_pem(tmp_path / "state"))) == 3


def test_a_batch_that_comes_again_after_a_restart_is_not_signed_twice(tmp_path: Path) -> None:
    sink(tmp_path).send([soc(0), hour(0)])
    sink(tmp_path).send([soc(0), hour(0)])
    sink(tmp_path).send([soc(0), hour(0), hour(0, rev=1)])
    first, second = read_chain(lines(tmp_path), public_pem(tmp_path / "state"))
    assert second["rows"] == [hour(0, rev=1).body()]
    assert "readings" in first
    assert "readings" not in second


def test_another_value_of_the_same_time_is_signed_after_a_restart_too(tmp_path: Path) -> None:
    sink(tmp_path).send([soc(0, 1.0)])
    sink(tmp_path).send([soc(0, 2.0)])
    _, second = read_chain(lines(tmp_path), public_pem(tmp_path / "state"))
    assert second["readings"] == {NOON: {"smartshunt.soc": 2.0}}


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_file_that_is_ahead_of_what_was_kept_is_gone_on_from(tmp_path: Path, kept: int) -> None:
    chain = tmp_path / "state" / "history.chain"
    contents = []
    for number in range(3):
        sink(tmp_path).send([soc(number)])
        contents.append(chain.read_bytes())
    chain.write_bytes(contents[kept])
    sink(tmp_path).send([soc(3)])
    assert len(read_chain(lines(tmp_path), public_pem(tmp_path / "state"))) == 4


def test_a_file_of_an_older_chain_is_gone_on_from(tmp_path: Path) -> None:
    for number in range(2):
        sink(tmp_path).send([soc(number)])
    (tmp_path / "log").rename(tmp_path / "old")
    (tmp_path / "state" / "history.chain").unlink()
    for number in range(2, 5):
        sink(tmp_path).send([soc(number)])
    (tmp_path / "old").rename(tmp_path / "log")
    sink(tmp_path).send([soc(5)])
    assert len(read_chain(lines(tmp_path), public_pem(tmp_path / "state"))) == 3


def test_a_public_key_alone_signs_nothing(tmp_path: Path) -> None:
    sink(tmp_path).send([soc(0)])
    key = tmp_path / "state" / "signing-key.pem"
    key.write_bytes(public_pem(tmp_path / "state"))
    with pytest.raises(RefusedError, match=r"signing-key\.pem is no private key; next: put it back"):
        sink(tmp_path)


@pytest.mark.parametrize("left", [1, 2, 40, -2, -1])
def test_a_line_written_in_part_is_written_whole(tmp_path: Path, left: int) -> None:
    sink(tmp_path).send([soc(0)])
    whole = (tmp_path / "log").read_bytes()
    sink(tmp_path).send([soc(1)])
    both = (tmp_path / "log").read_bytes()
    (tmp_path / "log").write_bytes(whole + both[len(whole) :][:left])
    sink(tmp_path).send([soc(1)])
    assert (tmp_path / "log").read_bytes() == both
    sink(tmp_path).send([soc(2)])
    assert len(read_chain(lines(tmp_path), public_pem(tmp_path / "state"))) == 3


def test_all_outputs_of_a_house_have_one_key_and_a_chain_each(tmp_path: Path) -> None:
    for name in ("one", "two"):
        settings = Output(kind="signed", path=str(tmp_path / name))
        place = Place(name, settings, tmp_path / "outputs" / name, FakeTime().clock, tmp_path)
        open_sink(place).send([soc(0)])
    pem = public_pem(tmp_path)
    (one,), (two,) = (read_chain((tmp_path / name).read_text().splitlines(), pem) for name in ("one", "two"))
    assert (one["sub"], two["sub"]) == ("one", "two")
    assert one["chain"] != two["chain"]


def test_a_file_of_another_output_is_left_alone(tmp_path: Path) -> None:
    sink(tmp_path).send([soc(0)])
    content = (tmp_path / "log").read_bytes()
    settings = Output(kind="signed", path=str(tmp_path / "log"))
    with pytest.raises(RefusedError, match="of the output history; next: move it away"):
        open_sink(Place("other", settings, tmp_path / "state", FakeTime().clock)).send([soc(1)])
    assert (tmp_path / "log").read_bytes() == content


def test_a_chain_goes_on_in_a_new_file_when_the_old_one_is_moved_away(tmp_path: Path) -> None:
    to = sink(tmp_path)
    to.send([soc(0)])
    (tmp_path / "log").rename(tmp_path / "old")
    to.send([soc(1)])
    old = (tmp_path / "old").read_text().splitlines()
    assert len(read_chain([*old, *lines(tmp_path)], public_pem(tmp_path / "state"))) == 2


def test_a_disk_that_is_full_in_the_middle_of_a_line_leaves_no_part_of_it(tmp_path: Path) -> None:
    to = sink(tmp_path)
    for number in range(3):
        to.send([soc(number)])
    size = (tmp_path / "log").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, before[1]))
    try:
        with pytest.raises(SendError, match="log: File too large; look at that disk"):
            to.send([soc(3)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (tmp_path / "log").stat().st_size == size
    to.send([soc(3)])
    to.send([soc(4)])
    found = read_chain(lines(tmp_path), public_pem(tmp_path / "state"))
    assert [list(claims["readings"].values()) for claims in found[3:]] == [
        [{"smartshunt.soc": 3.0}],
        [{"smartshunt.soc": 4.0}],
    ]


def test_a_chain_goes_on_after_a_line_of_any_length(tmp_path: Path) -> None:
    for number in range(3):
        texts = [Reading(f"a.b{one}", NOON_MS + number, "x" * 1000) for one in range(400)]
        sink(tmp_path).send(texts)
    assert max(map(len, lines(tmp_path))) > 500_000
    assert len(read_chain(lines(tmp_path), public_pem(tmp_path / "state"))) == 3


def test_outputs_that_start_together_make_one_key(tmp_path: Path) -> None:
    together = Barrier(8)

    def make(_: int) -> str:
        together.wait()
        return house_key(tmp_path / "new" / "key.pem").thumbprint

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(make, range(8)))) == 1
    assert [one.name for one in (tmp_path / "new").iterdir()] == ["key.pem"]


def test_a_chain_goes_on_from_its_file_when_its_end_was_not_kept(tmp_path: Path) -> None:
    sink(tmp_path).send([soc(0)])
    (tmp_path / "state" / "history.chain").unlink()
    sink(tmp_path).send([soc(1)])
    assert len(read_chain(lines(tmp_path), public_pem(tmp_path / "state"))) == 2


def test_a_new_chain_begins_where_nothing_is_known_of_the_old_one(tmp_path: Path) -> None:
    with backend() as server:
        sink(tmp_path, url=server.url).send([soc(0)])
        for damage in (None, b"", b"\xff\x00", b"{}"):
            chain = tmp_path / "state" / "history.chain"
            chain.unlink() if damage is None else chain.write_bytes(damage)
            sink(tmp_path, url=server.url).send([soc(1)])
    found = [read(token, public_pem(tmp_path / "state")) for token in server.got]
    assert [claims["seq"] for claims in found] == [1] * 5
    assert len({claims["chain"] for claims in found}) == 5


@pytest.mark.parametrize(
    "content",
    [b"my own notes\n", b"my own notes", b"\x00\x01\xff", b"a,b\n1,2\n", b"eyJhbGciOiJub25lIn0.e30.\n"],
)
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "log").write_bytes(content)
    with pytest.raises(RefusedError, match="next: move it away"):
        sink(tmp_path).send([soc(0)])
    assert (tmp_path / "log").read_bytes() == content


def test_a_file_of_another_key_is_left_alone(tmp_path: Path) -> None:
    sink(tmp_path).send([soc(0)])
    content = (tmp_path / "log").read_bytes()
    (tmp_path / "state" / "signing-key.pem").unlink()
    with pytest.raises(RefusedError, match="of another key; next: move it away"):
        sink(tmp_path).send([soc(1)])
    assert (tmp_path / "log").read_bytes() == content


@pytest.mark.parametrize("torn", [0, 50])
def test_a_place_that_is_away_is_told_and_nothing_is_lost(tmp_path: Path, torn: int) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    to = sink(tmp_path, path=stick / "log")
    to.send([soc(0)])
    stick.rename(tmp_path / "unplugged")
    with pytest.raises(SendError, match="stick/log: No such file or directory; look at that disk"):
        to.send([soc(1)])
    with (tmp_path / "unplugged" / "log").open("ab") as file:
        # It was pulled out while it was written to.
        file.write((tmp_path / "state" / "history.chain").read_bytes()[:torn])
    (tmp_path / "unplugged").rename(stick)
    to.send([soc(1)])
    found = (stick / "log").read_text().splitlines()
    assert len(read_chain(found, public_pem(tmp_path / "state"))) == 2


def test_a_library_that_is_missing_is_named_with_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "joserfc", None)
    for name in ("forwarder.tokens", "forwarder.outputs.signed"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    place = Place("x", Output(kind="signed", path=str(tmp_path / "log")), tmp_path)
    with pytest.raises(RefusedError, match=r"^joserfc is not installed; .*requirements-signed\.lock$"):
        open_sink(place)


def test_the_check_in_the_docs_reads_our_tokens(tmp_path: Path) -> None:
    for number in range(3):
        sink(tmp_path).send([soc(number)])
    page = (ROOT / "docs" / "outputs.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page.partition("## Signed history")[2], re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 — of our own page
    pem, before = public_pem(tmp_path / "state").decode(), None
    for number, token in enumerate(lines(tmp_path), 1):
        assert names["check"](token, pem, before)["seq"] == number
        before = token
    with pytest.raises(ValueError, match="token 3 does not follow"):
        names["check"](lines(tmp_path)[2], pem, lines(tmp_path)[0])
