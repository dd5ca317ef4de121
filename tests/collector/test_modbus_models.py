"""A device that is another model than its profile is for: told, named where it can be, and not read."""

import pytest

from collector.devices.description import NoAnswerError, WrongKindError
from collector.devices.modbus.models import guesses, shipped
from collector.devices.modbus.profile import Mark, Profile, as_list
from tests.collector.profile_cases import Case, ascii_words
from tests.collector.test_modbus_profiles import ALL, Registers, device


def of(name: str) -> Profile:
    return next(profile for profile in shipped() if profile.name == name)


SURE = [(case, m) for case in ALL for m in of(case.profile).identify.marks if m.sure and m.compares]
# Marks that only say what others have.
OTHERS = [
    (case, mark, int(number), word)
    for case in ALL
    for mark in of(case.profile).identify.marks
    if mark.sure
    for number, word in mark.others.items()
]
# What another model may say where the right one has its mark: nothing, noise, a number or a letter more.
WRONG = (0, 0xFFFF, 0x4142, 9)


def marked(case: Case) -> Registers:
    """The device of a case with all marks of its profile."""
    line = Registers(case.words)
    for mark in of(case.profile).identify.marks:
        table = line.tables.setdefault(mark.function, {})
        if not mark.sure or mark.address in table:
            continue
        words: tuple[int, ...] = tuple(as_list(mark.equals)[:1])
        if mark.starts:
            words = ascii_words(mark.starts[0], mark.size)
        elif mark.size > 1:
            words = (0, *words)
        table.update(enumerate(words, mark.address))
    return line


@pytest.mark.parametrize(("case", "mark"), SURE, ids=lambda one: getattr(one, "profile", ""))
@pytest.mark.parametrize("word", WRONG)
def test_another_model_than_the_profile_is_for_is_told_and_not_read(
    case: Case, mark: Mark, word: int
) -> None:
    line, poller = marked(case), device(case.profile)
    assert poller.poll(line, 0).values
    other = marked(case)
    other.tables[mark.function].update(dict.fromkeys(range(mark.address, mark.address + mark.size), word))
    stranger = device(case.profile)
    for now in (0, 10):
        with pytest.raises(WrongKindError, match=f"no model for profile {case.profile}: register"):
            stranger.poll(other, now)
    # The right one in its place is read at once.
    assert stranger.poll(line, 20).values == poller.poll(line, 10).values


def test_the_right_profile_is_named() -> None:
    fronius = next(case for case in ALL if case.profile == "fronius_sf")
    with pytest.raises(WrongKindError, match=r'next: kind = "modbus", profile = "fronius_sf"'):
        device("fronius").poll(marked(fronius), 0)


NEXT = {
    **dict.fromkeys((0x0002, 0x0200, 0x0004, 0x0400), "deye_string"),
    **dict.fromkeys((0x0003, 0x0300), "deye_hybrid_1p"),
    **dict.fromkeys((0x0005, 0x0500), "deye_sg04lp3"),
    **dict.fromkeys((0x0006, 0x0007, 0x0008, 0x0600, 0x0601), "deye_hybrid_hv"),
}


@pytest.mark.parametrize("profile", sorted(set(NEXT.values())))
@pytest.mark.parametrize("says", [*NEXT, 0x0123])
def test_a_deye_of_another_type_is_named_with_its_profile(says: int, profile: str) -> None:
    line = marked(next(case for case in ALL if case.profile == profile))
    line.tables[3][0] = says
    if NEXT.get(says) == profile:
        assert device(profile).poll(line, 0).values
        return
    named = (
        rf', an? [a-z -]+; next: kind = "modbus", profile = "{NEXT[says]}"'
        if says in NEXT
        else "; next: look"
    )
    with pytest.raises(WrongKindError, match=rf"register 0 says {says}{named}"):
        device(profile).poll(line, 0)


@pytest.mark.parametrize(
    ("case", "mark", "says", "word"), OTHERS, ids=lambda one: str(getattr(one, "profile", one))[:20]
)
def test_what_is_known_to_be_another_model_is_told_in_words(
    case: Case, mark: Mark, says: int, word: str
) -> None:
    line = marked(case)
    line.tables.setdefault(mark.function, {})[mark.address] = says
    with pytest.raises(WrongKindError, match=f"register {mark.address} says {says}, {word}; next: "):
        device(case.profile).poll(line, 0)


def test_a_number_that_nobody_knows_is_no_reason_to_refuse_a_meter() -> None:
    line = marked(next(case for case in ALL if case.profile == "sdm630"))
    line.tables[3][64514] = 0x1234
    assert device("sdm630").poll(line, 0).values["voltage_l1"] == 230.2


@pytest.mark.parametrize(
    ("code", "profiles"), [(0x20, ["sdm120"]), (0x70, ["sdm630"]), (0x89, ["sdm630"]), (0x84, ["sdm72"])]
)
def test_a_meter_of_eastron_is_recognised_by_its_code(code: int, profiles: list[str]) -> None:
    line = marked(next(case for case in ALL if case.profile == "sdm630"))
    line.tables[3][64514] = code
    assert [one.profile for one in guesses(line.read)] == profiles


@pytest.mark.parametrize(("case", "mark"), SURE, ids=lambda one: getattr(one, "profile", ""))
def test_a_model_without_the_mark_is_read_as_before(case: Case, mark: Mark) -> None:
    for how in ("refused", "silent"):
        line = marked(case)
        if how == "silent":
            line.silent_about = {mark.address}
        elif any(value.address == [mark.address] for b in of(case.profile).requests() for value in b.values):
            continue
        for address in range(mark.address, mark.address + mark.size):
            line.tables[mark.function].pop(address, None)
        assert device(case.profile).poll(line, 0).values


def test_the_model_is_looked_at_each_hour_and_after_a_failure() -> None:
    case = next(case for case in ALL if case.profile == "deye_sg04lp3")
    line, poller = marked(case), device("deye_sg04lp3")
    poller.poll(line, 0)
    line.tables[3][0] = 0
    assert poller.poll(line, 3599).values, "asked too often"
    assert poller.poll(line, 3600).values, "at night it says nothing"
    line.tables[3][0] = 3
    assert poller.poll(line, 7100).values, "asked too often"
    line.silent = True
    with pytest.raises(NoAnswerError):
        poller.poll(line, 7110)
    line.silent = False
    with pytest.raises(WrongKindError):
        poller.poll(line, 7120)
