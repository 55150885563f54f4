"""Events of the label `anomaly`: sounds that are no class of the model, and not like the background it was taught.

A class goes first. While its score is at or above its offset threshold, and for a while after, no anomaly begins or
goes on: its event may be about to begin or still be open, and the window may still hold a part of its sound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from streamgmm import units
from streamgmm.arrays import Float64Array
from streamgmm.decision.bayes import BayesRule
from streamgmm.decision.events import LabelRule
from streamgmm.decision.hop_scores import HopScores
from streamgmm.decision.judge import Judge, Judgement
from streamgmm.errors import ConfigError, DataError
from streamgmm.features.spec import FeatureSpec
from streamgmm.labels import ANOMALY, check_labels
from streamgmm.model.density import AlarmTail, BackgroundDensity, score_at
from streamgmm.model.model import Model
from streamgmm.settings.config import Config
from streamgmm.settings.decision import DecisionSection, LabelSection

SMOOTHING_S = 0.25
"""Time constant of the exponential mean of strangeness; not a setting, as the rates of a model are measured with it."""

MIN_DURATION_WINDOWS = 0.75
"""Least duration of a candidate (windows). Any sound is within the window for longer, so that hardly any is lost, and
by then a class that fits has its score."""

OFFSET_FACTOR = 4.0
"""An anomaly ends where the background would reach its score this many times as often as the budget allows."""


THRESHOLD_DECIMALS = 6


def event_labels(model: Model, section: DecisionSection) -> tuple[str, ...]:
    """Return the labels that a run with these settings reports: those of the model, and `anomaly` if it is on."""
    return (*model.labels, ANOMALY) if section.max_false_anomalies_per_hour else model.labels


def check_anomaly_label(labels: Sequence[str], section: DecisionSection) -> None:
    """Reject a class that is called like the label of anomalies, if these are on.

    Raises:
        ConfigError: there is one.
    """
    if not section.max_false_anomalies_per_hour:
        return
    try:
        check_labels([*labels, ANOMALY])
    except DataError:
        problem = f"there is a class '{ANOMALY}' already: rename it and train again, or set it to 0"
        raise ConfigError([f"decision.max_false_anomalies_per_hour: {problem}"]) from None


def anomaly_density(model: Model, section: DecisionSection) -> BackgroundDensity | None:
    """Return the density by which anomalies are noticed; None if these are off.

    Raises:
        ConfigError: they are on, and the model has no density, or a class called `anomaly`.
    """
    check_anomaly_label(model.labels, section)
    if section.max_false_anomalies_per_hour and model.density is None:
        problem = f"the model '{model.name}' was not taught a background: put recordings of the place, half a minute "
        problem += "or more, into a folder `background` and train again, or set it to 0"
        raise ConfigError([f"decision.max_false_anomalies_per_hour: {problem}"])
    return model.density if section.max_false_anomalies_per_hour else None


def without_anomalies(config: Config) -> Config:
    """Return the settings with anomalies switched off, for decisions on the labels of a model alone."""
    section = config.decision
    if not section.max_false_anomalies_per_hour:
        return config
    labels = {label: own for label, own in section.labels.items() if label != ANOMALY}
    section = msgspec.structs.replace(section, max_false_anomalies_per_hour=0.0, labels=labels)
    return msgspec.structs.replace(config, decision=section)


def anomaly_settings(section: DecisionSection, spec: FeatureSpec) -> LabelSection:
    """Return what stands for the settings of the label `anomaly` where the user has set nothing."""
    budget_per_hour = section.max_false_anomalies_per_hour
    window_s = units.samples_to_seconds(spec.window_samples, spec.sample_rate_hz)
    return LabelSection(
        onset_threshold=round(score_at(budget_per_hour), THRESHOLD_DECIMALS),
        offset_threshold=round(score_at(OFFSET_FACTOR * budget_per_hour), THRESHOLD_DECIMALS),
        min_duration_s=max(section.min_duration_s, MIN_DURATION_WINDOWS * window_s),
    )


def smoothing_gain(hop_s: float) -> float:
    """Return the weight of a hop in the exponential mean of strangeness."""
    return -math.expm1(-hop_s / SMOOTHING_S)


class AnomalyJudge(Judge):
    """A judge with one more label, `anomaly`, whose score is 1 / (1 + expected false alarms per hour).

    Args:
        bayes: see `Judge`.
        section: settings of the decisions.
        spec: lengths of hops and windows.
        tail: how often the background reaches a strangeness.
        rules: one per label of the model, which its classes claim a hop by.
    """

    def __init__(
        self, bayes: BayesRule, section: DecisionSection, spec: FeatureSpec, tail: AlarmTail, rules: Sequence[LabelRule]
    ) -> None:
        hop_s = spec.hop_samples / spec.sample_rate_hz
        super().__init__(bayes, section, hop_s)
        self.labels = (*self.labels, ANOMALY)
        self._tail = tail
        self._gain = smoothing_gain(hop_s)
        self._window_samples = spec.window_samples
        # Offset thresholds: a clear class reaches its onset threshold only after the sound has become strange. A score
        # of 0 is that of a rejected hop or a reserved label, and below every threshold.
        least = np.finfo(np.float64).tiny
        self._thresholds = np.array([max(least, rule.offset_threshold) for rule in rules])
        self._claim_samples = np.array([max(rule.hangover_samples, spec.window_samples) for rule in rules])
        self._mean: float | None
        self._forget()

    def update_stack(self, judges: Sequence[Judge], hops: Sequence[HopScores]) -> list[Judgement]:
        """See `Judge.update_stack`; the last posterior and score are those of `anomaly`."""
        judged = super().update_stack(judges, hops)
        each = zip(judges, hops, judged, strict=True)
        # All of them notice anomalies: they have the settings of this one.
        return [judge._noticed(hop, own) for judge, hop, own in each if isinstance(judge, AnomalyJudge)]

    def _noticed(self, hop: HopScores, judgement: Judgement) -> Judgement:
        verdict, posteriors, scores = judgement
        if verdict.reject == "silence":
            # A window that is silent in part is unlike any of the background, which tells nothing of its sound.
            self._mean, self._whole_from_sample = None, hop.end_sample + self._window_samples
        is_whole = hop.window_share >= 1.0 and hop.end_sample >= self._whole_from_sample
        score = self._score(hop) if is_whole and verdict.reject != "nonfinite" else 0.0
        is_claimed = self._is_claimed(scores, hop.end_sample)
        return Judgement(verdict, _with_last(posteriors, score), _with_last(scores, 0.0 if is_claimed else score))

    def reset(self) -> None:
        """See `Judge.reset`."""
        super().reset()
        self._forget()

    def _forget(self) -> None:
        self._mean = None
        self._whole_from_sample = 0
        # Position up to which a class claims the stream; -1 is before any stream.
        self._claimed_to_sample = -1

    def _score(self, hop: HopScores) -> float:
        # What is not finite leaves the mean as it was.
        if not math.isfinite(hop.strangeness):
            return 0.0
        self._mean = hop.strangeness if self._mean is None else self._mean + self._gain * (hop.strangeness - self._mean)
        return self._tail.score(self._mean)

    def _is_claimed(self, scores: Float64Array, end_sample: int) -> bool:
        is_active = scores >= self._thresholds
        if np.logical_or.reduce(is_active):
            longest_samples = int(self._claim_samples[is_active].max())
            self._claimed_to_sample = max(self._claimed_to_sample, end_sample + longest_samples)
        return self._claimed_to_sample >= end_sample


def _with_last(values: Float64Array, last: float) -> Float64Array:
    # Filled in place, which is several times as fast as appending.
    longer = np.empty(len(values) + 1)
    longer[:-1] = values
    longer[-1] = last
    return longer
