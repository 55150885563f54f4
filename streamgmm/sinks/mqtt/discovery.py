"""Device discovery of Home Assistant: one message that describes all entities of a daemon.

Source: https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload (Home Assistant 2024.11 or later).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from streamgmm.sinks.mqtt.topics import Topics, identifier_of

STATES = [
    *("ok", "quiet", "silent", "flat", "clipping", "overloaded"),
    *("stalled", "lost", "recovering", "degraded", "starting"),
]
"""States of a source (see `streamgmm.service.health`, which the child does not import)."""

# Only the start makes an event of Home Assistant; other records give an empty text, which it ignores.
_EVENT_TEMPLATE = (
    "{% if value_json.type == 'start' %}"
    "{{ {'event_type': value_json.label, 'score': value_json.score, 'id': value_json.id,"
    " 'start_time': value_json.start_time} | to_json }}"
    "{% endif %}"
)
# The text None makes the state unknown.
_LEVEL_TEMPLATE = "{{ value_json.health.level_dbfs | round(1) if value_json.health.level_dbfs is number else None }}"


class SourceEntities(NamedTuple):
    """What is announced of one source.

    Attributes:
        name: name of the source.
        labels: labels that have an entity.
    """

    name: str
    labels: tuple[str, ...]


def describe_components(topics: Topics, sources: Iterable[SourceEntities]) -> dict[str, dict[str, Any]]:
    """Return the entities of all sources: a binary sensor per label, an event, and level and state as diagnostics."""
    listed = list(sources)
    components: dict[str, dict[str, Any]] = {}
    for source in listed:
        prefix = f"{source.name} " if len(listed) > 1 else ""
        for label in source.labels:
            components[identifier_of(source.name, label, "state")] = {
                "platform": "binary_sensor",
                "name": prefix + label,
                "device_class": "sound",
                "state_topic": topics.state(source.name, label),
            }
        components |= _describe_source(topics, source, prefix)
    for key, component in components.items():
        component["unique_id"] = f"{topics.device}_{key}"
    return components


def describe_switches(topics: Topics, sources: Iterable[SourceEntities]) -> dict[str, dict[str, Any]]:
    """Return the switches of the daemon, which hold for all of its sources: one for listening, and one per label."""
    listed = list(sources)
    # Every source reports the switches in its health.
    common = {"platform": "switch", "command_topic": topics.command, "state_topic": topics.health(listed[0].name)}
    listening = {
        **common,
        "name": "listening",
        "payload_on": "resume",
        "payload_off": "pause",
        "value_template": "{{ 'pause' if value_json.paused else 'resume' }}",
    }
    components = {identifier_of("listening"): listening}
    for label in dict.fromkeys(label for source in listed for label in source.labels):
        # As JSON, which is also how a template writes a text.
        quoted = json.dumps(label, ensure_ascii=False)
        components[identifier_of(label, "reported")] = {
            **common,
            "name": f"report {label}",
            "entity_category": "config",
            "payload_on": f"on {label}",
            "payload_off": f"off {label}",
            "state_on": "on",
            "state_off": "off",
            "value_template": "{{ 'off' if " + quoted + " in (value_json.off or []) else 'on' }}",
        }
    for key, component in components.items():
        component["unique_id"] = f"{topics.device}_{key}"
    return components


def _describe_source(topics: Topics, source: SourceEntities, prefix: str) -> dict[str, dict[str, Any]]:
    diagnostic = {"platform": "sensor", "entity_category": "diagnostic", "state_topic": topics.health(source.name)}
    return {
        identifier_of(source.name, "event"): {
            "platform": "event",
            "name": f"{prefix}sound",
            "event_types": list(source.labels),
            "state_topic": topics.event(source.name),
            "value_template": _EVENT_TEMPLATE,
        },
        identifier_of(source.name, "level"): {
            **diagnostic,
            "name": f"{prefix}level",
            "unit_of_measurement": "dBFS",
            "state_class": "measurement",
            "value_template": _LEVEL_TEMPLATE,
        },
        identifier_of(source.name, "health"): {
            **diagnostic,
            "name": f"{prefix}health",
            "device_class": "enum",
            "options": STATES,
            "value_template": "{{ value_json.state }}",
        },
    }


def device_message(
    topics: Topics, components: Mapping[str, Mapping[str, Any]], removed: Mapping[str, str], version: str
) -> bytes:
    """Return the payload of the discovery message.

    Args:
        topics: topics of the daemon.
        components: entities (see `describe_components`).
        removed: platform of each entity to be removed, by its key.
        version: version of streamgmm.
    """
    stubs = {key: {"platform": platform} for key, platform in removed.items() if key not in components}
    message = {
        "device": {
            "identifiers": [topics.device],
            "name": f"streamgmm {topics.node}",
            "manufacturer": "streamgmm",
            "sw_version": version,
        },
        "origin": {"name": "streamgmm", "sw_version": version},
        "availability_topic": topics.status,
        "components": {**components, **stubs},
    }
    return json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")
