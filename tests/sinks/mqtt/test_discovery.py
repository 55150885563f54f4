"""The discovery message, against a schema written from Home Assistant's documentation."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from streamgmm.service.health import STATES as HEALTH_STATES
from streamgmm.sinks.mqtt.discovery import (
    STATES,
    SourceEntities,
    describe_components,
    describe_switches,
    device_message,
)
from streamgmm.sinks.mqtt.topics import Topics

TOPICS = Topics("home", "pi", "homeassistant")

# Of https://www.home-assistant.io/integrations/mqtt/ (device discovery payload), and of the pages of the platforms
# binary_sensor, event and sensor: required and allowed keys of what is used here.
TEXT = {"type": "string", "minLength": 1}
TOPIC = {"type": "string", "pattern": r"^[^+#\u0000]+$", "maxLength": 65535}
ENTITY: dict[str, Any] = {
    "platform": TEXT,
    "name": TEXT,
    "unique_id": TEXT,
    "state_topic": TOPIC,
    "value_template": TEXT,
    "entity_category": {"enum": ["config", "diagnostic"]},
}


def entity(platform: str, *required: str, **own: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**ENTITY, **own, "platform": {"const": platform}},
        "required": ["platform", "unique_id", "state_topic", *required],
        "additionalProperties": False,
    }


REMOVED = {
    "type": "object",
    "properties": {"platform": {"enum": ["binary_sensor", "sensor", "event"]}},
    "required": ["platform"],
    "additionalProperties": False,
}
SCHEMA = {
    "type": "object",
    "properties": {
        "device": {
            "type": "object",
            "properties": {
                "identifiers": {"type": "array", "items": TEXT, "minItems": 1},
                **dict.fromkeys(["name", "manufacturer", "model", "sw_version", "hw_version"], TEXT),
            },
            "required": ["identifiers"],
            "additionalProperties": False,
        },
        "origin": {
            "type": "object",
            "properties": dict.fromkeys(["name", "sw_version", "support_url"], TEXT),
            "required": ["name"],
            "additionalProperties": False,
        },
        "availability_topic": TOPIC,
        "components": {
            "type": "object",
            "propertyNames": {"pattern": "^[a-zA-Z0-9_-]+$"},
            "additionalProperties": {
                "oneOf": [
                    entity("binary_sensor", device_class={"enum": ["sound"]}),
                    entity("event", "event_types", event_types={"type": "array", "items": TEXT, "minItems": 1}),
                    entity(
                        "sensor",
                        unit_of_measurement=TEXT,
                        state_class={"enum": ["measurement", "total", "total_increasing"]},
                        device_class={"enum": ["enum"]},
                        options={"type": "array", "items": TEXT, "minItems": 1},
                    ),
                    entity(
                        "switch",
                        "command_topic",
                        command_topic=TOPIC,
                        **dict.fromkeys(["payload_on", "payload_off", "state_on", "state_off"], TEXT),
                    ),
                    REMOVED,
                ]
            },
        },
    },
    "required": ["device", "origin", "components"],
    "additionalProperties": False,
}


def describe(*sources: SourceEntities, removed: dict[str, str] | None = None) -> dict[str, Any]:
    components = describe_components(TOPICS, sources)
    message: dict[str, Any] = json.loads(device_message(TOPICS, components, removed or {}, "1.0"))
    return message


@pytest.mark.parametrize("labels", [("door",), ("door", "Türklingel", "a/+/#\0", "door ", "\ud800")])
@pytest.mark.parametrize("sources", [("mic",), ("kitchen", "a/+/#")])
def test_message_is_valid_for_home_assistant(labels: tuple[str, ...], sources: tuple[str, ...]) -> None:
    message = describe(*(SourceEntities(source, labels) for source in sources), removed={"old": "binary_sensor"})
    jsonschema.validate(message, SCHEMA)
    assert len(message["components"]) == len(sources) * (len(labels) + 3) + 1
    ids = [each["unique_id"] for each in message["components"].values() if "unique_id" in each]
    assert len(set(ids)) == len(ids) == len(message["components"]) - 1


@pytest.mark.parametrize("labels", [("door",), ("door", "Türklingel", "a/+/#\0", "'quoted\"\\", "{{ x }}")])
def test_switches_are_valid_for_home_assistant(labels: tuple[str, ...]) -> None:
    sources = [SourceEntities("mic", labels), SourceEntities("yard", labels[:1])]
    components = describe_components(TOPICS, sources) | describe_switches(TOPICS, sources)
    message = json.loads(device_message(TOPICS, components, {}, "1.0"))
    jsonschema.validate(message, SCHEMA)
    switches = [each for each in message["components"].values() if each["platform"] == "switch"]
    assert [each["payload_off"] for each in switches] == ["pause", *(f"off {label}" for label in labels)]
    assert len({each["unique_id"] for each in message["components"].values()}) == len(message["components"])


def test_the_schema_would_notice() -> None:
    message = describe(SourceEntities("mic", ("door",)))
    del message["origin"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(message, SCHEMA)


def test_names_tell_sources_apart_only_if_there_are_several() -> None:
    def names(*sources: str) -> set[str]:
        components = describe(*(SourceEntities(source, ("door",)) for source in sources))["components"]
        return {each["name"] for each in components.values()}

    assert names("mic") == {"door", "sound", "level", "health"}
    assert names("a", "b") == {f"{source} {name}" for source in "ab" for name in names("mic")}


def test_states_are_those_of_health() -> None:
    assert tuple(STATES) == HEALTH_STATES


def test_entity_that_exists_again_is_not_removed() -> None:
    (key, *_), labels = describe(SourceEntities("mic", ("door",)))["components"], ("door",)
    message = describe(SourceEntities("mic", labels), removed={key: "binary_sensor"})
    assert "unique_id" in message["components"][key]
