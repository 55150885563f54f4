"""A recording from end to end: the records that a live stream of the same samples would have given."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from streamgmm import units
from streamgmm.audio.file import RecordingFile
from streamgmm.audio.source import Samples
from streamgmm.config import Config
from streamgmm.decision.clip import ClipDecision
from streamgmm.model.model import Model
from streamgmm.pipeline import Pipeline, decide_clip
from streamgmm.records import Bye, Record, Stamper
from streamgmm.service.greeting import make_hello

OnSamples = Callable[[int], object]
"""Is told how many samples more were analysed."""


def file_run_id(model: Model, name: str) -> str:
    """The same model and name give the same id, so that the same recording gives the same lines."""
    return hashlib.sha256(f"{model.sha256} {name}".encode("utf-8", "surrogateescape")).hexdigest()[:12]


def recording_blocks(path: Path, model: Model, config: Config) -> Iterator[Samples]:
    """The samples of a recording at the model's rate, block by block; never all at once.

    Raises:
        RecordingError: it cannot be read.
    """
    source = RecordingFile(path, channel=config.source.channel)
    try:
        source.open(model.spec.sample_rate_hz)
        while (block := source.read()) is not None:
            yield block.samples
    finally:
        source.close()


def classify_recording(
    path: Path, model: Model, config: Config, *, origin: datetime | None = None, on_samples: OnSamples = int
) -> Iterator[Record]:
    """The stamped records of a recording, `hello` first and `bye` last.

    Args:
        path: the recording; also the name of the source.
        model: what to recognise.
        config: how to decide.
        origin: when it was recorded, if that is known.
        on_samples: is told of each block.

    Raises:
        RecordingError: it cannot be read.
    """
    stamper = Stamper(str(path), origin)
    run_id = file_run_id(model, str(path))
    pipeline = Pipeline(model, config, run_id)
    yield stamper.stamp(make_hello(model, run_id))
    n_samples = 0
    for block in recording_blocks(path, model, config):
        n_samples += len(block)
        yield from map(stamper.stamp, pipeline.push(block))
        on_samples(len(block))
    yield from map(stamper.stamp, pipeline.flush())
    analysed_samples = pipeline.analyser.analysed_samples
    yield stamper.stamp(
        Bye(
            t=units.samples_to_seconds(n_samples, model.spec.sample_rate_hz),
            reason="end of input",
            captured_samples=n_samples,
            analysed_samples=analysed_samples,
            lost_samples=0,
            in_flight_samples=n_samples - analysed_samples,
        )
    )


def decide_recording(path: Path, model: Model, config: Config, *, on_samples: OnSamples = int) -> ClipDecision:
    """One answer for a whole recording.

    Raises:
        RecordingError: it cannot be read.
    """

    def blocks() -> Iterator[Samples]:
        for block in recording_blocks(path, model, config):
            yield block
            on_samples(len(block))

    return decide_clip(blocks(), model, config)
