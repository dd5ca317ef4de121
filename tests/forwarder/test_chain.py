"""A chain of tokens that was changed in any way: the line where it begins to be wrong, and why."""

import base64
import hashlib
import json
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus.messages import from_iso
from forwarder.chain import Check
from forwarder.records import Removed
from forwarder.tokens import Claims, Key, WrongTokenError, house_key
from tests.clock import NOON_MS
from tests.forwarder.signed_rig import HOUR_MS, b64, hour, public_pem, read, signed, soc, thumbprint

# On a busy machine a draw may take a second.
CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chain")


@pytest.fixture(scope="module")
def chain(folder: Path) -> list[bytes]:
    return signed(folder, *([hour(number)] for number in range(5)))


@pytest.fixture(scope="module")
def key(folder: Path, chain: list[bytes]) -> Key:
    assert chain
    return Key.read(public_pem(folder / "state"))


def wrong(key: Key, lines: list[bytes], *, part: bool = False) -> tuple[int, str] | None:
    """The first wrong line and why; None if all are good."""
    check = Check(key, part=part)
    for number, line in enumerate(lines, 1):
        try:
            check.take(line)
        except WrongTokenError as error:
            return number, str(error)
    return None


def header(token: bytes, **changes: object) -> bytes:
    """The same token with another header."""
    first, rest = token.split(b".", 1)
    found = json.loads(base64.urlsafe_b64decode(first + b"==")) | changes
    return b64(json.dumps(found).encode()).encode() + b"." + rest


def test_a_whole_chain_is_good_and_says_what_is_in_it(key: Key, chain: list[bytes]) -> None:
    check = Check(key)
    for line in chain:
        check.take(line)
    assert check.contents.counts == {"hour": 5}
    assert check.contents.entities == {"smartshunt.soc"}
    assert (check.contents.start, check.contents.end) == (NOON_MS, NOON_MS + 4 * HOUR_MS)
    assert (check.first, check.last) == (1, 5)
    assert check.digest == b64(hashlib.sha256(chain[-1]).digest())


def test_all_kinds_of_records_are_counted(tmp_path: Path) -> None:
    void = Removed("tank.level", "hour", NOON_MS - HOUR_MS, NOON_MS)
    check = Check(house_key(tmp_path / "state" / "signing-key.pem"))
    for line in signed(tmp_path, [void, soc(0), soc(1), hour(0, "mppt.power")]):
        check.take(line)
    assert check.contents.counts == {"removed": 1, "reading": 2, "hour": 1}
    assert check.contents.entities == {"tank.level", "smartshunt.soc", "mppt.power"}
    assert (check.contents.start, check.contents.end) == (NOON_MS - HOUR_MS, NOON_MS + 1000)


@given(which=st.integers(0, 4), place=st.integers(0, 10_000), step=st.integers(1, 255))
@CALM
def test_any_other_byte_in_any_line_is_found(
    key: Key, chain: list[bytes], which: int, place: int, step: int
) -> None:
    line = bytearray(chain[which])
    line[place % len(line)] = (line[place % len(line)] + step) % 256
    found = wrong(key, [*chain[:which], bytes(line), *chain[which + 1 :]])
    assert found is not None
    assert found[0] == which + 1


def test_another_text_of_the_same_signature_is_found(key: Key, chain: list[bytes]) -> None:
    # The four low bits of the last letter are not of the signature (RFC 4648, section 3.5).
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = letters.index(chain[-1][-1:])
    assert last % 16 == 0
    for other in range(last + 1, last + 16):
        line = chain[-1][:-1] + letters[other : other + 1]
        assert wrong(key, [*chain[:-1], line]) == (5, "this is no signed token, or a part of one")


def test_the_other_signature_of_the_same_text_is_found(key: Key, chain: list[bytes]) -> None:
    # FIPS 186-4, D.1.2.3; with (r, s) also (r, n - s) is a signature.
    order = 115792089210356248762697446949407573529996955224135760342422259061068512044369
    text, _, signature = chain[-1].rpartition(b".")
    raw = base64.urlsafe_b64decode(signature + b"==")
    other = raw[:32] + (order - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    line = text + b"." + b64(other).encode()
    assert jwt.PyJWS().decode(line, key.pem(), algorithms=["ES256"])
    found = wrong(key, [*chain[:-1], line])
    assert found == (5, "it was changed: its signature is written in another way")


@given(end=st.integers(0, 10_000), more=st.binary(min_size=1, max_size=20), other=st.binary(max_size=200))
@CALM
def test_any_line_cut_lengthened_or_replaced_is_found(
    key: Key, chain: list[bytes], end: int, more: bytes, other: bytes
) -> None:
    line = chain[2]
    for changed in (line[: end % len(line)], line + more, more + line, other):
        found = wrong(key, [*chain[:2], changed, *chain[3:]])
        assert found is not None
        assert found[0] == 3


@pytest.mark.parametrize(
    ("order", "line", "why"),
    [
        ([0, 1, 3, 4], 3, "it is token 4: token 3 is missing before it"),
        ([0, 4], 2, "it is token 5: tokens 2 to 4 are missing before it"),
        ([1, 2, 3], 1, "it is token 2: token 1 is missing before it"),
        ([3, 4], 1, "it is token 4: tokens 1 to 3 are missing before it"),
        ([0, 2, 1, 3], 2, "it is token 3: token 2 is missing before it"),
        ([0, 1, 1, 2], 3, "it is token 2, after token 2: it was added"),
        ([0, 1, 2, 0], 4, "it is token 1, after token 3: it was added"),
        ([4, 3, 2, 1, 0], 1, "it is token 5: tokens 1 to 4 are missing before it"),
    ],
)
def test_lines_that_are_missing_added_or_swapped_are_named(
    key: Key, chain: list[bytes], order: list[int], line: int, why: str
) -> None:
    found = wrong(key, [chain[number] for number in order])
    assert found is not None
    assert found[0] == line
    assert found[1].startswith(why)


def test_a_part_may_begin_anywhere_but_has_no_hole(key: Key, chain: list[bytes]) -> None:
    assert wrong(key, chain[2:], part=True) is None
    assert wrong(key, [chain[2], chain[4]], part=True) == (2, "it is token 5: token 4 is missing before it")


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "NONE", "HS256", "HS512", "RS256", "ES384", "", 5, None]
)
def test_another_algorithm_is_refused(key: Key, chain: list[bytes], algorithm: object) -> None:
    found = wrong(key, [chain[0], header(chain[1], alg=algorithm)])
    assert found is not None
    assert found[0] == 2
    assert "algorithm" in found[1] or "header" in found[1]


def test_a_public_key_used_as_a_secret_forges_nothing(folder: Path, key: Key, chain: list[bytes]) -> None:
    pem = public_pem(folder / "state")
    head, payload, _ = chain[1].split(b".")
    for algorithm in ("HS256", "ES256"):
        for secret in (pem, pem.strip(), json.dumps(key.jwk()).encode()):
            forged = header(head + b"." + payload + b".", alg=algorithm)[:-1]
            signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(forged, secret)
            for name in (signature, signature * 2):
                found = wrong(key, [chain[0], forged + b"." + b64(name).encode()])
                assert found is not None
                assert found[0] == 2
    unsigned = header(head + b"." + payload + b".", alg="none")
    assert wrong(key, [chain[0], unsigned]) is not None


def test_a_line_of_another_key_is_named(tmp_path: Path, key: Key, chain: list[bytes]) -> None:
    other = signed(tmp_path, *([hour(number)] for number in range(3)))
    named = thumbprint(public_pem(tmp_path / "state"))
    assert wrong(key, [*chain[:2], other[2]]) == (3, f"its header names another key, {named!r}")
    # The same with our name in its header.
    found = wrong(key, [*chain[:2], header(other[2], kid=key.thumbprint)])
    assert found == (3, "it was changed: its signature does not fit")


def test_a_second_chain_of_the_same_key_is_named(tmp_path: Path) -> None:
    first = signed(tmp_path, [hour(0)], [hour(1)])
    (tmp_path / "log").unlink()
    (tmp_path / "state" / "history.chain").unlink()
    second = signed(tmp_path, [hour(0)], [hour(1)], [hour(2)])
    key = Key.read(public_pem(tmp_path / "state"))
    found = wrong(key, [*first, second[2]])
    assert found is not None
    assert found[0] == 3
    assert found[1].startswith("it is of another chain, ")


def test_two_tokens_of_one_number_are_a_fork(tmp_path: Path) -> None:
    signed(tmp_path, [hour(0)])
    state = tmp_path / "state" / "history.chain"
    kept, content = state.read_bytes(), (tmp_path / "log").read_bytes()
    one = signed(tmp_path, [hour(1)])
    # As on a copy of the card.
    state.write_bytes(kept)
    (tmp_path / "log").write_bytes(content)
    other = signed(tmp_path, [hour(1, "mppt.power")], [hour(2)])
    key = Key.read(public_pem(tmp_path / "state"))
    assert wrong(key, other) is None
    found = wrong(key, [*one, other[2]])
    assert found == (3, "it is token 3, but not the one that follows: the key signed two tokens 2")


def test_a_changed_record_cannot_be_signed_without_the_key(key: Key, chain: list[bytes]) -> None:
    head, payload, signature = chain[2].split(b".")
    claims = json.loads(base64.urlsafe_b64decode(payload + b"=="))
    claims["rows"][0]["mean"] = 1.0
    forged = b".".join((head, b64(json.dumps(claims).encode()).encode(), signature))
    found = wrong(key, [*chain[:2], forged])
    assert found == (3, "it was changed: its signature does not fit")


def test_what_the_key_signed_but_is_no_token_is_told(tmp_path: Path) -> None:
    key = house_key(tmp_path / "key")
    whole = Claims(iss=key.thumbprint, sub="x", iat=1, chain="c", seq=1)
    assert wrong(key, [key.sign(whole)]) is None
    bad = Claims(iss="", sub="x", iat=1, chain="c", seq=1, readings={"noon": {"a.b": 1.0}})
    found = wrong(key, [key.sign(bad)])
    assert found is not None
    assert "a time in it is none" in found[1]
    private = (tmp_path / "key").read_bytes()
    name = {"kid": key.thumbprint}
    for payload in (b"{}", b'{"seq": "1"}', b"[]", b"\xff", b"[" * 100_000):
        # Half of the signatures that another library makes are of the other kind.
        made = (jwt.PyJWS().encode(payload, private, "ES256", headers=name).encode() for _ in range(64))
        told = {wrong(key, [token]) for token in made}
        assert (1, "it was changed: its signature is written in another way") in told
        assert any(one and "it is no token of an output" in one[1] for one in told)


def test_every_token_is_read_alike_by_another_library(folder: Path, key: Key, chain: list[bytes]) -> None:
    for line in chain:
        claims = read(line.decode(), public_pem(folder / "state"))
        ours = key.open(line)
        assert (ours.seq, ours.prev, ours.iat) == (claims["seq"], claims.get("prev"), claims["iat"])
        assert ours.rows == claims["rows"]
        assert from_iso(str(ours.rows[0]["start"])) == NOON_MS + HOUR_MS * (ours.seq - 1)


def test_a_key_is_read_in_each_form_and_others_are_refused(folder: Path, key: Key) -> None:
    pem = public_pem(folder / "state")
    assert key.thumbprint == thumbprint(pem)
    whole = {"thumbprint": key.thumbprint, "jwk": key.jwk(), "pem": key.pem()}
    for content in (key.pem().encode(), json.dumps(key.jwk()).encode(), json.dumps(whole).encode()):
        assert Key.read(content).thumbprint == key.thumbprint
    assert "d" not in key.jwk()
    assert "PRIVATE" not in key.pem()
    private = Key.read((folder / "state" / "signing-key.pem").read_bytes())
    assert "d" not in private.jwk()
    assert "PRIVATE" not in private.pem()
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    p384 = generate_private_key(SECP384R1()).private_bytes(*form)
    rsa = generate_rsa(65537, 2048).private_bytes(*form)
    locked = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"
    off = json.dumps(key.jwk() | {"x": key.jwk()["y"]}).encode()
    lists = (
        b"{",
        b"{}",
        b"[]",
        b'{"jwk": 5}',
        b'{"kty": "EC"}',
        b'{"kty": "oct", "k": "AAAA"}',
        b'{"kty": "EC", "crv": 5}',
    )
    for content in (b"", b"\x00\xff", p384, rsa, locked, off, *lists):
        with pytest.raises(ValueError, match=r"."):
            Key.read(content)
