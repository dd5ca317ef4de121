"""Records to a web server: one request a batch, or one a record where a template says how one looks."""

import hashlib
import hmac
import time
from collections.abc import Callable, Iterator, Sequence

import msgspec

from forwarder.outputs import Place
from forwarder.outputs.http import Http
from forwarder.records import Record
from forwarder.shapes import is_template, is_void, media_type, text_of

SIGNATURE = "X-Boondock-Signature"
_JSON = "application/json"


class WebhookSink:
    """Posts records, in order; what was taken before an error is not sent again while this runs."""

    def __init__(self, place: Place, now: Callable[[], float] = time.time) -> None:
        self._place, self._now = place, now
        self._http = Http(place.settings)
        # Of the batch under way what was taken, by idempotency key.
        self._taken: set[str] = set()

    def send(self, records: Sequence[Record]) -> None:
        """Send records. Raises SendError."""
        groups = {idempotency_key(group): group for group in self._groups(records)}
        self._taken &= groups.keys()
        for key, group in groups.items():
            if key not in self._taken:
                self._post(key, group)
                self._taken.add(key)

    def close(self) -> None:
        """End the connection."""
        self._http.close()

    def _groups(self, records: Sequence[Record]) -> Iterator[Sequence[Record]]:
        """Say which records go into one request."""
        settings = self._place.settings
        if not is_template(settings) and (settings.template is None or settings.format is not None):
            yield records
            return
        # Who writes a text of his own has no place in it for what is void, unless he names it.
        with_void = "{removed}" in (settings.template or "")
        yield from ([record] for record in records if with_void or not is_void(record))

    def _post(self, key: str, records: Sequence[Record]) -> None:
        settings = self._place.settings
        if settings.template is None and settings.format is None:
            whole = {"output": self._place.name, "records": [record.body() for record in records]}
            body, media = msgspec.json.encode(whole), _JSON
        elif is_template(settings) or settings.format is None:
            body = text_of(records, settings).removesuffix(b"\n")
            media = media_type(settings) if is_template(settings) else _JSON
        else:
            body, media = text_of(records, settings), media_type(settings)
        headers = {"Content-Type": media, "Idempotency-Key": key}
        if settings.sign is not None:
            headers[SIGNATURE] = signature(settings.sign, body, int(self._now()))
        self._http.send(body, headers, method=settings.method or "POST")


def idempotency_key(records: Sequence[Record]) -> str:
    """Return what is the same for the same records, and another if one of them was corrected."""
    said = [(record.key, record.body()) for record in records]
    return hashlib.sha256(msgspec.json.encode(said)).hexdigest()


def signature(secret: str, body: bytes, at_s: int) -> str:
    """Sign a body sent at `at_s`, Unix seconds: HMAC-SHA256 of the time, a point and the body."""
    made = hmac.new(secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={made}"
