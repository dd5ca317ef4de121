"""Checks signed tokens one after the other: their signatures, and that none is missing, changed or added."""

from collections import Counter
from dataclasses import dataclass, field

from bus.messages import EARLIEST_MS, LATEST_MS, Value, from_iso
from forwarder.tokens import Claims, Key, WrongTokenError, digest_of


@dataclass(slots=True)
class Contents:
    """What good tokens hold: how many of each kind, of which entities, from when to when (ms)."""

    counts: Counter[str] = field(default_factory=Counter)
    entities: set[str] = field(default_factory=set)
    start: int = LATEST_MS
    end: int = EARLIEST_MS

    def add(self, claims: Claims) -> None:
        """Count the records of a token. Raises ValueError for a time that is none."""
        for at, values in claims.readings.items():
            self.counts["reading"] += len(values)
            self.entities.update(values)
            self._see(at)
        for row in claims.rows:
            self.counts[str(row.get("period"))] += 1
            self._add(row)
        for one in claims.removed:
            self.counts["removed"] += 1
            self._add(one)

    def _add(self, record: dict[str, Value | bool]) -> None:
        self.entities.add(str(record.get("entity")))
        self._see(str(record.get("start")))

    def _see(self, at: str) -> None:
        moment = from_iso(at)
        self.start, self.end = min(self.start, moment), max(self.end, moment)


class Check:
    """Checks a chain from its first token on; with `part` it may begin with any."""

    def __init__(self, key: Key, *, part: bool = False) -> None:
        self._key = key
        self._part = part
        self._last: Claims | None = None
        self.contents = Contents()
        # Of the first and the last token, and the digest of the last.
        self.first = self.last = 0
        self.digest: str | None = None

    def repeats(self, token: bytes) -> bool:
        """Whether a token is the last one once more, letter by letter."""
        return self.digest is not None and digest_of(token) == self.digest

    def take(self, token: bytes) -> Claims:
        """Check the next token, and count what it holds. Raises WrongTokenError."""
        claims = self._key.open(token)
        self._check_place(claims)
        try:
            self.contents.add(claims)
        except ValueError as error:
            raise WrongTokenError(f"its signature is good, but a time in it is none: {error}") from error
        self.first = self.first or claims.seq
        self._last, self.last, self.digest = claims, claims.seq, digest_of(token)
        return claims

    def _check_place(self, claims: Claims) -> None:
        last, seq = self._last, claims.seq
        if last is None:
            if seq != 1 and not self._part:
                raise WrongTokenError(f"it is token {seq}: {_tokens(1, seq - 1)} missing before it")
            return
        if (claims.chain, claims.sub) != (last.chain, last.sub):
            raise WrongTokenError(f"it is of another chain, {claims.chain} of the output {claims.sub}")
        if seq > last.seq + 1:
            raise WrongTokenError(f"it is token {seq}: {_tokens(last.seq + 1, seq - 1)} missing before it")
        if seq <= last.seq:
            raise WrongTokenError(
                f"it is token {seq}, after token {last.seq}: it was added, or stands elsewhere than it did"
            )
        if claims.prev != self.digest:
            raise WrongTokenError(
                f"it is token {seq}, but not the one that follows: the key signed two tokens {last.seq}"
            )


def _tokens(first: int, last: int) -> str:
    return f"token {first} is" if first == last else f"tokens {first} to {last} are"
