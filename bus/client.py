"""paho's client, made quicker: it reads all that has come at once. Only bus/connection.py uses it."""

import logging
import time
from collections.abc import Callable

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.exception import MalformedPacket

from bus.events import Link
from bus.packets import PUBACK, PUBLISH, Cutter, MalformedError, Publication, acknowledgements, publication
from bus.reasons import trust

log = logging.getLogger(__name__)

# Bytes that are read at once, and the bits of a packet's first byte that say what it is.
_READ = 65536
_KIND = 0xF0


class Client(mqtt.Client):
    """paho's client, which reads all that has come at once, and hands publications on by itself.

    paho reads a packet byte by byte, with a system call each. All packets but PUBLISH are for its handlers.
    """

    def __init__(self, link: Link, take: Callable[[Publication], None]) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2, client_id=link.client_id, protocol=mqtt.MQTTv5, manual_ack=True
        )
        self._take = take
        self._cutter = Cutter()
        self._cut: object = None
        self._tls_ca = link.tls_ca
        self.failure: Exception = OSError("never tried")

    def reconnect(self) -> MQTTErrorCode:
        """Connect, and remember in `failure` why it failed. Raises OSError, after which paho tries again."""
        try:
            if self._tls_ca is not None:
                # Each time: the file may have come late, or be renewed.
                self._ssl, self._ssl_context = True, trust(self._tls_ca)
            return super().reconnect()
        except (OSError, ValueError) as error:
            self.failure = error
            # Of another error paho's thread would die.
            raise OSError(str(error)) from error

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Take what has come; of TLS one record, of which paho's loop asks for the next."""
        del max_packets
        if self._sock is not self._cut:
            self._cutter, self._cut = Cutter(), self._sock
        try:
            data = self._sock_recv(_READ)
        except BlockingIOError:
            return mqtt.MQTT_ERR_SUCCESS
        except OSError as error:
            log.debug("nothing can be read: %s", error)
            data = b""
        if not data:
            return self._loop_rc_handle(mqtt.MQTT_ERR_CONN_LOST)
        with self._msgtime_mutex:
            self._last_bytes_received = time.monotonic()
        try:
            for first, body in self._cutter.cut(data):
                reason = self._packet(first, body)
                if reason != mqtt.MQTT_ERR_SUCCESS:
                    return self._loop_rc_handle(reason)
        except (MalformedError, MalformedPacket) as error:
            log.warning("the broker sends what is no MQTT 5: %s", error)
            return self._loop_rc_handle(mqtt.MQTT_ERR_PROTOCOL)
        return mqtt.MQTT_ERR_SUCCESS

    def _packet(self, first: int, body: bytes) -> MQTTErrorCode:
        if first & _KIND == PUBLISH:
            self._take(publication(first, body))
            return mqtt.MQTT_ERR_SUCCESS
        self._in_packet |= {"command": first, "remaining_length": len(body), "packet": bytearray(body)}
        self._in_packet["pos"] = 0
        return self._packet_handle()

    def rename(self, client_id: str) -> None:
        """Be this client from the next connection on."""
        self._client_id = client_id.encode()

    def acknowledge(self, mids: list[int]) -> None:
        """Send a PUBACK for each packet id in one write; from any thread."""
        self._packet_queue(PUBACK, acknowledgements(mids), 0, 0)
