"""What waits for a process is bounded, and a flood takes nobody else's place."""

from queue import Empty

import pytest

from bus.events import Message
from bus.inbox import (
    CROWD,
    OF_ONE,
    OTHERS_RATE,
    OTHERS_RATE_OF_ONE,
    RATE,
    RATE_OF_ONE,
    REQUESTS,
    UNACKNOWLEDGED,
    Inbox,
)

HEAD = "camper/request/teller/"
SET = "camper/set/"


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
    inbox = Inbox(HEAD, SET, lambda: 0.0)
    floods = [request(number, "camper/response/flood") for number in range(10_000)]
    for one in floods:
        inbox.put(one)
    mine = request(1, "camper/response/me")
    inbox.put(mine)
    inbox.put(request(2, None))
    assert all_of(inbox) == [*floods[:OF_ONE], mine, request(2, None)]
    assert inbox.dropped["dropped_requests"] == 10_000 - OF_ONE
    inbox.put(floods[-1])
    assert all_of(inbox) == [floods[-1]], "once they are taken there is room again"


def test_many_names_are_no_way_round_it() -> None:
    inbox = Inbox(HEAD, SET, lambda: 0.0)
    for number in range(10_000):
        inbox.put(request(number, f"camper/response/{number}"))
    assert len(all_of(inbox)) == REQUESTS
    assert inbox.dropped["dropped_requests"] == 10_000 - REQUESTS


def test_who_asks_too_often_is_dropped_before_it_costs_time() -> None:
    now = 0.0
    inbox = Inbox(HEAD, SET, lambda: now)
    taken = 0
    for turn in range(10_000):
        now = turn / 5_000
        inbox.put(request(turn, "camper/response/flood"))
        taken += len(all_of(inbox))
    assert taken == pytest.approx(RATE_OF_ONE + 2 * RATE_OF_ONE, abs=2)
    inbox.put(request(1, "camper/response/me"))
    assert len(all_of(inbox)) == 1, "nobody else is slower for it"


def test_many_names_have_one_rate_together() -> None:
    inbox = Inbox(HEAD, SET, lambda: 0.0)
    taken = 0
    for turn in range(10 * RATE):
        inbox.put(request(turn, f"camper/response/{turn}"))
        taken += len(all_of(inbox))
    assert taken == RATE


def test_a_flood_of_requests_keeps_neither_readings_nor_orders_out() -> None:
    inbox = Inbox(HEAD, SET, lambda: 0.0)
    for number in range(1000):
        inbox.put(request(number, f"camper/response/{number % 20}"))
    others = [message(b"{}", 0), message(b"{}", 1), "stop"]
    for one in others:
        inbox.put(one)
    assert all_of(inbox)[-3:] == others
    assert inbox.dropped_messages == 0


@pytest.mark.parametrize("size", [0, 1, 65_000])
def test_messages_that_nobody_acknowledges_are_bounded_by_their_bytes(size: int) -> None:
    inbox = Inbox(HEAD, SET, lambda: 0.0)
    count = 2 * UNACKNOWLEDGED // (size + 400)
    for _ in range(count):
        inbox.put(message(bytes(size), 0))
    assert 0 < inbox.dropped_messages < count
    held = all_of(inbox)
    assert len(held) + inbox.dropped_messages == count
    assert len(held) * size <= UNACKNOWLEDGED + size
    inbox.put(message(bytes(size), 0))
    assert len(all_of(inbox)) == 1, "once they are taken there is room again"


def test_what_is_acknowledged_is_never_dropped() -> None:
    inbox = Inbox(HEAD, SET, lambda: 0.0)
    for _ in range(200):
        inbox.put(message(bytes(65_000), 0))
        inbox.put(message(b"{}", 1))
    assert sum(isinstance(one, Message) and one.qos == 1 for one in all_of(inbox)) == 200


def command(target: str, number: int, asker: str | None = None, qos: int = 1) -> Message:
    return Message(
        f"{SET}{target}", b"%d" % number, qos, retain=False, mid=number, generation=1, response_topic=asker
    )


def of_relay(topic: str) -> bool:
    return topic in {f"{SET}relay/pump", f"{SET}relay/fan"}


@pytest.mark.parametrize(
    "crowd", [message(b"{}", 0), command("nobody/x", 1), request(1, "camper/response/x"), "tick"]
)
def test_in_a_crowd_commands_for_our_outputs_go_first_in_their_order(crowd: object) -> None:
    inbox = Inbox(HEAD, SET, lambda: 0.0)
    inbox.ours = of_relay
    others = [message(b"{}", 1) for _ in range(CROWD)]
    for one in (*others, crowd):
        inbox.put(one)
    ours = [command("relay/pump", 1), command("relay/fan", 2), command("relay/pump", 3)]
    for one in ours:
        inbox.put(one)
    assert all_of(inbox) == [*ours, *others, crowd]
    assert set(inbox.dropped.values()) == {0}


def test_without_a_crowd_a_command_waits_for_the_state_that_it_was_sent_after() -> None:
    inbox = Inbox(HEAD, SET, lambda: 0.0)
    inbox.ours = of_relay
    events = [message(b"{}", 1), command("relay/pump", 1), message(b"{}", 1), command("relay/pump", 2)]
    for one in events:
        inbox.put(one)
    assert all_of(inbox) == events


def test_of_the_commands_for_one_output_the_newest_count_and_another_output_loses_none() -> None:
    inbox = Inbox(HEAD, SET, lambda: 0.0)
    inbox.ours = of_relay
    fan = command("relay/fan", 0)
    inbox.put(fan)
    floods = [command("relay/pump", number) for number in range(1000)]
    dropped = [inbox.put(one) for one in floods]
    assert all_of(inbox) == [fan, *floods[-OF_ONE:]]
    assert [one for one in dropped if one is not None] == floods[:-OF_ONE], "they are acknowledged"
    assert inbox.dropped["dropped_commands"] == 1000 - OF_ONE


@pytest.mark.parametrize("names", [1, 10_000])
def test_a_flood_of_commands_for_others_is_bounded(names: int) -> None:
    inbox = Inbox(HEAD, SET, lambda: 0.0)
    inbox.ours = of_relay
    dropped = [inbox.put(command("x/y", n, f"camper/response/{n % names}")) for n in range(10_000)]
    mine = command("relay/pump", 1)
    inbox.put(mine)
    kept = RATE_OF_ONE if names == 1 else RATE
    assert sum(one is not None for one in dropped) == inbox.dropped["dropped_commands"] == 10_000 - kept
    found = all_of(inbox)
    assert (found[0], len(found)) == (mine, kept + 1)


@pytest.mark.parametrize(
    ("names", "rate", "burst"), [(1, OTHERS_RATE_OF_ONE, RATE_OF_ONE), (10**6, OTHERS_RATE, RATE)]
)
def test_a_flood_of_commands_for_others_that_lasts_gets_few_answers(
    names: int, rate: int, burst: int
) -> None:
    now = 0.0
    inbox = Inbox(HEAD, SET, lambda: now)
    taken = 0
    for turn in range(50_000):
        now = turn / 5_000
        inbox.put(command("x/y", turn, f"camper/response/{turn % names}"))
        taken += len(all_of(inbox))
    assert taken == pytest.approx(burst + 10 * rate, abs=2)


def test_a_house_full_of_outputs_may_be_switched_at_once() -> None:
    inbox = Inbox(HEAD, SET, lambda: 0.0)
    events = [command(f"device{number}/load", number) for number in range(RATE_OF_ONE)]
    for one in events:
        inbox.put(one)
    assert all_of(inbox) == events
