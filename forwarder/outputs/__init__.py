"""What an output is to the forwarder, and the table of their kinds; each is loaded when it is used."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

from bus.clock import Clock
from config.model import Output
from forwarder.records import Record


class SendError(Exception):
    """Nothing was taken, as far as we know: the same records are to be sent again. The text is a sentence.

    `after` is how many seconds the other side asks to wait, if it does.
    """

    def __init__(self, text: str, *, after: float | None = None) -> None:
        super().__init__(text)
        self.after = after


class RefusedError(SendError):
    """The other side will refuse it again, until a person does something: the sentence says what."""


class TooLargeError(SendError):
    """The other side takes fewer records, or bytes, at once."""


@dataclass(frozen=True, slots=True)
class Place:
    """What an output works with: its id, its settings, and a folder of its own that outlives a restart.

    `clock` is that of the house (None: this machine's), `home` the forwarder's own state folder, for what all
    outputs share (None: `state`).
    """

    name: str
    settings: Output
    state: Path
    clock: Clock | None = None
    home: Path | None = None


class Sink(Protocol):
    """Where one output sends to; all methods run in the output's own thread, and may wait."""

    def send(self, records: Sequence[Record]) -> None:
        """Send records, the oldest first; all are safe with the other side when it returns.

        Raises SendError. Records may come a second time, after an error or a restart; their keys tell.
        """

    def close(self) -> None:
        """Give back what is held."""


# The module and the class of each kind.
_KINDS = {
    "stdout": ("forwarder.outputs.stdout", "StdoutSink"),
    "file": ("forwarder.outputs.file", "FileSink"),
    "webhook": ("forwarder.outputs.webhook", "WebhookSink"),
    "gcloud": ("forwarder.outputs.gcloud", "PubSubSink"),
    "signed": ("forwarder.outputs.signed", "SignedSink"),
    "mqtt": ("forwarder.outputs.mqtt", "MqttSink"),
    "influx": ("forwarder.outputs.influx", "InfluxSink"),
    "prometheus": ("forwarder.outputs.prometheus", "PrometheusSink"),
}


def open_sink(place: Place) -> Sink:
    """Load the kind of an output and open it. Raises SendError where it cannot be used."""
    module, name = _KINDS[place.settings.kind]
    try:
        kind = getattr(import_module(module), name)
    except ImportError as error:
        raise RefusedError(
            f"{error.name} is not installed; next: sudo boondock install; without an installed house"
            f" .venv/bin/python -m pip install --require-hashes -r requirements-{place.settings.kind}.lock"
        ) from error
    sink: Sink = kind(place)
    return sink
