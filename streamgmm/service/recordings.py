"""A recording from end to end: the records that a live stream of the same samples would have given."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

from streamgmm import units
from streamgmm.arrays import Samples
from streamgmm.audio.file import RecordingFile
from streamgmm.audio.source import Source
from streamgmm.config import Config
from streamgmm.decision.clip import ClipDecision
from streamgmm.model.model import Model
from streamgmm.pipeline import Pipeline, decide_clip
from streamgmm.records import Bye, Record, Stamper, numbered
from streamgmm.service.greeting import make_hello


def file_run_id(model: Model, name: str) -> str:
    """The same model and name of the source give the same id, so that the same recording gives the same lines."""
    return hashlib.sha256(f"{model.sha256} {name}".encode()).hexdigest()[:12]


def classify_recording(path: Path, model: Model, config: Config, *, origin: datetime | None = None) -> Iterator[Record]:
    """Return the numbered records of a recording, `hello` first and `bye` last: those of a daemon without heartbeats.

    Args:
        path: the recording.
        model: what to recognise.
        config: how to decide.
        origin: when it was recorded, if that is known.

    Raises:
        RecordingError: it cannot be read.
    """
    return numbered(_stamped_records(path, model, config, origin))


def _stamped_records(path: Path, model: Model, config: Config, origin: datetime | None) -> Iterator[Record]:
    rate_hz = model.spec.sample_rate_hz
    with closing(RecordingFile(path, channel=config.source.channel)) as source:
        source.open(rate_hz)
        stamp = Stamper(source.name, origin).stamp
        run_id = file_run_id(model, source.name)
        pipeline = Pipeline(model, config, run_id)
        yield stamp(make_hello(model, run_id))
        n_samples = 0
        for samples in blocks_of(source):
            n_samples += len(samples)
            yield from map(stamp, pipeline.push(samples))
        yield from map(stamp, pipeline.flush())
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
    """One answer for a whole recording.

    Raises:
        RecordingError: it cannot be read.
    """
    with closing(RecordingFile(path, channel=config.source.channel)) as source:
        source.open(model.spec.sample_rate_hz)
        return decide_clip(blocks_of(source), model, config)


def blocks_of(source: Source) -> Iterator[Samples]:
    """The samples of an open source, block by block; never all at once."""
    while (block := source.read()) is not None:
        yield block.samples
