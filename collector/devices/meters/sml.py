"""The SML files of an optical meter: BSI TR-03109-1, Annex IV, SML 1.04.

A file is messages; a message is a list of six, whose fourth is the number of its body and the body. Values
stand in SML_GetList.Res: OBIS code, status, time, unit, power of ten, value, signature.
"""

from collector.devices.description import BadRecordError, Decoded, ImplausibleError
from collector.devices.lines import Telegram
from collector.devices.meters.makers import maker
from collector.devices.meters.obis import CODES, Said
from collector.devices.rows import SERIAL_NUMBER

Element = bytes | bool | int | list["Element"] | None

_OCTETS, _BOOLEAN, _SIGNED, _UNSIGNED, _LIST = 0, 4, 5, 6, 7
_DEEPEST, _MOST = 16, 4096
_MESSAGE, _BODY, _GET_LIST_RES = 6, 3, 0x0701
_LIST_FIELDS, _SERVER, _VALUES = 7, 1, 4
_ENTRY, _UNIT, _SCALER, _VALUE = 7, 3, 4, 5
_CODE_LENGTH = 6
# DLMS units (IEC 62056-62), as the text of other meters writes them.
_UNITS = {27: "W", 28: "VA", 29: "var", 30: "Wh", 33: "A", 35: "V", 44: "Hz"}
_MAKER = ((129, 129, 199, 130, 3), (1, 0, 96, 50, 1))
_SERIALS = ((1, 0, 0, 0, 9), (1, 0, 96, 1, 0))
_TENS = range(-12, 13)
_MOST_NUMBER = 1e15
_ID = 0x0A
_ID_LENGTH = 10


class _Reader:
    """Reads elements of SML's coding, one behind the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._left = _MOST

    @property
    def at_end(self) -> bool:
        """Whether only fill bytes are left."""
        return not self._data[self._at :].strip(b"\0")

    def element(self, depth: int = 0) -> Element:
        """Return the next element. Raises BadRecordError."""
        self._left -= 1
        if depth > _DEEPEST or self._left < 0:
            raise BadRecordError("the SML file is nested too deeply, or has too many elements")
        kind, length, head = self._head()
        if kind == _LIST:
            return [self.element(depth + 1) for _ in range(min(length, _MOST))]
        if length == 0 and head == 1:
            return None
        data = self._take(length - head)
        if kind == _OCTETS:
            return data
        if kind == _BOOLEAN and data:
            return any(data)
        if kind in (_SIGNED, _UNSIGNED) and 0 < len(data) <= 8:
            return int.from_bytes(data, "big", signed=kind == _SIGNED)
        raise BadRecordError(f"the SML file has an element of type {kind} and {len(data)} bytes")

    def _head(self) -> tuple[int, int, int]:
        """Return type, length and how many bytes said so; the length of all but lists includes these."""
        first = self._take(1)[0]
        kind, length, head, more = first >> 4 & 7, first & 0x0F, 1, first & 0x80
        while more:
            byte = self._take(1)[0]
            length, head, more = length << 4 | byte & 0x0F, head + 1, byte & 0x80
            if head > 4:
                raise BadRecordError("the SML file has an element without an end")
        return kind, length, head

    def _take(self, count: int) -> bytes:
        data = self._data[self._at : self._at + count] if count >= 0 else b""
        if len(data) != count:
            raise BadRecordError("the SML file ends in the middle")
        self._at += count
        return data


def decode(telegram: Telegram) -> Decoded:
    """Read an SML file. Raises DecodeError."""
    reader, said, made = _Reader(telegram.data), Said(), None
    while not reader.at_end:
        message = reader.element()
        body = message[_BODY] if isinstance(message, list) and len(message) == _MESSAGE else None
        if not (isinstance(body, list) and len(body) == 2 and body[0] == _GET_LIST_RES):
            continue
        answer = body[1]
        entries = answer[_VALUES] if isinstance(answer, list) and len(answer) == _LIST_FIELDS else None
        for entry in entries if isinstance(entries, list) else []:
            made = _read(entry, said) or made
        if isinstance(answer, list) and len(answer) == _LIST_FIELDS:
            said.texts.setdefault(SERIAL_NUMBER, _id(answer[_SERVER]) or "")
    if not said.numbers:
        raise BadRecordError("the SML file has none of the values that are known")
    said.texts = {key: text for key, text in said.texts.items() if text.strip("0")}
    return Decoded(said.values(), manufacturer=made, unknown=tuple(said.unknown))


def _read(entry: Element, said: Said) -> str | None:
    """Take one value; returns the maker if it says that."""
    if not isinstance(entry, list) or len(entry) != _ENTRY:
        raise BadRecordError("the SML file has a value of another form")
    code, unit, scaler, value = entry[0], entry[_UNIT], entry[_SCALER], entry[_VALUE]
    if not isinstance(code, bytes) or len(code) != _CODE_LENGTH:
        return None
    if isinstance(value, bytes):
        if tuple(code[:5]) in _SERIALS:
            said.texts[SERIAL_NUMBER] = _id(value) or ""
        letters = value.decode("ascii", "replace")
        return maker(letters) if tuple(code[:5]) in _MAKER and letters.isalnum() else None
    name = ".".join(map(str, code[2:5]))
    if code[0] != 1 or name not in CODES:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        tens = 0 if scaler is None else scaler
        if not isinstance(tens, int) or tens not in _TENS or abs(value) * 10.0**tens > _MOST_NUMBER:
            raise ImplausibleError(f"implausible: {value} with the power of ten {tens!r} at {name}")
        number = value * 10**tens if tens >= 0 else value / 10**-tens
        said.numbers[name] = float(number), _UNITS.get(unit, "?") if isinstance(unit, int) else "?"
    return None


def _id(value: Element) -> str | None:
    """Return a meter's id as it stands on its plate, DIN 43863-5, if it is one."""
    if not isinstance(value, bytes) or not value:
        return None
    if len(value) == _ID_LENGTH and value[0] == _ID and value[2:5].isalnum():
        letters = str(value[2:5], "ascii")
        return f"{value[1]:X}{letters}{value[5]:02X}{int.from_bytes(value[6:], 'big'):08d}"
    return value.hex().upper()[:64]
