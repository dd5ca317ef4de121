"""What is published and nobody listens to: told to whoever published it, unless it is retained."""

import queue

from bus.connection import Connection
from bus.events import Connected, Link, MqttEvent, Unheard
from tests.broker import Mosquitto
from tests.client import Client


def test_it_is_told_when_nobody_listens_and_not_of_what_is_retained(broker: Mosquitto) -> None:
    events: queue.SimpleQueue[MqttEvent] = queue.SimpleQueue()
    link = Link(host="127.0.0.1", port=broker.port, client_id="tester")
    connection = Connection(link, birth_topic=None, subscriptions=[], emit=events.put)
    connection.start()
    listener = Client(broker.port, "camper/response/me")
    try:
        assert isinstance(events.get(timeout=20), Connected)
        connection.publish("camper/response/me", b"1")
        connection.publish("camper/state/kept", b"2", retain=True)
        connection.publish("camper/response/nobody", b"3")
        assert events.get(timeout=20) == Unheard("camper/response/nobody")
        listener.close()
        connection.publish("camper/response/me", b"4")
        assert events.get(timeout=20) == Unheard("camper/response/me")
    finally:
        connection.stop()
