"""Who is told what, and when: each rule of a [[notify]] table, without a clock or a network."""

from dataclasses import replace

import pytest

from forwarder.alarms import AGAIN_S, GROUP_S, Letter
from forwarder.worker import LONGEST_S
from tests.forwarder.recipient import ALL, START_MS, Rig


def test_an_alarm_is_told_after_the_time_of_grouping_and_once() -> None:
    rig = Rig()
    rig.say("low", "active")
    assert rig.pass_(GROUP_S - 1) == []
    (letter,) = rig.pass_(7200)
    assert (letter.title, letter.body, letter.mood) == (
        "House battery low",
        "Charge soon (it is 18.5), since 14:05",
        "warning",
    )


@pytest.mark.parametrize(
    ("text", "value", "line"),
    [
        ("shunt.soc < 20 (it is 18.5)", 18.5, "Shunt.soc < 20 (it is 18.5), since 14:05"),
        ("Charge above 50 %.", 5, "Charge above 50 % (it is 5), since 14:05"),
        ("shore.input == OFF", "OFF", "Shore.input == OFF (it is OFF), since 14:05"),
        ("fridge silent for 1800 s", None, "Fridge silent for 1800 s, since 14:05"),
        ("Stop.\n\tNow!\x1b[31m", None, "Stop. Now! [31m, since 14:05"),
        ("", None, "Since 14:05"),
        ("", "a\nb", "(it is a b), since 14:05"),
    ],
)
def test_a_message_says_the_text_and_the_value_in_one_line(
    text: str, value: float | str | None, line: str
) -> None:
    rig = Rig(titles={"low": "House\r\nbattery low"})
    rig.say("low", "active", text=text, value=value)
    (letter,) = rig.pass_(60)
    assert (letter.title, letter.body) == ("House battery low", line)


def test_what_comes_together_is_one_message() -> None:
    rig = Rig()
    rig.say("low", "active")
    rig.pass_(20)
    rig.say("water", "active", value=None)
    (letter,) = rig.pass_(3600)
    assert letter.title == "2 alarms"
    assert letter.body == (
        "House battery low: Charge soon (it is 18.5), since 14:05\nFresh water low: Charge soon, since 14:05"
    )


def test_its_end_is_told_to_who_was_told_of_it() -> None:
    rig = Rig()
    rig.say("low", "active")
    rig.pass_(60)
    rig.say("low", "ok")
    (letter,) = rig.pass_(3600)
    assert (letter.title, letter.body, letter.mood) == (
        "House battery low: over",
        "It ended 14:06; it began 14:05",
        "success",
    )


def test_an_end_is_not_told_without_resolve() -> None:
    rig = Rig(replace(ALL, resolve=False))
    rig.say("low", "active")
    rig.pass_(60)
    rig.say("low", "ok")
    assert rig.pass_(3600) == []
    assert rig.recipient.queue.episodes == []


def test_without_resolve_an_end_is_in_no_message_of_another_alarm() -> None:
    rig = Rig(replace(ALL, resolve=False))
    rig.say("low", "active")
    rig.pass_(60)
    rig.say("water", "active")
    rig.pass_(20)
    rig.say("low", "ok")
    (letter,) = rig.pass_(3600)
    assert letter.title == "Fresh water low"


def test_what_was_over_before_it_was_told_is_one_message() -> None:
    rig = Rig()
    rig.say("low", "active")
    rig.pass_(10)
    rig.say("low", "ok")
    (letter,) = rig.pass_(3600)
    assert (letter.body, letter.mood) == ("Since 14:05; it ended 14:05", "info")


@pytest.mark.parametrize(("alarms", "told"), [(("low",), 1), (("w*",), 0), (("l*", "x"), 1), (("*",), 1)])
def test_only_its_alarms_are_told(alarms: tuple[str, ...], told: int) -> None:
    rig = Rig(replace(ALL, alarms=alarms))
    rig.say("low", "active")
    assert len(rig.pass_(60)) == told


def test_an_alarm_of_no_table_is_not_told() -> None:
    rig = Rig()
    rig.say("gone", "active")
    assert rig.pass_(60) == []


def test_it_is_repeated_until_somebody_acknowledges_it() -> None:
    rig = Rig(replace(ALL, repeat=3600.0))
    begin = rig.wall
    rig.say("low", "active")
    letters = rig.pass_(2 * 3600 + 120)
    assert [one.body for one in letters] == [
        "Charge soon (it is 18.5), since 14:05",
        "Charge soon (it is 18.5), still since 14:05",
        "Charge soon (it is 18.5), still since 14:05",
    ]
    rig.say("low", "acknowledged", since=begin)
    assert rig.pass_(2 * 3600) == []
    rig.say("low", "ok")
    assert len(rig.pass_(60)) == 1


def test_what_was_acknowledged_before_it_was_told_is_not_repeated() -> None:
    rig = Rig(replace(ALL, repeat=3600.0))
    begin = rig.wall
    rig.say("low", "active")
    rig.pass_(10)
    rig.say("low", "acknowledged", since=begin)
    assert len(rig.pass_(3 * 3600)) == 1


def test_it_is_not_repeated_after_its_end() -> None:
    rig = Rig(replace(ALL, repeat=3600.0))
    rig.say("low", "active")
    rig.pass_(60)
    rig.say("low", "ok")
    assert len(rig.pass_(3 * 3600)) == 1


@pytest.mark.parametrize(("change", "told"), [(None, 1), ("acknowledged", 0), ("ok", 0)])
def test_the_second_person_is_told_only_if_nobody_acknowledges(change: str | None, told: int) -> None:
    rig = Rig(replace(ALL, after=1800.0))
    begin = rig.wall
    rig.say("low", "active")
    assert rig.pass_(1790) == []
    if change is not None:
        rig.say("low", change, since=begin if change == "acknowledged" else None)
    assert len(rig.pass_(3600)) == told
    assert (rig.recipient.queue.episodes == []) is (told == 0)


def test_what_is_acknowledged_when_it_is_first_heard_is_not_told() -> None:
    rig = Rig()
    rig.say("low", "acknowledged")
    assert rig.pass_(60) == []


def test_an_acknowledged_alarm_that_waits_says_so() -> None:
    rig = Rig(replace(ALL, quiet="14:00-15:00"))
    begin = rig.wall
    rig.say("low", "active")
    rig.pass_(60)
    rig.say("low", "acknowledged", since=begin)
    (letter,) = rig.pass_(3600)
    assert letter.body == "Charge soon (it is 18.5), since 14:05; acknowledged"


def test_at_the_end_of_quiet_hours_all_is_one_message() -> None:
    rig = Rig(replace(ALL, quiet="14:00-15:00", always=("shore",)))
    rig.say("low", "active")
    rig.pass_(100)
    rig.say("low", "ok")
    rig.say("water", "active")
    rig.say("shore", "active")
    (first,) = rig.pass_(60)
    assert first.title == "Shore power lost"
    assert rig.pass_(50 * 60) == []
    assert rig.recipient.delayed == 2
    (second,) = rig.pass_(3600)
    assert second.title == "2 alarms, 1 of them over"
    assert second.body == (
        "Fresh water low: Charge soon (it is 18.5), since 14:06\n"
        "House battery low: since 14:05; it ended 14:06"
    )


def test_without_a_right_clock_no_hour_is_quiet() -> None:
    rig = Rig(replace(ALL, quiet="14:00-15:00"))
    rig.right = False
    rig.say("low", "active")
    assert len(rig.pass_(60)) == 1


def test_never_more_messages_than_an_hour_takes() -> None:
    rig = Rig(replace(ALL, most_an_hour=3))
    letters: list[Letter] = []
    times = []
    for _ in range(150):
        rig.say("low", "active")
        letters += rig.pass_(30)
        rig.say("low", "ok")
        letters += rig.pass_(30)
        times.append(len(letters))
    assert [times[at + 60] - times[at] <= 3 for at in range(89)] == [True] * 89
    assert [one.body.splitlines()[-1] for one in letters[1:3]] == [
        "No more messages of the same for 60 min: see the page.",
        "No more messages of the same for 1 min: see the page.",
    ]
    assert letters[2].body.startswith(
        "Charge soon (it is 18.5), 60 times from 14:06 on, the last since 15:05\n"
    )
    rig.pass_(2 * 3600)
    assert rig.recipient.queue.episodes == []


@pytest.mark.parametrize("most", [2, 12])
def test_one_alarm_that_comes_and_goes_does_not_hide_another(most: int) -> None:
    rig = Rig(replace(ALL, most_an_hour=most))
    for _ in range(30):
        rig.say("low", "active")
        rig.pass_(30)
        rig.say("low", "ok")
        rig.pass_(30)
    rig.say("shore", "active")
    (letter,) = rig.pass_(60)
    assert letter.title == "Shore power lost"
    assert letter.body.splitlines()[-1] == "No more messages for 30 min: see the page."
    assert len(rig.letters) == most


def test_a_long_time_without_network_is_one_message_with_all_that_happened() -> None:
    rig = Rig()
    rig.works = False
    rig.say("low", "active")
    rig.pass_(3900)
    rig.say("low", "ok")
    rig.pass_(86400 - 3900, step=30.0)
    rig.works = True
    (letter,) = rig.pass_(LONGEST_S + 60)
    assert (letter.title, letter.body) == (
        "House battery low: over",
        "Since 14:05 yesterday; it ended 15:10 yesterday",
    )


def test_of_a_thousand_alarms_the_newest_are_kept_and_all_are_counted() -> None:
    rig = Rig()
    rig.works = False
    for _ in range(500):
        rig.say("low", "active")
        rig.pass_(20, step=20)
        rig.say("low", "ok")
        rig.pass_(20, step=20)
    rig.say("water", "active")
    assert len(rig.recipient.queue.episodes) == 200
    rig.works = True
    (letter,) = rig.pass_(LONGEST_S + 60)
    assert "House battery low: 500 times, the last since 19:37; it ended 19:38" in letter.body
    assert "Fresh water low: Charge soon" in letter.body
    assert rig.recipient.joined == 301
    assert rig.recipient.queue.joined == {}


def test_many_alarms_are_named_up_to_what_a_phone_shows() -> None:
    titles = {f"a{number}": f"Alarm {number}" for number in range(30)}
    rig = Rig(titles=titles)
    for name in titles:
        rig.say(name, "active")
    (letter,) = rig.pass_(60)
    assert letter.title == "30 alarms"
    assert letter.body.splitlines()[-1] == "24 more alarms, see the page"
    assert rig.pass_(3600) == []


def test_a_restart_neither_tells_twice_nor_forgets() -> None:
    rig = Rig()
    begin = rig.wall
    rig.say("low", "active")
    rig.pass_(10)
    rig.restart()
    rig.say("low", "active", since=begin)
    assert len(rig.pass_(60)) == 1
    rig.restart()
    rig.say("low", "active", since=begin)
    assert rig.pass_(3600) == []
    rig.restart()
    rig.say("low", "ok")
    assert len(rig.pass_(60)) == 1
    rig.restart()
    rig.say("low", "ok", since=begin + 3_700_000)
    assert rig.pass_(3600) == []


def test_an_end_that_nobody_heard_is_told_with_the_next_begin() -> None:
    rig = Rig()
    rig.say("low", "active")
    rig.pass_(600)
    rig.say("low", "active")
    (letter,) = rig.pass_(60)
    assert letter.body == "Charge soon (it is 18.5), again since 14:15"


@pytest.mark.parametrize("resolve", [True, False])
def test_an_older_word_that_the_broker_had_kept_is_not_told(*, resolve: bool) -> None:
    rig = Rig(replace(ALL, resolve=resolve))
    first = rig.wall
    rig.say("low", "ok", since=first)
    rig.pass_(60)
    begin = rig.wall
    rig.say("low", "active")
    rig.pass_(60)
    # The broker came back with what it had stored before, the controller half a minute later.
    rig.say("low", "ok", since=first)
    assert rig.pass_(29) == []
    rig.say("low", "active", since=begin)
    assert rig.pass_(600) == []
    end = rig.wall
    rig.say("low", "ok")
    assert len(rig.pass_(600)) == (1 if resolve else 0)
    rig.say("low", "active", since=begin)
    assert rig.pass_(29) == []
    rig.say("low", "ok", since=end)
    assert rig.pass_(600) == []


def test_an_older_word_that_stays_is_believed_in_the_end() -> None:
    rig = Rig()
    first = rig.wall
    rig.say("low", "ok", since=first)
    rig.pass_(60)
    rig.say("low", "active")
    rig.pass_(60)
    rig.say("low", "ok", since=first)
    assert len(rig.pass_(AGAIN_S + GROUP_S + 5)) == 1


def test_an_end_that_comes_while_the_message_is_on_its_way_is_told_next() -> None:
    rig = Rig()
    rig.say("low", "active")
    rig.works = False
    rig.pass_(GROUP_S - 1)
    rig.now += 1
    letter = rig.recipient.letter(rig.now, rig.present)
    assert letter is not None
    rig.say("low", "ok")
    rig.recipient.sent(letter, rig.now)
    rig.works = True
    (second,) = rig.pass_(60)
    assert second.body.startswith("It ended")


def test_the_time_before_the_clock_is_set_is_not_told() -> None:
    rig = Rig()
    rig.right, rig.wall = False, 300_000
    rig.say("low", "active")
    (letter,) = rig.pass_(60)
    assert letter.body == "Charge soon (it is 18.5), since a time unknown (the clock was not set)"


def test_a_time_is_corrected_once_the_clock_is_set() -> None:
    rig = Rig(replace(ALL, after=600.0))
    rig.right, rig.wall = False, 300_000
    rig.say("low", "active")
    rig.pass_(300)
    rig.right, rig.wall = True, START_MS
    rig.tick()
    # It stays so in the next boot.
    rig.restart()
    rig.boot = "b"
    (letter,) = rig.pass_(400)
    assert letter.body.endswith("since 14:00")


@pytest.mark.parametrize("since", [300_000, START_MS + 7_200_000])
def test_a_time_that_cannot_be_true_is_not_told(since: int) -> None:
    rig = Rig()
    rig.say("low", "active", since=since)
    (letter,) = rig.pass_(60)
    assert letter.body.endswith("since a time unknown (the clock was not set)")


def test_a_time_of_an_earlier_boot_without_a_clock_stays_unknown() -> None:
    rig = Rig(replace(ALL, after=600.0))
    rig.right, rig.wall = False, 300_000
    rig.say("low", "active")
    rig.restart()
    rig.boot, rig.right, rig.wall = "b", True, START_MS
    (letter,) = rig.pass_(700)
    assert letter.body.endswith("since a time unknown (the clock was not set)")


@pytest.mark.parametrize("right", [True, False])
def test_a_time_of_an_earlier_boot_is_believed_while_the_clock_is_estimated(*, right: bool) -> None:
    rig = Rig()
    rig.right = right
    # Before this boot, which is 1000 s old.
    rig.say("low", "active", since=START_MS - 7_200_000)
    (letter,) = rig.pass_(60)
    assert ("since 12:05" in letter.body) is True
