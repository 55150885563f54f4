"""The room of one stream: which hops it learns from, and how much it raises the background."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streamgmm.arrays import Float64Array, are_finite, log_sum_exp, softmax
from streamgmm.decision.events import LabelRule
from streamgmm.decision.hop_scores import HopScores
from streamgmm.labels import BACKGROUND, is_reserved
from streamgmm.model.model import Model
from streamgmm.room.mixture import RoomMixture
from streamgmm.settings.config import Config

FULL_WEIGHT = 0.5
"""Weight of the room beside the model's background once enough was heard."""

FULL_WEIGHT_S = 300.0
"""Sound of the room after which it has its full weight (s)."""

MAX_ODDS = 50.0
"""Largest factor by which the room lowers the odds of a label against the background, so that a clear sound is
detected whatever was learnt."""

DISTANCE_S = 2.0
"""Distance of what is learnt from every event and candidate (s)."""

MAX_SHARE_OF_OFFSET = 0.5
"""Posteriors from this share of the offset threshold on are too near to an event to be learnt."""


class _Heard(NamedTuple):
    """The window of a hop, shape (d,), and its log-densities in the components of the room, shape (k,) (nat)."""

    vector: Float64Array
    log_densities: Float64Array


class Room:
    """Learns the sounds of a room while nothing is detected, and adds them to the background of a model.

    A hop is learnt only if the model by itself takes it for background: no class explains it better than the
    background does, and no posterior is near the threshold of an event. So a sound that was taught is not learnt,
    however long it lasts. `raised` and `follow` are called in turn, once per hop.

    Args:
        model: the model, whose background the room joins.
        config: the priors and the silence gate are used.
        rules: rule of each label.

    Attributes:
        mixture: what was learnt.
    """

    def __init__(self, model: Model, config: Config, rules: Sequence[LabelRule]) -> None:
        classifier, spec = model.classifier.with_priors(config.model.priors), model.spec
        labels = model.labels
        self._classifier = classifier
        # In the order of `all_mixtures`: a background that is not a label follows the labels.
        self._background = labels.index(BACKGROUND) if BACKGROUND in labels else len(labels)
        # From these on, a label is too near to an event; reserved labels never are. Both have shape (n_labels,).
        is_class = np.array([not is_reserved(label) for label in labels])
        self._max_llrs = np.where(is_class, 0.0, np.inf)
        offset_thresholds = np.array([rule.offset_threshold for rule in rules])
        self._max_posteriors = np.where(is_class, MAX_SHARE_OF_OFFSET * offset_thresholds, np.inf)
        self._silence_gate_dbfs = config.decision.silence_gate_dbfs
        hop_s, window_s = (n / spec.sample_rate_hz for n in (spec.hop_samples, spec.window_samples))
        self.mixture = RoomMixture(classifier.background, self._is_claimed, hop_s=hop_s, window_s=window_s)
        self._n_waiting = math.ceil(DISTANCE_S / hop_s)
        # Hops of the last seconds, which an event may still exclude; None for a hop that is not learnt.
        self._waiting: deque[_Heard | None] = deque()
        self._n_excluded = self._n_waiting
        self._heard: _Heard | None = None

    @property
    def weight(self) -> float:
        """Weight of the room beside the background of the model: 0 before anything was learnt."""
        return FULL_WEIGHT * min(1.0, self.mixture.learnt_s / FULL_WEIGHT_S)

    def raised(self, hop: HopScores) -> HopScores:
        """Return `hop` with the room as a part of the background, as far as it explains the window better."""
        self._heard = None
        if hop.projected is None or hop.of_window is None:
            return hop
        scores = hop.of_window
        heard = _Heard(hop.projected, self.mixture.weighted_log_densities(hop.projected))
        if self._is_background(hop, scores):
            self._heard = heard
        gain = self._gain(float(scores[self._background]), heard)
        # Before anything was learnt, all numbers stay the same bits. Negated, so that NaN changes nothing.
        if not gain > 0.0:
            return hop
        llrs = hop.llrs - gain
        if self._background == len(llrs):
            return hop._replace(llrs=llrs, background_log_likelihood=hop.background_log_likelihood + gain)
        llrs[self._background] = 0.0
        log_likelihoods = hop.log_likelihoods.copy()
        log_likelihoods[self._background] += gain
        return hop._replace(log_likelihoods=log_likelihoods, llrs=llrs)

    def follow(self, *, is_idle: bool) -> None:
        """Learn from the hop before the last seconds, unless something was detected since, or just before it.

        Args:
            is_idle: whether no label has an event or a candidate after the hop that `raised` was given last.
        """
        if not is_idle:
            self.skip()
            return
        self._waiting.append(self._heard if self._n_excluded == 0 else None)
        self._n_excluded = max(0, self._n_excluded - 1)
        if len(self._waiting) > self._n_waiting and (oldest := self._waiting.popleft()) is not None:
            self.mixture.add(*oldest)

    def skip(self) -> None:
        """Learn nothing from the last and the next seconds, e.g. because audio was lost in between."""
        self._waiting.clear()
        self._n_excluded = self._n_waiting

    def _gain(self, own: float, heard: _Heard) -> float:
        """Return by how much the room raises the log-likelihood `own` of the background (nat); at most 0 if not."""
        if (weight := self.weight) == 0.0:
            return 0.0
        room = float(log_sum_exp(heard.log_densities))
        # Windows alone: cepstral frames add the same to the background with and without the room.
        gain = float(np.logaddexp(math.log1p(-weight), math.log(weight) + room - own))
        return min(gain, math.log(MAX_ODDS) / self._classifier.likelihood_scale)

    def _is_background(self, hop: HopScores, scores: Float64Array) -> bool:
        """Return whether the model by itself takes a hop for background, from the `scores` of its window alone too."""
        is_whole = hop.window_share >= 1.0 and hop.level_dbfs >= self._silence_gate_dbfs
        if not is_whole or not are_finite(hop.llrs) or self._is_claimed_by(scores):
            return False
        if np.logical_or.reduce(hop.llrs >= self._max_llrs):
            return False
        # The background competes, even where it is not a label. Posteriors of this hop alone: smoothed ones are low
        # at the begin of a sound.
        n_labels = len(hop.llrs)
        logits = np.zeros(max(n_labels, self._background + 1))
        logits[:n_labels] = self._classifier.likelihood_scale * hop.llrs + self._classifier.log_priors
        return not np.logical_or.reduce(softmax(logits)[:n_labels] >= self._max_posteriors)

    def _is_claimed(self, vector: Float64Array) -> bool:
        return self._is_claimed_by(self._classifier.score_projected(vector))

    def _is_claimed_by(self, scores: Float64Array) -> bool:
        """Return whether a class explains a window at least as well as the background does."""
        llrs = scores[: len(self._max_llrs)] - scores[self._background]
        return bool(np.logical_or.reduce(llrs >= self._max_llrs))
