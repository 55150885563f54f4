"""Topics and identifiers."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from streamgmm.sinks.mqtt.topics import Topics, identifier_of, level_of

NAMES = st.text(st.characters(), max_size=40)


@given(NAMES)
def test_level_is_ascii_without_a_sign_of_mqtt(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_.~%-]*", level_of(name))


@given(NAMES, NAMES)
def test_distinct_names_have_distinct_levels_and_identifiers(one: str, other: str) -> None:
    assert (level_of(one) == level_of(other)) == (one == other)
    assert (identifier_of(one) == identifier_of(other)) == (one == other)


@given(st.lists(NAMES, min_size=1, max_size=3))
def test_identifier_is_what_home_assistant_accepts(names: list[str]) -> None:
    assert re.fullmatch(r"[a-zA-Z0-9_-]+", identifier_of(*names))


def test_a_name_with_a_slash_is_not_two_names() -> None:
    assert identifier_of("a/b") != identifier_of("a", "b")


def test_plain_names_stay_as_they_are() -> None:
    topics = Topics("home", "pi", "homeassistant")
    assert topics.state("mic", "smoke_alarm") == "home/pi/mic/smoke_alarm/state"
    assert topics.event("mic") == "home/pi/mic/event"
    assert topics.health("yard 2") == "home/pi/yard%202/health"
    assert topics.status == "home/pi/status"
    assert re.fullmatch(r"homeassistant/device/streamgmm_pi_home_[0-9a-f]{8}/config", topics.config)
