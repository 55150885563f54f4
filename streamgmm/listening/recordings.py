"""One way to listen to a recording: its samples, its hops, its events, or all records of a live stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

from streamgmm import units
from streamgmm.arrays import Samples
from streamgmm.audio.file import MAX_READS_AHEAD, RecordingFile
from streamgmm.audio.source import Source
from streamgmm.decision.anomaly import event_labels, without_anomalies
from streamgmm.decision.clip import ClipDecision
from streamgmm.decision.hop_scores import HopScores
from streamgmm.listening.clips import decide_clip, hop_scores
from streamgmm.listening.events import Detection, detections_of
from streamgmm.model.model import Model
from streamgmm.pipeline import Pipeline
from streamgmm.records import Bye, Record, Stamper, numbered
from streamgmm.service.greeting import file_run_id, make_hello
from streamgmm.settings.config import Config

Advance = Callable[[float], object]
"""Receives how many more seconds of audio were processed."""

REPORT_S = 10.0
"""Progress on a whole recording is reported each time that so much audio was processed."""


def ignore_progress(seconds: float) -> None:
    """Show nothing."""


@contextmanager
def opened(path: Path, model: Model, config: Config) -> Iterator[Source]:
    """Open the recording at `path` at the rate of `model`, in the channel of the settings.

    Raises:
        RecordingError: it cannot be read.
    """
    with closing(RecordingFile(path, channel=config.source.channel, max_reads=MAX_READS_AHEAD)) as source:
        source.open(model.spec.sample_rate_hz)
        yield source


def blocks_of(source: Source) -> Iterator[Samples]:
    """Yield the samples of an open source block by block, never all at once."""
    while (block := source.read()) is not None:
        yield block.samples


def with_progress(
    blocks: Iterable[Samples], sample_rate_hz: int, advance: Advance, every_s: float = 0.0
) -> Iterator[Samples]:
    """Yield `blocks`, and report after each how much was processed, in steps of at least `every_s` seconds."""
    every_samples = units.seconds_to_samples(every_s, sample_rate_hz)
    n_unreported = 0
    for block in blocks:
        yield block
        # Counted when the next block is requested: only then this one was processed.
        n_unreported += len(block)
        if n_unreported >= every_samples:
            advance(units.samples_to_seconds(n_unreported, sample_rate_hz))
            n_unreported = 0
    advance(units.samples_to_seconds(n_unreported, sample_rate_hz))


def hops_of(path: Path, model: Model, config: Config, advance: Advance = ignore_progress) -> Iterator[HopScores]:
    """Yield the scores of every hop of a recording of any length.

    No threshold, duration or time of the settings affects them, so that hops can be kept and decided several times.

    Args:
        path: the recording.
        model: measures and scores its hops.
        config: only the channel of the source section is used.
        advance: receives the progress.

    Raises:
        RecordingError: it cannot be read.
    """
    with opened(path, model, config) as source:
        blocks = with_progress(blocks_of(source), model.spec.sample_rate_hz, advance, REPORT_S)
        yield from hop_scores(blocks, model)


def detect(hops: Iterable[HopScores], model: Model, config: Config) -> list[Detection]:
    """Return the events of classes that a live stream with these hops and settings would have reported.

    Args:
        hops: all hops of one recording, in order.
        model: the model that scored them.
        config: the priors and the decision section are used.
    """
    # A new one each time: smoothing and open events must not pass from one rule or recording to the next.
    pipeline = Pipeline(model, without_anomalies(config))
    return detections_of(pipeline.decide(hops) + pipeline.flush())


def classify_recording(path: Path, model: Model, config: Config, *, origin: datetime | None = None) -> Iterator[Record]:
    """Yield the numbered records of a recording, `hello` first and `bye` last, as a daemon without heartbeats would.

    Args:
        path: the recording.
        model: what to recognise.
        config: how to decide.
        origin: time of its first sample, if known.

    Raises:
        RecordingError: it cannot be read.
    """
    return numbered(_stamped_records(path, model, config, origin))


def _stamped_records(path: Path, model: Model, config: Config, origin: datetime | None) -> Iterator[Record]:
    rate_hz = model.spec.sample_rate_hz
    with opened(path, model, config) as source:
        stamp = Stamper(source.name, origin).stamp
        run_id = file_run_id(model, source.name)
        pipeline = Pipeline(model, config, run_id)
        yield stamp(make_hello(model, event_labels(model, config.decision), run_id))
        n_samples = 0
        for samples in blocks_of(source):
            n_samples += len(samples)
            yield from map(stamp, pipeline.push(samples))
        yield from map(stamp, pipeline.flush())
    # After the flush: the samples of the last hop, which may be a shorter one, count as analysed.
    analyser = pipeline.analyser
    yield stamp(
        Bye(
            t=units.samples_to_seconds(analyser.end_sample, rate_hz),
            reason="end of input",
            captured_samples=n_samples,
            analysed_samples=analyser.analysed_samples,
            lost_samples=0,
            in_flight_samples=analyser.pending_samples,
        )
    )


def decide_recording(path: Path, model: Model, config: Config) -> ClipDecision:
    """Return one answer for a whole recording.

    Raises:
        RecordingError: it cannot be read.
    """
    with opened(path, model, config) as source:
        return decide_clip(blocks_of(source), model, config)
