"""What a BMS that nobody is connected to tells of itself on the air; from the matchers of aiobmsble."""

import re
from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Sign:
    """A service, with a name or a company beside it where others have that service too."""

    kind: str
    service: int
    names: re.Pattern[str] | None = None
    companies: frozenset[int] = frozenset()


_SIGNS = (
    _Sign("bms_jbd", 0xFF00),
    _Sign("bms_daly", 0xFFF0, re.compile(r"DL-")),
    _Sign("bms_jk", 0xFFE0, re.compile(r"JK[-_]"), frozenset({0x0B65, 0x4B4A})),
    _Sign("bms_litime", 0xFFE0, None, frozenset({0x585A})),
    _Sign("bms_renogy", 0xFFD0, re.compile(r"BT-TH-|RNGRB")),
    _Sign("bms_topband", 0xFFE0, None, frozenset({0, 0xFFFF})),
)
_BASE = "-0000-1000-8000-00805f9b34fb"


def recognise(name: str | None, services: Collection[str], companies: Collection[int]) -> str | None:
    """Guess the kind of what advertises these services, as whole UUIDs; None if it is no BMS."""
    short = {int(one[:8], 16) for one in services if one.endswith(_BASE)}
    for sign in _SIGNS:
        if sign.service not in short:
            continue
        named = sign.names is not None and sign.names.match(name or "") is not None
        unsure = sign.names is not None or sign.companies
        if named or sign.companies.intersection(companies) or not unsure:
            return sign.kind
    return None
