"""Registers to numbers and texts: the types of a profile. Pure."""

import math
import struct
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType

SIZES: Mapping[str, int] = MappingProxyType(
    {"u16": 1, "i16": 1, "u32": 2, "i32": 2, "u64": 4, "i64": 4, "f32": 2, "str": 0}
)
"""Registers of each type; a str has its own count."""
_FORMATS: Mapping[str, str] = MappingProxyType(
    {"u16": ">H", "i16": ">h", "u32": ">I", "i32": ">i", "u64": ">Q", "i64": ">q", "f32": ">f"}
)
# A float32 carries no more digits than these; beyond them decimals are invented by the conversion.
_F32_DIGITS = 7


def number(kind: str, words: tuple[int, ...], *, little: bool) -> Decimal | None:
    """The number in `words`, None for NaN and infinity; `little`: the low word comes first."""
    ordered = words[::-1] if little else words
    (value,) = struct.unpack(_FORMATS[kind], struct.pack(f">{len(ordered)}H", *ordered))
    if isinstance(value, int):
        return Decimal(value)
    return Decimal(f"{value:.{_F32_DIGITS}g}") if math.isfinite(value) else None


def text(words: tuple[int, ...]) -> str | None:
    """The ASCII in `words` up to the first NUL, None if there is none or it is no text."""
    raw = struct.pack(f">{len(words)}H", *words).split(b"\0")[0].strip()
    if not raw or not raw.isascii():
        return None
    found = raw.decode("ascii")
    return found if found.isprintable() else None


def not_available(kind: str, convention: str) -> list[int]:
    """Return the raw numbers that mean `not available` in a maker's convention.

    `highest`: unsigned all ones and signed the highest; `lowest`: signed the lowest.
    """
    if convention == "none" or kind in ("f32", "str"):
        return []
    bits = SIZES[kind] * 16
    if kind.startswith("u"):
        return [2**bits - 1]
    return [2 ** (bits - 1) - 1 if convention == "highest" else -(2 ** (bits - 1))]


def rounded(value: Decimal, precision: int) -> float:
    """The value with `precision` decimals, without the noise of binary fractions; no negative zero."""
    short = value.quantize(Decimal(1).scaleb(-precision))
    return int(short) if precision <= 0 else float(short) + 0.0
