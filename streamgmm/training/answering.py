"""What a model says of clips; without scikit-learn, so that the processes that answer begin quickly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from streamgmm.config import Config
from streamgmm.decision.clip import ClipDecision
from streamgmm.model.model import Model
from streamgmm.pipeline import decide_clip
from streamgmm.training.clips import Clip
from streamgmm.training.loading import by_recording, load_clips
from streamgmm.training.workers import map_in_order


class Answer(NamedTuple):
    """What was said of one clip that the model had not seen.

    Attributes:
        clip: with the true label.
        decision: the answer of the stream.
    """

    clip: Clip
    decision: ClipDecision


def answer_clips(clips: Sequence[Clip], model: Model, config: Config) -> Iterator[Answer]:
    """The answer to each clip, through the same objects as a live stream, on all cores."""
    work = partial(_answer_recording, model=model, config=config)
    for answers in map_in_order(work, by_recording(clips), config.training.n_jobs):
        yield from answers


def _answer_recording(clips: list[Clip], model: Model, config: Config) -> list[Answer]:
    loaded = load_clips(clips, model.spec.sample_rate_hz, config.source.channel)
    return [Answer(clip, decide_clip([samples], model, config)) for clip, samples in zip(clips, loaded, strict=True)]
