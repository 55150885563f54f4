"""Metrics for Prometheus: some are counted as records come, the others are read from the sources when asked for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streamgmm.records import AnyRecord, Dropped, Start, Window
from streamgmm.sinks.web.sources import Sources

DELAYS_S = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0)

STATES = (
    *("ok", "quiet", "silent", "flat", "clipping", "overloaded"),
    *("stalled", "lost", "recovering", "degraded", "starting", "ended"),
)
"""All states of a source; a test compares them with those of `streamgmm.service.health`."""


class Metrics:
    """Metrics of one daemon.

    Args:
        sources: the sources, for the metrics that are not counted.
        version: version of the daemon.
    """

    def __init__(self, sources: Sources, version: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry = CollectorRegistry(auto_describe=False)
        self._events = Counter("streamgmm_events", "Events that have started.", ["source", "label"], registry=registry)
        self._delays = Histogram(
            "streamgmm_event_delay_seconds",
            "Time from the onset of a sound to the start of its event.",
            ["source", "label"],
            registry=registry,
            buckets=DELAYS_S,
        )
        self._rejects = Counter(
            "streamgmm_rejected_windows", "Windows that a gate has rejected.", ["source", "gate"], registry=registry
        )
        self._dropped = Counter("streamgmm_dropped_records", "Records that this server has missed.", registry=registry)
        registry.register(_Present(sources, version))

    def count(self, record: AnyRecord) -> None:
        """Count a record, once."""
        match record:
            case Start(source=source, label=label):
                self._events.labels(source, label).inc()
                self._delays.labels(source, label).observe(max(0.0, record.t - record.start_t))
            case Window(reject=str(gate)):
                self._rejects.labels(record.source, gate).inc()
            case Dropped(count=count):
                self._dropped.inc(count)

    def to_text(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self._registry)


class _Present(Collector):
    """Metrics that describe the sources at this moment."""

    def __init__(self, sources: Sources, version: str) -> None:
        self._sources, self._version = sources, version

    def collect(self) -> Iterator[Metric]:
        info = GaugeMetricFamily("streamgmm_info", "Version of streamgmm; always 1.", labels=["version"])
        info.add_metric([self._version], 1.0)
        yield info
        yield from self._states()
        yield from self._counts()

    def _states(self) -> Iterator[Metric]:
        states = GaugeMetricFamily("streamgmm_source_state", "1 for the state it is in.", labels=["source", "state"])
        ready = GaugeMetricFamily("streamgmm_source_ready", "Whether sound arrives as required.", labels=["source"])
        level = GaugeMetricFamily("streamgmm_level_dbfs", "Level (dB re full scale).", labels=["source"])
        factor = GaugeMetricFamily("streamgmm_realtime_factor", "Below 1 if fast enough.", labels=["source"])
        opened = GaugeMetricFamily("streamgmm_open_events", "Events that have not ended.", labels=["source", "label"])
        for name, source in self._sources.by_name.items():
            for state in dict.fromkeys((*STATES, source.state)):
                states.add_metric([name, state], float(state == source.state))
            ready.add_metric([name], float(source.is_ready))
            if source.level_dbfs is not None:
                level.add_metric([name], source.level_dbfs)
            if source.status and source.status.health and source.status.health.rtf is not None:
                factor.add_metric([name], source.status.health.rtf)
            labels = [event.label for event in source.open_events.values()]
            for label in source.labels:
                opened.add_metric([name, label], labels.count(label))
        yield from (states, ready, level, factor, opened)

    def _counts(self) -> Iterator[Metric]:
        lost = CounterMetricFamily("streamgmm_lost_seconds", "Audio that was lost.", labels=["source", "reason"])
        names = {
            "captured_samples": "Samples that came in.",
            "analysed_samples": "Samples whose features were computed.",
            "n_clipped_samples": "Samples at full scale.",
            "n_reopened": "Returns of audio after a failure of the microphone.",
            "n_failures": "Unexpected errors that were survived.",
        }
        counts = {
            name: CounterMetricFamily(f"streamgmm_{name.removeprefix('n_')}", text, labels=["source"])
            for name, text in names.items()
        }
        for name, source in self._sources.by_name.items():
            if source.status is None or (health := source.status.health) is None:
                continue
            for reason, samples in health.lost_samples.items():
                lost.add_metric([name, reason], samples / source.hello.sample_rate_hz)
            for key, family in counts.items():
                family.add_metric([name], getattr(health, key))
        yield from (lost, *counts.values())
