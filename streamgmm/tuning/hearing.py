"""Recordings heard once through the features and the classifier of `run`, and decided again as often as wanted.

No threshold, duration or time of a label has a say in the scores of the hops (see `Judge`), so these are
kept, and the automata alone are run again for each rule: what they say is what `run` would have said.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from streamgmm import units
from streamgmm.arrays import Float64Array, Int64Array
from streamgmm.audio.file import RecordingFile
from streamgmm.config import Config
from streamgmm.decision.events import Automaton, EventClosed, EventOpened, EventState, LabelRule
from streamgmm.decision.hop_scores import HopScores
from streamgmm.decision.judge import Judge
from streamgmm.model.model import Model
from streamgmm.pipeline import Analyser

REPORT_S = 10.0
"""Progress is told each time that so much was heard."""


@dataclass(frozen=True, eq=False)
class Track:
    """The hops in which a label had a score.

    Attributes:
        end_samples: int64, shape (n,), rising, position just after each.
        scores: float64, shape (n,), all positive.
    """

    end_samples: Int64Array
    scores: Float64Array

    @cached_property
    def score_at(self) -> dict[int, float]:
        """The score of each hop by the position just after it."""
        return dict(zip(self.end_samples.tolist(), self.scores.tolist(), strict=True))


class Heard(NamedTuple):
    """What is kept of a recording: a few bytes for each hop in which something scored.

    Attributes:
        path: the recording.
        end_sample: its length, at the model's rate and in whole hops.
        tracks: one per label of the model.
        silent_samples: how much of it lies in silent hops, which nothing can be learnt from.
    """

    path: Path
    end_sample: int
    tracks: list[Track]
    silent_samples: int = 0


Advance = Callable[[float], object]
"""Is told how many more seconds of audio were heard."""


def _ignore(seconds: float) -> None:
    pass


class Event(NamedTuple):
    """An event as the automaton reports it, in samples: `reported_sample` is when its start was told."""

    onset_sample: int
    offset_sample: int
    reported_sample: int


def make_judge(model: Model, config: Config) -> Judge:
    """The judge of a run of `model`."""
    classifier = model.classifier.with_priors(config.model.priors)
    return Judge(
        model.labels,
        config.decision,
        hop_s=model.spec.hop_samples / model.spec.sample_rate_hz,
        log_priors=classifier.log_priors,
        likelihood_scale=classifier.likelihood_scale,
    )


def hear(path: Path, model: Model, config: Config, min_score: float, advance: Advance = _ignore) -> Heard:
    """Stream the recording at `path`, of any length, and keep the scores of at least `min_score`.

    Args:
        path: the recording.
        model: what hears it.
        config: priors, source, and of the decision section what is not of single labels, are used.
        min_score: lowest score that any rule will look at.
        advance: is told now and then how many more seconds were heard.

    Raises:
        RecordingError: it cannot be read.
    """
    hops = _hops(path, model, config, advance)
    return keep_scores(path, hops, make_judge(model, config), len(model.labels), min_score)


def keep_scores(path: Path, hops: Iterator[HopScores], judge: Judge, n_labels: int, min_score: float) -> Heard:
    """What to keep of `hops`, in order."""
    end_samples = [array("q") for _ in range(n_labels)]
    scores = [array("d") for _ in range(n_labels)]
    end_sample = silent_samples = 0
    for hop in hops:
        verdict, _, judged = judge.update(hop)
        silent_samples += hop.end_sample - end_sample if verdict.reject == "silence" else 0
        end_sample = hop.end_sample
        for i_label in np.flatnonzero((judged > 0.0) & (judged >= min_score)).tolist():
            end_samples[i_label].append(end_sample)
            scores[i_label].append(judged[i_label])
    pairs = zip(end_samples, scores, strict=True)
    tracks = [Track(np.array(ends, np.int64), np.array(values, np.float64)) for ends, values in pairs]
    return Heard(path, end_sample, tracks, silent_samples)


def replay(track: Track, rule: LabelRule, hop_samples: int, end_sample: int) -> list[Event]:
    """The events of one label in a recording that ends at `end_sample`, by `rule`."""
    automaton = Automaton(0, rule, hop_samples)
    events: list[Event] = []
    reported_sample = position = 0
    # As in `Segmenter`: an idle automaton is asked only where the score reaches the onset threshold.
    for crossing in track.end_samples[track.scores >= rule.onset_threshold].tolist():
        if crossing <= position:
            continue
        # The last hop of a recording may be a shorter one.
        for position in chain(range(crossing, end_sample, hop_samples), [end_sample]):
            for change in automaton.update(track.score_at.get(position, 0.0), position):
                if isinstance(change, EventOpened):
                    reported_sample = position
                elif isinstance(change, EventClosed):
                    events.append(Event(change.onset_sample, change.offset_sample, reported_sample))
            if automaton.state is EventState.IDLE:
                break
    last = [change for change in automaton.close("flush") if isinstance(change, EventClosed)]
    return [*events, *(Event(change.onset_sample, change.offset_sample, reported_sample) for change in last)]


def _hops(path: Path, model: Model, config: Config, advance: Advance) -> Iterator[HopScores]:
    analyser = Analyser(model)
    report_samples = units.seconds_to_samples(REPORT_S, model.spec.sample_rate_hz)
    n_unreported = 0
    with closing(RecordingFile(path, channel=config.source.channel)) as source:
        source.open(model.spec.sample_rate_hz)
        while (block := source.read()) is not None:
            yield from analyser.push(block.samples)
            n_unreported += len(block.samples)
            if n_unreported >= report_samples:
                advance(units.samples_to_seconds(n_unreported, model.spec.sample_rate_hz))
                n_unreported = 0
    yield from analyser.flush()
    advance(units.samples_to_seconds(n_unreported, model.spec.sample_rate_hz))
