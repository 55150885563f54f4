"""What each label would decide at every onset threshold: alarms on the background, events found, and how soon.

Tried are onset thresholds and a longer minimum duration. Other offset thresholds were found to gain nothing,
and a refractory time only hides alarms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit

from streamgmm import units
from streamgmm.arrays import Float64Array, Int64Array
from streamgmm.config import Config, LabelSection
from streamgmm.decision.rules import make_rules
from streamgmm.errors import ConfigError
from streamgmm.labels import is_reserved
from streamgmm.listening.events import Annotation, Detection, is_same_sound
from streamgmm.listening.tracks import ScoredRecording, replay
from streamgmm.model.model import Model
from streamgmm.training.workers import Track, untracked

MIN_LEVEL, MAX_LEVEL, LEVEL_STEP = -3.5, 18.0, 0.25
"""Logits of the thresholds that are tried: from 0.03, where the tail of the alarms may begin, to 1 - 1.5e-8."""

MAX_SCORE = 1.0 - 1e-8
"""Higher thresholds of the settings count as this one: a logit is finite."""

STRICT_DURATION_S = 1.0
"""The other minimum duration that is tried: a click is in no window of the default length for longer."""

THRESHOLD_DECIMALS = 9


class Material(NamedTuple):
    """What was heard in recordings of the background, and in recordings of which the true events are known."""

    backgrounds: Sequence[ScoredRecording]
    events: Sequence[tuple[ScoredRecording, Sequence[Annotation]]]


class Levels(NamedTuple):
    """The thresholds that are tried.

    Attributes:
        logits: float64, shape (n_levels,), rising.
        thresholds: the onset threshold of each.
        i_first: index of the lowest one that may be chosen, that of the settings. What a lower one would do
            among other sounds is not to be seen on a background; the counts below serve the tail.
    """

    logits: Float64Array
    thresholds: list[float]
    i_first: int


class Curve(NamedTuple):
    """One label at one minimum duration, at all levels.

    Attributes:
        label: which.
        min_duration_s: the minimum duration (s); None for that of the settings.
        n_alarms: int64, shape (n_recordings, n_levels), on each recording of the background.
        recalls: float64, shape (n_levels,), share of the true events found; None if none are known.
        latencies_s: float64, shape (n_levels,), median time from onset to report, NaN where none was found.
    """

    label: str
    min_duration_s: float | None
    n_alarms: Int64Array
    recalls: Float64Array | None
    latencies_s: Float64Array | None


def make_levels(config: Config) -> Levels:
    """The thresholds that are tried, among them that of the settings.

    Raises:
        ConfigError: the settings decide on single labels, which goes before what a model says of them.
    """
    problems = [
        f"decision.labels.{label}: goes before what a model says of this label; drop it to tune the model"
        for label, own in config.decision.labels.items()
        if own.onset_threshold is not None or own.min_duration_s is not None
    ]
    if problems:
        raise ConfigError(problems)
    onset_threshold = config.decision.onset_threshold
    first = float(logit(min(onset_threshold, MAX_SCORE)))
    logits = np.unique(np.append(np.arange(MIN_LEVEL, MAX_LEVEL + LEVEL_STEP / 2, LEVEL_STEP), first))
    i_first = int(np.searchsorted(logits, first))
    thresholds = np.round(expit(logits), THRESHOLD_DECIMALS).tolist()
    thresholds[i_first] = onset_threshold
    return Levels(logits, thresholds, i_first)


def lowest_score(config: Config) -> float:
    """Lowest score that an automaton of any of the rules tried looks at."""
    own = [section.offset_threshold for section in config.decision.labels.values()]
    offset_thresholds = [config.decision.offset_threshold, *(value for value in own if value is not None)]
    # Half, as thresholds are rounded.
    return min(*offset_thresholds, config.decision.onset_threshold, float(expit(MIN_LEVEL)) / 2.0)


def section_at(curve: Curve, i_level: int, levels: Levels) -> LabelSection | None:
    """What a model says of the label to have it decide so; None: nothing, the settings say it."""
    if curve.min_duration_s is None and i_level == levels.i_first:
        return None
    return LabelSection(onset_threshold=levels.thresholds[i_level], min_duration_s=curve.min_duration_s)


def measure_curves(
    material: Material, model: Model, config: Config, levels: Levels, track: Track = untracked
) -> list[list[Curve]]:
    """For each label that can make an event, its curves: with the minimum duration of the settings first.

    A longer minimum duration is tried only if there are true events to see what it costs.
    """
    labels = [label for label in model.labels if not is_reserved(label)]
    durations_s: list[float | None] = [None]
    if material.events and config.decision.min_duration_s < STRICT_DURATION_S:
        durations_s.append(STRICT_DURATION_S)
    return [
        [_measure(material, model, config, levels, label, duration_s) for duration_s in durations_s]
        for label in track(labels, "deciding", len(labels))
    ]


def _measure(
    material: Material, model: Model, config: Config, levels: Levels, label: str, min_duration_s: float | None
) -> Curve:
    i_label = model.labels.index(label)
    n_alarms = np.zeros((len(material.backgrounds), len(levels.thresholds)), dtype=np.int64)
    found: list[list[float | None]] = []
    for i_level, threshold in enumerate(levels.thresholds):
        section = LabelSection(onset_threshold=threshold, min_duration_s=min_duration_s)
        replayer = _Replayer(model, config, i_label, section)
        n_alarms[:, i_level] = [len(replayer.detections(one)) for one in material.backgrounds]
        found.append([latency_s for pair in material.events for latency_s in replayer.latencies_s(*pair)])
    if not found[0]:
        return Curve(label, min_duration_s, n_alarms, None, None)
    recalls = np.array([np.mean([latency_s is not None for latency_s in row]) for row in found])
    medians = [np.median(known) if (known := [s for s in row if s is not None]) else np.nan for row in found]
    return Curve(label, min_duration_s, n_alarms, recalls, np.array(medians))


class _Replayer:
    """Decides for one label as a run of a model would that says `section` of it."""

    def __init__(self, model: Model, config: Config, i_label: int, section: LabelSection) -> None:
        self._label = model.labels[i_label]
        self._spec = model.spec
        self._i_label = i_label
        rules = make_rules(model.labels, config.decision, {self._label: section}, model.spec.sample_rate_hz)
        self._rule = rules[i_label]

    def detections(self, recording: ScoredRecording) -> list[Detection]:
        return replay(recording.tracks[self._i_label], self._label, self._rule, self._spec, recording.end_sample)

    def latencies_s(self, recording: ScoredRecording, truth: Sequence[Annotation]) -> list[float | None]:
        """Return the time from onset to report of each true event of the label (s); None if it was not found."""
        own = [annotation for annotation in truth if annotation.label == self._label]
        detections = self.detections(recording) if own else []
        return [self._latency_s(annotation, detections) for annotation in own]

    def _latency_s(self, truth: Annotation, detections: Sequence[Detection]) -> float | None:
        rate_hz = self._spec.sample_rate_hz
        onset_sample = units.seconds_to_samples(truth.onset_s, rate_hz)
        # The last window that holds some of the sound ends a window after it.
        last_sample = units.seconds_to_samples(truth.offset_s, rate_hz) + self._spec.window_samples
        times_s = (units.samples_to_seconds(sample, rate_hz) for sample in (onset_sample, last_sample))
        audible = Annotation(truth.label, *times_s)
        for detection in detections:
            if is_same_sound(audible, detection, 0.0):
                reported_sample = units.seconds_to_samples(detection.reported_s, rate_hz)
                return max(0.0, units.samples_to_seconds(reported_sample - onset_sample, rate_hz))
        return None


def total_alarms(curve: Curve) -> Int64Array:
    """Alarms at each level on all recordings together, shape (n_levels,)."""
    totals: Int64Array = curve.n_alarms.sum(axis=0)
    return totals
