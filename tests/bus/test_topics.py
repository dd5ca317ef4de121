"""Topics are built and parsed by one file, and only as the contract spells them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.topics import BadTopicError, Topic, Topics, Verb

TOPICS = Topics()
IDS = st.from_regex(r"[a-z0-9_]{1,20}", fullmatch=True)


@pytest.mark.parametrize(
    ("built", "spelt", "parsed"),
    [
        (TOPICS.about("mppt"), "camper/about/mppt", Topic(Verb.ABOUT, "mppt")),
        (TOPICS.state("mppt"), "camper/state/mppt", Topic(Verb.STATE, "mppt")),
        (TOPICS.scalar("mppt", "voltage"), "camper/state/mppt/voltage", Topic(Verb.STATE, "mppt", "voltage")),
        (TOPICS.availability("mppt"), "camper/availability/mppt", Topic(Verb.AVAILABILITY, "mppt")),
        (TOPICS.set("relay", "pump"), "camper/set/relay/pump", Topic(Verb.SET, "relay", "pump")),
        (TOPICS.result("relay", "pump"), "camper/result/relay/pump", Topic(Verb.RESULT, "relay", "pump")),
        (
            TOPICS.statistics("mppt", "5minute"),
            "camper/statistics/mppt/5minute",
            Topic(Verb.STATISTICS, "mppt", "5minute"),
        ),
        (TOPICS.watermark("ble-7f3a"), "camper/watermark/ble-7f3a", Topic(Verb.WATERMARK, "ble-7f3a")),
        (
            TOPICS.request("statistician", "history"),
            "camper/request/statistician/history",
            Topic(Verb.REQUEST, "statistician", "history"),
        ),
        (
            TOPICS.response("statistician", "history"),
            "camper/response/statistician/history",
            Topic(Verb.RESPONSE, "statistician", "history"),
        ),
        (TOPICS.service("controller"), "camper/service/controller", Topic(Verb.SERVICE, "controller")),
        (TOPICS.health("controller"), "camper/health/controller", Topic(Verb.HEALTH, "controller")),
    ],
)
def test_every_topic_of_the_contract(built: str, spelt: str, parsed: Topic) -> None:
    assert built == spelt
    assert TOPICS.parse(spelt) == parsed


def test_discovery_flattens_the_base() -> None:
    assert Topics("fleet/van_7").discovery("mppt") == "homeassistant/device/fleet_van_7_mppt/config"


@pytest.mark.parametrize("bad", ["", "Mppt", "a/b", "+", "#", "a+b", "a b", "ä", "a\n", "a-b", "$SYS"])
def test_bad_ids_are_refused_when_building(bad: str) -> None:
    with pytest.raises(BadTopicError, match="allowed are a-z"):
        TOPICS.state(bad)


@pytest.mark.parametrize(
    "bad",
    [
        "camper",
        "camper/",
        "camper/state",
        "camper/state/",
        "camper/state/+",
        "camper/state/#",
        "camper/state/a/b/c",
        "camper/set/relay",
        "camper/states/mppt",
        "van/state/mppt",
        "camperstate/mppt",
        "camper//state/mppt",
        "camper/state/Mppt",
        "camper/watermark/a b",
        "$SYS/broker",
    ],
)
def test_foreign_and_wildcard_topics_are_refused_when_parsing(bad: str) -> None:
    with pytest.raises(BadTopicError):
        TOPICS.parse(bad)


@pytest.mark.parametrize("base", ["", "/camper", "camper/", "a//b", "cam+per", "#", "a b"])
def test_bad_bases_are_refused(base: str) -> None:
    with pytest.raises(BadTopicError, match="base topic"):
        Topics(base)


@given(base=st.lists(IDS, min_size=1, max_size=3).map("/".join), device=IDS, entity=IDS)
def test_what_is_built_parses_back(base: str, device: str, entity: str) -> None:
    topics = Topics(base)
    assert topics.parse(topics.scalar(device, entity)) == Topic(Verb.STATE, device, entity)


@given(st.text(max_size=60))
def test_parsing_never_does_anything_but_answer_or_refuse(text: str) -> None:
    try:
        found = TOPICS.parse(text)
    except BadTopicError:
        return
    assert text.startswith(f"camper/{found.verb}/{found.name}")


@pytest.mark.parametrize(
    ("topic", "allowed"),
    [
        ("camper/response/phone/1", True),
        ("camper/response/", True),
        ("camper/set/relay/pump", False),
        ("camper/response/#", False),
        ("camper/response/+/x", False),
        ("camper/response/" + "x" * 300, False),
        ("van/response/phone", False),
    ],
)
def test_answers_go_only_below_response(topic: str, *, allowed: bool) -> None:
    assert TOPICS.is_response(topic) is allowed
