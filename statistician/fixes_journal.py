"""Fixes as clients are told of them: whatever was asked, the answer and the entry fit into a page."""

import msgspec
from msgspec import Raw

from bus.messages import to_iso
from statistician.arithmetic.live import Entities
from statistician.fixes_ground import names
from statistician.fixes_params import Journalled, Summary
from statistician.store_fixes import Entry

# Bytes of params that are listed as they are, and how many entities are named.
SHORT = 2048
NAMED = 100


def listed(entry: Entry, entities: Entities) -> Journalled:
    """An entry as clients see it; its params are shortened, but not what undo reads."""
    known = names(entry.entities, entities)
    return Journalled(
        id=entry.id,
        ts=to_iso(entry.ts),
        verb=entry.verb,
        entities=tuple(known[:NAMED]),
        more_entities=max(0, len(known) - NAMED),
        params=_shortened(entry.params),
        undone=None if entry.undone is None else to_iso(entry.undone),
    )


def told(summary: Summary) -> Summary:
    """What a fix answers: what was done must not be called refused because its answer is too large."""
    known = summary.entities
    return msgspec.structs.replace(summary, entities=known[:NAMED], more_entities=max(0, len(known) - NAMED))


def _shortened(params: bytes) -> Raw:
    """Params of more than SHORT bytes with `{"length": n}` for each list: all else in them is short."""
    if len(params) <= SHORT:
        return Raw(params)
    fields = msgspec.json.decode(params, type=dict[str, Raw])
    return Raw(msgspec.json.encode({name: _short(value) for name, value in fields.items()}))


def _short(value: Raw) -> Raw | dict[str, int]:
    if bytes(memoryview(value)[:1]) != b"[":
        return value
    return {"length": len(msgspec.json.decode(value, type=list[Raw]))}
