"""What a Victron advertisement tells without its key: the record type, the model, and so the kind."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from victron_ble.devices.base import MODEL_ID_MAPPING

from collector.devices.victron import BATTERY_SENSE, BATTERY_SENSE_MODELS, READOUT_NAMES

# extra-manufacturer-data-2022-12-14.pdf: prefix 0x10, model id in bytes 2 and 3, record type in byte 4.
_PREFIX = 0x10
_HEADER = 5
# The kind that takes whatever the device turns out to be.
_ANY = "victron"


@dataclass(frozen=True, slots=True)
class Recognised:
    """What it is in Victron's words, its model, and the guessed kind; None where that is not known."""

    what: str
    model: str | None
    kind: str | None


def recognise(data: bytes, kinds: Iterable[str]) -> Recognised:
    """A guess from manufacturer data of company 0x02E1; `kinds` are those there are."""
    if len(data) < _HEADER or data[0] != _PREFIX:
        return Recognised("Victron device without Instant Readout: turn it on in VictronConnect", None, None)
    model_id = int.from_bytes(data[2:4], "little")
    name = READOUT_NAMES.get(data[4])
    if model_id in BATTERY_SENSE_MODELS:
        name = READOUT_NAMES[BATTERY_SENSE]
    what = name or f"record type {data[4]:#04x}, which nobody has described"
    return Recognised(what, MODEL_ID_MAPPING.get(model_id), None if name is None else _kind(name, set(kinds)))


def _kind(name: str, kinds: set[str]) -> str | None:
    words = "_".join(re.findall(r"[a-z0-9]+", name.lower()))
    return next((kind for kind in (f"{_ANY}_{words}", _ANY) if kind in kinds), None)
