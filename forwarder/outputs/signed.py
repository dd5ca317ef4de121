"""Records in signed tokens, each chained to the one before: to a backend over HTTP, or in a file, one a line.

A token that may have been taken is sent again byte for byte, for another of its number would be a fork of
the chain. So the newest token is kept on disk before it is sent.
"""

import logging
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from itertools import dropwhile
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from bus import state_files
from bus.clock import system_clock
from forwarder.outputs import Place, RefusedError, SendError, TooLargeError
from forwarder.outputs.file import append, require_disk, told
from forwarder.outputs.http import Http
from forwarder.records import Record, Removed
from forwarder.tokens import (
    KEY_FILE,
    LONGEST,
    Claims,
    KeyFileError,
    WrongTokenError,
    digest_of,
    house_key,
    with_records,
)

log = logging.getLogger(__name__)

# Not in a backup (cli/backup): who goes on from an old one would fork the chain.
CHAIN_END = ".chain"
_MOVE = "next: move it away, then a new file is begun"
_PIECE = 65536
# What may be left of a token whose writing was interrupted.
_TORN = re.compile(rb"ey?|eyJ[A-Za-z0-9_.-]*")


class Target(Protocol):
    """Where tokens go."""

    def newest(self) -> bytes | None:
        """Return the newest token that is there, as far as it can be known. Raises SendError."""

    def put(self, token: bytes, claims: Claims) -> None:
        """Hand over a token; it is safe when this returns. Raises SendError."""

    def close(self) -> None:
        """Give back what is held."""


class Backend:
    """A server that takes one token a request."""

    def __init__(self, client: Http) -> None:
        self._client = client

    def newest(self) -> bytes | None:
        """Nobody asks a backend."""
        return None

    def put(self, token: bytes, claims: Claims) -> None:
        """Send a token. Raises SendError."""
        self._client.send(token, {"Content-Type": "application/jwt", "Idempotency-Key": claims.jti})

    def close(self) -> None:
        """End the connection."""
        self._client.close()


class TokenFile:
    """A file with one token a line; it may be moved away at any time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def newest(self) -> bytes | None:
        """Read the last line, once what was written of one in part is removed. Raises SendError."""
        require_disk(self._path)
        try:
            with self._path.open("r+b") as file:
                size = file.seek(0, os.SEEK_END)
                whole, _, torn = _end_of(file, size).rpartition(b"\n")
                if torn and not _TORN.fullmatch(torn):
                    raise RefusedError(f"{self._path} does not end with a token; {_MOVE}")
                file.truncate(size - len(torn))
                return whole.rpartition(b"\n")[2] or None
        except FileNotFoundError:
            return None
        except OSError as error:
            raise told(error, self._path) from error

    def put(self, token: bytes, claims: Claims) -> None:
        """Append a token, and put it on the disk. Raises SendError."""
        del claims
        require_disk(self._path)
        try:
            append(self._path, token + b"\n", sync=True)
        except OSError as error:
            raise told(error, self._path) from error

    def close(self) -> None:
        """Hold nothing open."""


def _end_of(file: IO[bytes], size: int) -> bytes:
    """Read at least the last line of a file, and what follows its end; of a line that is too long a part."""
    most = _PIECE
    while True:
        file.seek(max(0, size - most))
        tail = file.read()
        if tail.count(b"\n") > 1 or most >= min(size, LONGEST):
            return tail
        most *= 4


class _Link(NamedTuple):
    """What the next token says of its place: the chain, its number, the digest of the one before."""

    chain: str
    seq: int
    prev: str | None


class SignedSink:
    """Signs records with the key of the house, and hands the tokens over."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._path = place.state / f"{place.name}{CHAIN_END}"
        settings = place.settings
        self._target: Target = (
            Backend(Http(settings)) if settings.path is None else TokenFile(Path(settings.path))
        )
        try:
            self._key = house_key((place.home or place.state) / KEY_FILE)
        except KeyFileError as error:
            raise RefusedError(str(error)) from error
        except OSError as error:
            raise told(error, place.home or place.state) from error
        # The newest token, if it may not be there yet; None: look what is kept and what is there.
        self._token: bytes | None = None
        self._newest: Claims | None = None
        self._next: _Link | None = None

    def send(self, records: Sequence[Record]) -> None:
        """Sign records and hand them over; those that the newest token holds are there. Raises SendError."""
        if self._next is None:
            self._next = self._look()
        if self._token is not None:
            self._deliver()
        for part in parts(dropwhile(self._has, records)):
            self._sign(part)
            self._deliver()

    def close(self) -> None:
        """Give back what is held."""
        self._target.close()

    def _has(self, record: Record) -> bool:
        return self._newest is not None and self._newest.hold(record)

    def _look(self) -> _Link:
        """Find out where the chain goes on, and whether its newest token may be missing there."""
        try:
            kept = self._path.read_bytes() if self._path.exists() else None
        except OSError as error:
            raise told(error, self._path) from error
        claims = None if kept is None else self._opened(kept)
        there = self._target.newest()
        if there is not None:
            last = self._opened(there)
            if last is None or last.sub != self._place.name:
                whose = "another key" if last is None else f"the output {last.sub}"
                raise RefusedError(f"{self._place.settings.path} ends with a token of {whose}; {_MOVE}")
            if claims is None or last.chain != claims.chain or last.seq >= claims.seq:
                kept, claims = there, last
            elif last.seq < claims.seq - 1:
                log.warning("output %s: tokens are missing at the end of its file", self._place.name)
        self._newest = claims
        self._token = None if claims is None or kept == there else kept
        if claims is None or kept is None:
            return _Link(secrets.token_urlsafe(9), 1, None)
        return _Link(claims.chain, claims.seq + 1, digest_of(kept))

    def _opened(self, token: bytes) -> Claims | None:
        try:
            return self._key.open(token)
        except WrongTokenError as error:
            log.warning("output %s: a token cannot be gone on from: %s", self._place.name, error)
            return None

    def _sign(self, records: Sequence[Record]) -> None:
        """Make the next token, and keep it. Raises SendError."""
        now = (self._place.clock or system_clock(trusted=False, state=self._place.state)).now()
        if now.quality == "unset":
            raise SendError("the clock is not set yet: what is signed waits for it")
        assert self._next is not None  # noqa: S101 — send has looked
        house = self._key.thumbprint
        place = Claims(
            iss=house, sub=self._place.name, iat=now.wall // 1000, clock=now.quality, **self._next._asdict()
        )
        claims = with_records(place, records)
        token = self._key.sign(claims)
        try:
            state_files.write(self._path, token)
        except OSError as error:
            raise told(error, self._path) from error
        self._token, self._newest = token, claims
        self._next = _Link(claims.chain, claims.seq + 1, digest_of(token))

    def _deliver(self) -> None:
        """Hand the newest token over. Raises SendError; then it is handed over again."""
        assert self._token is not None  # noqa: S101 — there is one to hand over
        assert self._newest is not None  # noqa: S101 — what it says
        try:
            self._target.put(self._token, self._newest)
        except TooLargeError:
            # It was not taken for sure, and a smaller one has to take its place.
            self._next = _Link(self._newest.chain, self._newest.seq, self._newest.prev)
            self._token = self._newest = None
            raise
        except SendError:
            # A part of it may be there: that is looked at before it is sent again.
            self._next = None
            raise
        self._token = None


def parts(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Cut records so that what is void comes first: in a token all else counts after it."""
    part: list[Record] = []
    for record in records:
        if isinstance(record, Removed) and part and not isinstance(part[-1], Removed):
            yield part
            part = []
        part.append(record)
    if part:
        yield part
