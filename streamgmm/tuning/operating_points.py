"""Operating points: alarms, recall and latency of each label at every onset threshold.

Onset thresholds and a longer minimum duration are tried. Other offset thresholds brought no gain, and a refractory
time only hides alarms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit

from streamgmm import units
from streamgmm.arrays import Float64Array, Int64Array
from streamgmm.decision.rules import make_rules
from streamgmm.errors import ConfigError
from streamgmm.labels import is_reserved
from streamgmm.listening.events import Annotation, Detection, is_same_sound
from streamgmm.listening.tracks import ScoredRecording, replay
from streamgmm.model.model import Model
from streamgmm.model.room_card import room_card
from streamgmm.settings.config import Config
from streamgmm.settings.decision import LabelSection
from streamgmm.training.workers import ProgressTracker, untracked

MIN_LEVEL, MAX_LEVEL, LEVEL_STEP = -3.5, 18.0, 0.25
"""Logits of the thresholds to try: from 0.03, where the tail of the alarms may begin, to 1 - 1.5e-8."""

MAX_SCORE = 1.0 - 1e-8
"""Upper limit of the threshold of the settings, so that its logit is finite."""

STRICT_DURATION_S = 1.0
"""The longer minimum duration to try: a click stays within a window of the default length no longer than this."""

THRESHOLD_DECIMALS = 9


class Material(NamedTuple):
    """Scores of recordings of the background, and of annotated recordings with their annotations."""

    backgrounds: Sequence[ScoredRecording]
    events: Sequence[tuple[ScoredRecording, Sequence[Annotation]]]


class Levels(NamedTuple):
    """The thresholds to try.

    Attributes:
        logits: float64, shape (n_levels,), rising.
        thresholds: onset threshold of each level.
        i_first: index of the lowest threshold that may be chosen: that of the settings, or the lowest of the model. A
            background does not show how a lower one performs among other sounds; the counts below it serve the fit of
            the tail.
        i_before: index of the present threshold of each label that has its own in the model.
        i_settings: index of the threshold of the settings.
    """

    logits: Float64Array
    thresholds: list[float]
    i_first: int
    i_before: Mapping[str, int]
    i_settings: int

    def index_before(self, label: str) -> int:
        """Return the index of the present threshold of a label."""
        return self.i_before.get(label, self.i_settings)


class Curve(NamedTuple):
    """Performance of one label with one minimum duration, at all levels.

    Attributes:
        label: name of the label.
        min_duration_s: minimum duration (s); None for that of the settings.
        n_alarms: int64, shape (n_recordings, n_levels), alarms on each recording of the background.
        recalls: float64, shape (n_levels,), share of the true events found; None without annotations.
        latencies_s: float64, shape (n_levels,), median time from onset to report (s), NaN where none was found.
    """

    label: str
    min_duration_s: float | None
    n_alarms: Int64Array
    recalls: Float64Array | None
    latencies_s: Float64Array | None


def make_levels(config: Config, model: Model | None = None) -> Levels:
    """Return the thresholds to try, among them that of the settings and those of `model`.

    Raises:
        ConfigError: the settings have thresholds of single labels, which take precedence over those of a model.
    """
    problems = [
        f"decision.labels.{label}: takes precedence over the model; remove it to tune the model"
        for label, own in config.decision.labels.items()
        if own.onset_threshold is not None or own.min_duration_s is not None
    ]
    if problems:
        raise ConfigError(problems)
    onset_threshold = config.decision.onset_threshold
    own = {} if model is None else _own_thresholds(model)
    present = sorted({onset_threshold, *own.values()})
    # Half a step more, so that rounding does not lose the last level.
    grid = np.round(expit(np.arange(MIN_LEVEL, MAX_LEVEL + LEVEL_STEP / 2, LEVEL_STEP)), THRESHOLD_DECIMALS)
    # Exactly those that are set: the way there and back through the logit may change their last digits.
    thresholds = sorted({*grid.tolist(), *present})
    logits = logit(np.minimum(thresholds, MAX_SCORE))
    i_settings = thresholds.index(onset_threshold)
    i_before = {label: thresholds.index(threshold) for label, threshold in own.items()}
    return Levels(logits, thresholds, min([i_settings, *i_before.values()]), i_before, i_settings)


def _own_thresholds(model: Model) -> dict[str, float]:
    return {
        label: section.onset_threshold
        for label, section in model.decision.items()
        if section.onset_threshold is not None
    }


def lowest_score(config: Config) -> float:
    """Return the lowest score that matters to any of the rules to try."""
    own = [section.offset_threshold for section in config.decision.labels.values()]
    offset_thresholds = [config.decision.offset_threshold, *(value for value in own if value is not None)]
    # Half of the lowest threshold, as thresholds are rounded.
    return min(*offset_thresholds, config.decision.onset_threshold, float(expit(MIN_LEVEL)) / 2.0)


def section_at(curve: Curve, i_level: int, levels: Levels) -> LabelSection | None:
    """Return the section of a model that sets this point; None if the settings already do."""
    if curve.min_duration_s is None and i_level == levels.i_settings:
        return None
    return LabelSection(onset_threshold=levels.thresholds[i_level], min_duration_s=curve.min_duration_s)


def measure_curves(
    material: Material, model: Model, config: Config, levels: Levels, track: ProgressTracker = untracked
) -> list[list[Curve]]:
    """Return the curves of each label that can make an event, with the minimum duration of the settings first.

    A longer minimum duration is tried only if there are true events that show its cost.
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
        # Whatever is detected in a recording of the background is a false alarm.
        n_alarms[:, i_level] = [len(replayer.detections(one)) for one in material.backgrounds]
        found.append([latency_s for pair in material.events for latency_s in replayer.latencies_s(*pair)])
    if not found[0]:
        return Curve(label, min_duration_s, n_alarms, _recalls_of_copies(model, label, levels), None)
    recalls = np.array([np.mean([latency_s is not None for latency_s in row]) for row in found])
    medians = [np.median(known) if (known := [s for s in row if s is not None]) else np.nan for row in found]
    return Curve(label, min_duration_s, n_alarms, recalls, np.array(medians))


def _recalls_of_copies(model: Model, label: str, levels: Levels) -> Float64Array | None:
    """Return the share of the training's held-out copies in context that each threshold finds; None if not known."""
    room = room_card(model.card)
    peaks = [] if room is None else room.peaks.get(label, [])
    if not peaks:
        return None
    return np.array([np.mean(np.array(peaks) >= threshold) for threshold in levels.thresholds])


class _Replayer:
    """Decisions on one label, as in a run of a model that has `section` for it."""

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
    """Return the alarms at each level on all recordings together, int64, shape (n_levels,)."""
    totals: Int64Array = curve.n_alarms.sum(axis=0)
    return totals
