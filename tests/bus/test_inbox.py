"""What waits for a process is bounded, and a flood takes nobody else's place."""

from queue import Empty

import pytest

from bus.events import Message
from bus.inbox import OF_ONE, RATE, RATE_OF_ONE, REQUESTS, UNACKNOWLEDGED, Inbox

HEAD = "camper/request/teller/"


def request(number: int, asker: str | None) -> Message:
    return Message(f"{HEAD}info", b"%d" % number, 0, retain=False, mid=0, generation=1, response_topic=asker)


def message(payload: bytes, qos: int) -> Message:
    return Message("camper/state/x", payload, qos, retain=False, mid=1, generation=1)


def all_of(inbox: Inbox) -> list[object]:
    found = []
    while len(inbox):
        found.append(inbox.get())
    with pytest.raises(Empty):
        inbox.get()
    return found


def test_who_floods_with_requests_loses_only_his_own() -> None:
    inbox = Inbox(HEAD, lambda: 0.0)
    floods = [request(number, "camper/response/flood") for number in range(10_000)]
    for one in floods:
        inbox.put(one)
    mine = request(1, "camper/response/me")
    inbox.put(mine)
    inbox.put(request(2, None))
    assert all_of(inbox) == [*floods[:OF_ONE], mine, request(2, None)]
    assert inbox.requests_dropped == 10_000 - OF_ONE
    inbox.put(floods[-1])
    assert all_of(inbox) == [floods[-1]], "once they are taken there is room again"


def test_many_names_are_no_way_round_it() -> None:
    inbox = Inbox(HEAD, lambda: 0.0)
    for number in range(10_000):
        inbox.put(request(number, f"camper/response/{number}"))
    assert len(all_of(inbox)) == REQUESTS
    assert inbox.requests_dropped == 10_000 - REQUESTS


def test_who_asks_too_often_is_dropped_before_it_costs_time() -> None:
    now = 0.0
    inbox = Inbox(HEAD, lambda: now)
    taken = 0
    for turn in range(10_000):
        now = turn / 5_000
        inbox.put(request(turn, "camper/response/flood"))
        taken += len(all_of(inbox))
    assert taken == pytest.approx(RATE_OF_ONE + 2 * RATE_OF_ONE, abs=2)
    inbox.put(request(1, "camper/response/me"))
    assert len(all_of(inbox)) == 1, "nobody else is slower for it"


def test_many_names_have_one_rate_together() -> None:
    inbox = Inbox(HEAD, lambda: 0.0)
    taken = 0
    for turn in range(10 * RATE):
        inbox.put(request(turn, f"camper/response/{turn}"))
        taken += len(all_of(inbox))
    assert taken == RATE


def test_a_flood_of_requests_keeps_neither_readings_nor_orders_out() -> None:
    inbox = Inbox(HEAD, lambda: 0.0)
    for number in range(1000):
        inbox.put(request(number, f"camper/response/{number % 20}"))
    others = [message(b"{}", 0), message(b"{}", 1), "stop"]
    for one in others:
        inbox.put(one)
    assert all_of(inbox)[-3:] == others
    assert inbox.messages_dropped == 0


@pytest.mark.parametrize("size", [0, 1, 65_000])
def test_messages_that_nobody_acknowledges_are_bounded_by_their_bytes(size: int) -> None:
    inbox = Inbox(HEAD, lambda: 0.0)
    count = 2 * UNACKNOWLEDGED // (size + 400)
    for _ in range(count):
        inbox.put(message(bytes(size), 0))
    assert 0 < inbox.messages_dropped < count
    held = all_of(inbox)
    assert len(held) + inbox.messages_dropped == count
    assert len(held) * size <= UNACKNOWLEDGED + size
    inbox.put(message(bytes(size), 0))
    assert len(all_of(inbox)) == 1, "once they are taken there is room again"


def test_what_is_acknowledged_is_never_dropped() -> None:
    inbox = Inbox(HEAD, lambda: 0.0)
    for _ in range(200):
        inbox.put(message(bytes(65_000), 0))
        inbox.put(message(b"{}", 1))
    assert sum(isinstance(one, Message) and one.qos == 1 for one in all_of(inbox)) == 200
