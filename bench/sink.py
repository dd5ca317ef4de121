"""paho receiving and doing nothing: `python -m bench.sink <port> <messages>`; says `ready`, then `done`."""

import socket
import sys

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bench.traffic import TOPICS
from bus.topics import Verb
from statistician.ingest import BATCH


def main(port: int, messages: int) -> None:
    """Count to `messages`."""
    seen = 0

    def on_message(_client: mqtt.Client, _userdata: object, _message: mqtt.MQTTMessage) -> None:
        nonlocal seen
        seen += 1
        if seen == messages:
            print("done", flush=True)

    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.on_message = on_message
    client.on_subscribe = lambda *_: print("ready", flush=True)
    # The same window as the statistician's.
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho left it untyped
    properties.ReceiveMaximum = 2 * BATCH
    client.connect("127.0.0.1", port, properties=properties)
    sock = client.socket()
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.subscribe(TOPICS.every(Verb.STATE, levels=1), 1)
    client.loop_forever()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
