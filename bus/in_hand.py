"""Which messages a process has in hand, marked in a file in memory: one that ends it twice is set aside.

At the next start the marks tell what was in hand at the death. If a message was being handled just then, it
alone is suspected; else all that were not on disk yet. A suspect is handled alone, with nothing else in hand,
so that a second death names one message. It is set aside

- if the process itself failed (an exception, a fatal signal, the watchdog) with it alone in hand, and it was
  in hand at a death before;
- if the process was ended from outside (SIGKILL, also by the kernel for want of memory) twice with it alone
  in hand; not where the same words come again by right, as commands do (`outside` is False).

The second rule is stricter, because a kill says nothing about a message: of two kills in normal traffic, both
would have to hit the few milliseconds in which the very same message is alone. What was handled well is
suspected no more. The file does not survive a restart of the machine.
"""

import faulthandler
import logging
import mmap
import os
import struct
from enum import Enum
from hashlib import blake2b
from pathlib import Path
from typing import IO

from bus.events import Message

log = logging.getLogger(__name__)

_MAGIC = b"INHAND01"
_SIZE = 8
_NONE = bytes(_SIZE)
# Header: magic, the message being handled, whether the process failed by itself, how many are in hand.
_CURRENT, _FAILED, _COUNT, _FIRST = 8, 16, 20, 24
_COUNTER = struct.Struct("<I")
# More are never in hand, nor suspected.
_MOST = 8192
_SUSPECTS = _FIRST + _MOST * _SIZE
_SUSPECT = struct.Struct("<8sB")
_MOST_KEPT = 1024 * 1024
_LENGTH = _SUSPECTS + _MOST * _SUSPECT.size
# How much is known of a suspect: in hand with others, alone in hand, and in hand at two deaths.
_CROWD, _ONCE, _TWICE = 0, 1, 2


class Verdict(Enum):
    """How a message is to be handled."""

    FREE = "as any other"
    ALONE = "with nothing else in hand: it was in hand at a death"
    ASIDE = "not at all: it was in hand at two deaths"


class InHand:
    """The marks of one process in the file `path`; where that cannot be (or None) nothing is marked.

    Without `outside` a death that the process did not cause itself makes no message a suspect.
    """

    def __init__(self, path: Path | None, *, outside: bool = True) -> None:
        self._path = path
        self._map: mmap.mmap | None = None
        self._dump: IO[bytes] | None = None
        self._count = 0
        self._suspects: dict[bytes, int] = {}
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fatal = self._failed_fatally(path.with_suffix(".fatal"))
            self._suspects = _suspects(_read(path), failed=fatal, outside=outside)
            self._map = self._create(path)
        except OSError as error:
            log.warning("%s: what is in hand is not marked: %s", path, error)

    def _failed_fatally(self, path: Path) -> bool:
        """Whether the last process left a dump of its stack; from now on ours goes there."""
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        if text:
            log.error("the process before this one ended by itself:\n%s", text[:4000])
        self._dump = path.open("wb")
        faulthandler.enable(self._dump)
        return bool(text)

    def _create(self, path: Path) -> mmap.mmap:
        part = path.with_name(f"{path.name}.new")
        with part.open("w+b") as file:
            # Room is taken now: a page that a full disk refuses later would end the process.
            os.posix_fallocate(file.fileno(), 0, _LENGTH)
            marks = mmap.mmap(file.fileno(), _LENGTH)
        marks[: len(_MAGIC)] = _MAGIC
        for at, (digest, known) in enumerate(self._suspects.items()):
            _SUSPECT.pack_into(marks, _SUSPECTS + at * _SUSPECT.size, digest, known)
        part.replace(path)
        return marks

    def verdict(self, message: Message) -> Verdict:
        """How to handle a message that came."""
        if not self._suspects:
            return Verdict.FREE
        known = self._suspects.get(digest_of(message))
        if known is None:
            return Verdict.FREE
        return Verdict.ASIDE if known >= _TWICE else Verdict.ALONE

    def begin(self, message: Message) -> None:
        """Mark that a message is being handled; it stays in hand until `clear`."""
        marks = self._map
        if marks is None:
            return
        digest = digest_of(message)
        # Of too many the newest are marked.
        at = _FIRST + self._count % _MOST * _SIZE
        marks[at : at + _SIZE] = digest
        self._count += 1
        _COUNTER.pack_into(marks, _COUNT, self._count)
        marks[_CURRENT:_FAILED] = digest

    def handled(self) -> None:
        """Mark that no message is being handled; it may still be in hand."""
        if self._map is not None:
            self._map[_CURRENT:_FAILED] = _NONE

    def clear(self) -> None:
        """Mark that nothing is in hand: all is on disk, or needs not be."""
        marks = self._map
        if marks is None or not self._count:
            return
        if self._suspects:
            for at in range(_FIRST, _FIRST + min(self._count, _MOST) * _SIZE, _SIZE):
                self._acquit(marks[at : at + _SIZE])
        self._count = 0
        _COUNTER.pack_into(marks, _COUNT, 0)
        marks[_CURRENT:_FAILED] = _NONE

    def _acquit(self, digest: bytes) -> None:
        if self._suspects.get(digest, _TWICE) < _TWICE:
            self.forgive(digest)

    def forgive(self, digest: bytes) -> bool:
        """Suspect a message no more, nor set it aside; whether it was."""
        if digest not in self._suspects:
            return False
        del self._suspects[digest]
        if self._map is not None:
            for at in range(_SUSPECTS, _LENGTH, _SUSPECT.size):
                if self._map[at : at + _SIZE] == digest:
                    _SUSPECT.pack_into(self._map, at, _NONE, 0)
        return True

    def keep(self, line: bytes) -> None:
        """Append a line to the file of what was set aside. Raises OSError."""
        if self._path is None:
            return
        path = self._path.with_suffix(".set_aside")
        if path.exists() and path.stat().st_size > _MOST_KEPT:
            path.replace(path.with_suffix(".set_aside.old"))
        with path.open("ab") as file:
            file.write(line + b"\n")

    def failed(self) -> None:
        """Mark that the process ends because of an error of its own."""
        if self._map is not None:
            self._map[_FAILED] = 1

    def close(self) -> None:
        """Mark a good end: what is still in hand is no suspect."""
        if self._map is not None:
            self._map[_COUNT:_FIRST] = bytes(_COUNTER.size)
            self._map[_CURRENT:_FAILED] = _NONE
            self._map.close()
            self._map = None
        if self._dump is not None:
            faulthandler.enable()
            self._dump.close()
            self._dump = None


def digest_of(message: Message) -> bytes:
    """What a message is known by when it comes again."""
    return blake2b(message.topic.encode() + b"\0" + message.payload, digest_size=_SIZE).digest()


def _read(path: Path) -> bytes:
    content = path.read_bytes() if path.exists() else b""
    return content if len(content) == _LENGTH and content.startswith(_MAGIC) else b""


def _suspects(marks: bytes, *, failed: bool, outside: bool) -> dict[bytes, int]:
    """What is suspected after the death that the marks tell of, or after none."""
    if not marks:
        return {}
    known = {
        digest: level for digest, level in _SUSPECT.iter_unpack(marks[_SUSPECTS:_LENGTH]) if digest != _NONE
    }
    count = min(_COUNTER.unpack_from(marks, _COUNT)[0], _MOST)
    current = marks[_CURRENT:_FAILED]
    held = [marks[at : at + _SIZE] for at in range(_FIRST, _FIRST + count * _SIZE, _SIZE)]
    found = {current} if current != _NONE else set(held)
    failed = failed or bool(marks[_FAILED])
    if not failed and not outside:
        return known
    for digest in found:
        before = known.pop(digest, None)
        # The newest come last: of too many the oldest go.
        known[digest] = _level(before, alone=len(found) == 1, failed=failed)
    return dict(list(known.items())[-_MOST:])


def _level(before: int | None, *, alone: bool, failed: bool) -> int:
    if not alone:
        return _CROWD if before is None else before
    if before is None:
        return _ONCE
    return _TWICE if failed else before + 1
