"""What speaks by itself on a serial port that no collector has: a VE.Direct cable."""

from dataclasses import dataclass

from collector.devices.description import BadRecordError, DecodeError, LineError, NoAnswerError
from collector.devices.victron.vedirect import decode
from collector.transports.vedirect import VeDirect

# A whole block after the first checksum: a device sends one each second.
PATIENCE_S = 4.0


@dataclass(frozen=True, slots=True)
class Speaker:
    """The kind and model of what speaks, or why neither is known; `is_open`: the port could be opened."""

    kind: str | None
    model: str | None
    note: str | None
    is_open: bool = True


def listen(port: str, *, patience: float = PATIENCE_S) -> Speaker:
    """Listen at 19200 bit/s for `patience` seconds at most; nothing is sent."""
    cable = VeDirect(port, patience=patience)
    try:
        cable.open()
    except LineError as error:
        return Speaker(None, None, str(error), is_open=False)
    try:
        fields = _fields(cable)
    except NoAnswerError:
        return Speaker(None, None, "says nothing by itself")
    except BadRecordError:
        return Speaker(None, None, "speaks, but not VE.Direct at 19200 bit/s")
    except LineError as error:
        return Speaker(None, None, str(error), is_open=False)
    finally:
        cable.close()
    try:
        return Speaker("vedirect", decode(fields).model, None)
    except DecodeError as error:
        return Speaker("vedirect", None, str(error))


def _fields(cable: VeDirect) -> dict[str, str]:
    """What a device says of itself: a battery monitor has two blocks, its product id is in one."""
    fields: dict[str, str] = {}
    for _ in range(2):
        for block in cable.blocks():
            fields |= block
        if "PID" in fields:
            break
    return fields
