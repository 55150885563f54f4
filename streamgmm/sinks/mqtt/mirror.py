"""Retained topics of a broker as they should be, derived from the records of a daemon."""

from __future__ import annotations

from typing import Any

from streamgmm.labels import is_reserved
from streamgmm.records import AnyRecord, Bye, End, Hello, ModelChanged, Start, Status
from streamgmm.sinks.mqtt.discovery import SourceEntities, describe_components, describe_switches, device_message
from streamgmm.sinks.mqtt.protocol import Request

ON, OFF = b"ON", b"OFF"


class _Source:
    """What the records of one source say about it."""

    def __init__(self, hello: Hello) -> None:
        self.labels = hello.labels
        self.peers = hello.sources
        # Label of each open event by its id.
        self.open_events: dict[str, str] = {}
        self.health: bytes | None = None

    def follow(self, record: AnyRecord, line: bytes) -> None:
        match record:
            case ModelChanged(labels=labels):
                self.labels = labels
            case Start(id=event_id, label=label):
                self.open_events[event_id] = label
            case End(id=event_id):
                self.open_events.pop(event_id, None)
            case Status():
                self.health = line
            case Bye():
                self.open_events.clear()


class Mirror:
    """Follows the records of all sources, and gives the payload that each retained topic should have.

    Args:
        request: topics of the daemon, and the labels and sources to announce.

    Attributes:
        components: entities of Home Assistant, by key.
        removed: platform of each entity that no longer exists, by key; those of earlier runs may be added.
    """

    def __init__(self, request: Request) -> None:
        self._topics = request.topics
        self._version = request.version
        self._has_commands = request.has_commands
        self._wanted_labels = frozenset(request.labels)
        self._wanted_sources = frozenset(request.sources)
        self._sources: dict[str, _Source] = {}
        self.components: dict[str, dict[str, Any]] = {}
        self.removed: dict[str, str] = {}

    @property
    def is_complete(self) -> bool:
        """Return whether every source of the daemon has introduced itself, and there is at least one."""
        peers = {peer for source in self._sources.values() for peer in source.peers if self._is_wanted(peer)}
        return bool(self._sources) and peers <= self._sources.keys()

    def begin(self) -> None:
        """Forget all sources, before the records of a greeting."""
        self._sources = {}

    def apply(self, record: AnyRecord, line: bytes) -> None:
        """Follow one record; `line` is its JSON."""
        if isinstance(record, Hello) and self._is_wanted(record.source):
            self._sources[record.source] = _Source(record)
        elif record.source in self._sources:
            self._sources[record.source].follow(record, line)

    def end(self) -> None:
        """Close all events, as nobody will report their ends."""
        for source in self._sources.values():
            source.open_events.clear()

    def to_payloads(self) -> dict[str, bytes]:
        """Return the payload of each retained topic, in the order in which they should be published."""
        topics = self._topics
        payloads: dict[str, bytes] = {}
        if topics.discovery and self._sources:
            self._describe()
            payloads[topics.config] = device_message(topics, self.components, self.removed, self._version)
        for name, source in self._sources.items():
            open_labels = set(source.open_events.values())
            for label in self._labels_of(source):
                payloads[topics.state(name, label)] = ON if label in open_labels else OFF
            if source.health is not None:
                payloads[topics.health(name)] = source.health
        return payloads

    def _describe(self) -> None:
        before = self.components
        entities = [SourceEntities(name, self._labels_of(source)) for name, source in self._sources.items()]
        self.components = describe_components(self._topics, entities)
        if self._has_commands:
            self.components |= describe_switches(self._topics, entities)
        self.removed |= {key: component["platform"] for key, component in before.items()}
        self.removed = {key: platform for key, platform in self.removed.items() if key not in self.components}

    def _is_wanted(self, source: str) -> bool:
        return not self._wanted_sources or source in self._wanted_sources

    def _labels_of(self, source: _Source) -> tuple[str, ...]:
        wanted = self._wanted_labels
        return tuple(label for label in source.labels if not is_reserved(label) and (not wanted or label in wanted))
