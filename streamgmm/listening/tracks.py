"""Hours of audio reduced to the scores of each label, and decided again under as many rules as wanted.

No threshold, duration or time of a label affects the scores of hops (see `Judge`). They are kept, and only the
automata run again for each rule: the events are those that `run` would have reported.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from streamgmm import units
from streamgmm.arrays import Float64Array, Int64Array
from streamgmm.decision.assembly import make_judge
from streamgmm.decision.events import Automaton, EventClosed, EventOpened, EventState, LabelRule
from streamgmm.decision.hop_scores import HopScores, stacks_of
from streamgmm.decision.judge import Judge, Judgement
from streamgmm.features.extractor import MAX_HOPS
from streamgmm.features.spec import FeatureSpec
from streamgmm.listening.events import Detection
from streamgmm.listening.recordings import Advance, hops_of, ignore_progress
from streamgmm.model.model import Model
from streamgmm.settings.config import Config


@dataclass(frozen=True, eq=False)
class ScoreTrack:
    """The hops in which one label has a score.

    Attributes:
        end_samples: int64, shape (n,), rising, position just after each hop.
        scores: float64, shape (n,), all positive.
    """

    end_samples: Int64Array
    scores: Float64Array

    @cached_property
    def score_at(self) -> dict[int, float]:
        """Score of each hop by the position just after it."""
        return dict(zip(self.end_samples.tolist(), self.scores.tolist(), strict=True))


class ScoredRecording(NamedTuple):
    """A few bytes for each hop of a recording in which some label has a score.

    Attributes:
        path: the recording.
        end_sample: its length in samples at the model's rate.
        tracks: one per label of the model.
        silent_samples: samples in silent hops, which carry no information.
    """

    path: Path
    end_sample: int
    tracks: list[ScoreTrack]
    silent_samples: int = 0


def score_recording(
    path: Path, model: Model, config: Config, min_score: float, advance: Advance = ignore_progress
) -> ScoredRecording:
    """Stream a recording of any length and keep the scores of at least `min_score`.

    Args:
        path: the recording.
        model: scores its hops.
        config: priors, source, and the settings of the decision section that concern all labels are used.
        min_score: lowest score that any rule will look at.
        advance: receives the progress.

    Raises:
        RecordingError: it cannot be read.
    """
    hops = hops_of(path, model, config, advance)
    return keep_scores(path, hops, make_judge(model, config), len(model.labels), min_score)


def keep_scores(
    path: Path, hops: Iterable[HopScores], judge: Judge, n_labels: int, min_score: float
) -> ScoredRecording:
    """Judge `hops`, all of one recording in order, and keep the scores of at least `min_score`."""
    # Arrays of machine numbers: lists of Python objects would take several times the memory for a day of sound.
    end_samples = [array("q") for _ in range(n_labels)]
    scores = [array("d") for _ in range(n_labels)]
    end_sample = silent_samples = 0
    for hop, (verdict, _, judged) in _judged(hops, judge):
        silent_samples += hop.end_sample - end_sample if verdict.reject == "silence" else 0
        end_sample = hop.end_sample
        # A score of 0 is not stored: it is what `replay` assumes where a hop is missing.
        for i_label in np.flatnonzero((judged > 0.0) & (judged >= min_score)).tolist():
            end_samples[i_label].append(end_sample)
            scores[i_label].append(judged[i_label])
    pairs = zip(end_samples, scores, strict=True)
    tracks = [ScoreTrack(np.array(ends, np.int64), np.array(values, np.float64)) for ends, values in pairs]
    return ScoredRecording(path, end_sample, tracks, silent_samples)


def _judged(hops: Iterable[HopScores], judge: Judge) -> Iterator[tuple[HopScores, Judgement]]:
    for stack in stacks_of(hops, MAX_HOPS):
        yield from zip(stack, judge.update_stack([judge] * len(stack), stack), strict=True)


def replay(track: ScoreTrack, label: str, rule: LabelRule, spec: FeatureSpec, end_sample: int) -> list[Detection]:
    """Return the events of one label under `rule`, with onsets and offsets at the bounds of hops.

    Args:
        track: scores of the label.
        label: its name.
        rule: when events start and end.
        spec: features of the model, for the hop and the sample rate.
        end_sample: end of the recording.
    """
    detections = []
    for change, reported_sample in _closed_events(track, rule, spec.hop_samples, end_sample):
        samples = (change.onset_sample, change.offset_sample, reported_sample)
        onset_s, offset_s, reported_s = (units.samples_to_seconds(sample, spec.sample_rate_hz) for sample in samples)
        detections.append(Detection(label, onset_s, offset_s, reported_s, change.max_score))
    return detections


def _closed_events(
    track: ScoreTrack, rule: LabelRule, hop_samples: int, end_sample: int
) -> Iterator[tuple[EventClosed, int]]:
    """Yield each event with the position at which its start was reported."""
    automaton = Automaton(0, rule, hop_samples)
    reported_sample = position = 0
    # As in `Segmenter`: an idle automaton is updated only where the score reaches the onset threshold.
    for crossing in track.end_samples[track.scores >= rule.onset_threshold].tolist():
        # The automaton was busy there, and has already seen this hop.
        if crossing <= position:
            continue
        # The last hop of a recording may be a shorter one.
        for position in chain(range(crossing, end_sample, hop_samples), [end_sample]):
            for change in automaton.update(track.score_at.get(position, 0.0), position):
                if isinstance(change, EventOpened):
                    reported_sample = position
                elif isinstance(change, EventClosed):
                    yield change, reported_sample
            # Idle again: the hops up to the next crossing cannot begin an event.
            if automaton.state is EventState.IDLE:
                break
    for change in automaton.close("flush"):
        if isinstance(change, EventClosed):
            yield change, reported_sample
