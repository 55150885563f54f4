"""A recording streamed as by `run` until a little after a moment, with all intermediate values around it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from streamgmm import units
from streamgmm.analyser import Observation
from streamgmm.arrays import Samples
from streamgmm.decision.anomaly import without_anomalies
from streamgmm.decision.events import EventState, LabelRule
from streamgmm.decision.hop_scores import HopScores
from streamgmm.decision.judge import Judgement
from streamgmm.errors import DataError, UsageError
from streamgmm.model.model import Model
from streamgmm.pipeline import Pipeline
from streamgmm.records import End, Start
from streamgmm.settings.config import Config

BEFORE_S, AFTER_S = 2.5, 2.5
"""Seconds to keep before the window and after its end."""


class Moment(NamedTuple):
    """All intermediate values of one hop.

    Attributes:
        observation: input of the classifier.
        scores: output of the classifier.
        judgement: posteriors and verdict of the gates.
        states: state of the automaton of each label, after the hop.
        event_starts: start of the open event of each label that has one (s).
    """

    observation: Observation
    scores: HopScores
    judgement: Judgement
    states: tuple[EventState, ...]
    event_starts: Mapping[str, float]


class Surroundings(NamedTuple):
    """A part of a recording around a moment.

    Attributes:
        moment: the requested hop.
        moments: hops around it and itself, in order.
        samples: float32, shape (n,), at the model's rate, around it.
        first_sample: position of the first sample.
        rules: when events start and end, one per label.
    """

    moment: Moment
    moments: list[Moment]
    samples: Samples
    first_sample: int
    rules: tuple[LabelRule, ...]


def surroundings_of(blocks: Iterable[Samples], model: Model, config: Config, at_s: float) -> Surroundings:
    """Stream a recording from its beginning, as smoothing and events have a memory, and keep the part around a moment.

    Args:
        blocks: float, shape (n,) each, at the model's rate, full scale 1.0.
        model: what to explain.
        config: priors and decision are used.
        at_s: the moment (s); it lies in the hop to explain, or at its end.

    Raises:
        UsageError: the recording ends before it.
        DataError: the recording holds no samples.
        ConfigError: the settings name a label that the model does not have.
    """
    rate_hz = model.spec.sample_rate_hz
    at_sample = units.seconds_to_samples(at_s, rate_hz)
    first = max(0, at_sample - model.spec.window_samples - units.seconds_to_samples(BEFORE_S, rate_hz))
    end = at_sample + units.seconds_to_samples(AFTER_S, rate_hz)
    # Of anomalies there is nothing to explain: they are what no label accounts for.
    pipeline = Pipeline(model, without_anomalies(config))
    kept: list[Samples] = []
    moments: list[Moment] = []
    # `_keeping` fills `kept` as a side effect while the pipeline pulls blocks through it.
    for moment in _moments(pipeline, _keeping(blocks, first, end, kept)):
        if moment.scores.end_sample > first:
            moments.append(moment)
        if moment.scores.end_sample >= end:
            break
    wanted = next((one for one in moments if one.scores.end_sample >= at_sample), None)
    if wanted is None:
        raise _beyond_the_end(at_s, pipeline.analyser.end_sample / rate_hz)
    return Surroundings(wanted, moments, np.concatenate(kept), first, pipeline.decider.rules)


def _beyond_the_end(at_s: float, duration_s: float) -> UsageError | DataError:
    if duration_s == 0.0:
        return DataError("the recording holds no samples")
    return UsageError(f"{at_s:g} s is beyond the end", hint=f"the recording lasts {duration_s:.3f} s")


def _keeping(blocks: Iterable[Samples], first: int, end: int, kept: list[Samples]) -> Iterator[Samples]:
    """Yield the blocks, and append the samples between the positions `first` and `end` to `kept`."""
    position = 0
    for block in blocks:
        # The slice of a block that lies outside is empty.
        kept.append(block[max(0, first - position) : max(0, end - position)])
        position += len(block)
        yield block


def _moments(pipeline: Pipeline, blocks: Iterable[Samples]) -> Iterator[Moment]:
    event_starts: dict[str, float] = {}
    for observation in _observations(pipeline, blocks):
        scores = pipeline.analyser.score(observation)
        for record in pipeline.decide([scores]):
            if isinstance(record, Start):
                event_starts[record.label] = record.start_t
            elif isinstance(record, End):
                event_starts.pop(record.label)
        if (judgement := pipeline.decider.judgement) is not None:  # as after every hop
            # A copy of the starts, as later hops change the mapping.
            yield Moment(observation, scores, judgement, pipeline.decider.states, dict(event_starts))


def _observations(pipeline: Pipeline, blocks: Iterable[Samples]) -> Iterator[Observation]:
    for block in blocks:
        yield from pipeline.analyser.observe(block)
    yield from pipeline.analyser.observe_rest()
