"""The classifier: from a feature vector to the log-likelihoods and posteriors of all labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamgmm.arrays import BoolArray, Float64Array, softmax, stacked
from streamgmm.errors import ConfigError, DataError
from streamgmm.labels import BACKGROUND, check_labels
from streamgmm.model.cepstra import MAX_WEIGHT, CepstralMixtures
from streamgmm.model.mixture import Mixture, MixtureBank, checked_numbers
from streamgmm.model.projection import Projection
from streamgmm.model.scoring import Scorer, make_scorer


class VectorScores(NamedTuple):
    """Scores of one vector.

    Attributes:
        log_likelihoods: float64, shape (n_labels,), not scaled (nat).
        background_log_likelihood: log-likelihood of the background mixture (nat).
        is_in_domain: bool, shape (n_labels,), whether the log-likelihood reaches the floor of the label.
        projected: float64, shape (d,), the vector in the space of the mixtures.
        of_window: float64, shape (n_mixtures,), log-likelihoods under `all_mixtures` without cepstral frames (nat).
    """

    log_likelihoods: Float64Array
    background_log_likelihood: float
    is_in_domain: BoolArray
    projected: Float64Array
    of_window: Float64Array

    def llr(self, label_index: int) -> float:
        """Return the log-likelihood ratio of a label to the background (nat)."""
        return float(self.log_likelihoods[label_index]) - self.background_log_likelihood


class ClipCalibration(NamedTuple):
    """Calibration of the decisions on whole clips (see `decision.clip`).

    Attributes:
        sharpness: exponent on the mean posterior of the windows.
        min_in_domain_score: clips with a lower in-domain score are `unknown`; 0 to 1.
        typical: mean log-likelihood of held-out clips of each label under its own mixture (nat); empty if unknown.
        typical_deviation: standard deviation of single clips from these means (nat).
        likelihood_scale: factor on log-likelihoods in the posteriors of clips; None for that of hops.
        cepstral_weight: weight of cepstral frames in clips, which hold a sound alone; None for that of hops.
        typical_are_ratios: whether `typical` are log-likelihood ratios to the background instead.
    """

    sharpness: float = 1.0
    min_in_domain_score: float = 0.0
    typical: tuple[float, ...] = ()
    typical_deviation: float = 1.0
    likelihood_scale: float | None = None
    cepstral_weight: float | None = None
    typical_are_ratios: bool = False


PLAIN_VOTES = ClipCalibration()
"""No calibration: posteriors of clips are the mean votes, and no clip is `unknown`."""

MAX_SHARPNESS = 1e3


@dataclass(frozen=True, eq=False)
class Classifier:
    """A projection, one mixture per label, and the background mixture that a label has to exceed.

    Attributes:
        labels: one or more labels; reserved ones may be among them.
        projection: maps features to the space of the mixtures.
        mixtures: one per label, all of one covariance type.
        background: reference of the log-likelihood ratios; the same object as the mixture of the label
            `background`, if there is one.
        likelihood_scale: factor on log-likelihoods in posteriors. Features depend on each other, which makes plain
            likelihoods overconfident; a factor below 1, fitted on held-out data, calibrates them.
        floors: float64, shape (n_labels,), log-likelihood below which a vector is out of the domain of the label
            (nat); -inf for no floor.
        priors: float64, shape (n_labels,), relative and positive; all 1 by default.
        cepstra: mixtures over cepstral frames, with their weight in hops; None if windows decide alone.
        clips: calibration of the decisions on clips.
        background_prior: prior of the background, relative to those of the labels, in the posteriors of hops; 0 if the
            background does not compete with the labels. Always 0 where `background` is a label, which has a prior.
        log_priors: float64, shape (n_labels,), logarithm of `priors` (nat).

    Raises:
        DataError: the parts do not fit together, or a number or label is invalid.
    """

    labels: tuple[str, ...]
    projection: Projection
    mixtures: tuple[Mixture, ...]
    background: Mixture
    likelihood_scale: float
    floors: Float64Array
    priors: Float64Array = field(default_factory=lambda: np.ones(0))
    cepstra: CepstralMixtures | None = None
    clips: ClipCalibration = PLAIN_VOTES
    background_prior: float = 0.0
    log_priors: Float64Array = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", check_labels(self.labels))
        object.__setattr__(self, "mixtures", tuple(self.mixtures))
        self._check_mixtures()
        _check_scale("likelihood_scale", self.likelihood_scale)
        _check_clips(self.clips, self.n_labels)
        if self.clips.cepstral_weight and not self.cepstra:
            raise DataError("clip_cepstral_weight is set, but the model has no mixtures of frames")
        if not 0.0 <= self.background_prior <= (0.0 if BACKGROUND in self.labels else 1e6):
            raise DataError(f"background_prior is {self.background_prior:g}, expected 0 to 1e6, or 0 beside a label")
        object.__setattr__(self, "floors", _checked_floors(self.floors, self.n_labels))
        # Empty stands for equal priors: the default does not know the number of labels.
        given = self.priors if np.size(self.priors) else np.ones(self.n_labels)
        priors = checked_numbers(given, "priors", (self.n_labels,))
        if (priors <= 0.0).any():
            raise DataError("priors are not all positive")
        object.__setattr__(self, "priors", priors)
        object.__setattr__(self, "log_priors", np.log(priors))

    def _check_mixtures(self) -> None:
        if not self.labels or len(self.labels) != len(self.mixtures):
            raise DataError(f"{len(self.labels)} labels and {len(self.mixtures)} mixtures, expected as many")
        # Two mixtures would give the label `background` and the background different scores for one sound.
        if BACKGROUND in self.labels and self.background is not self.mixtures[self.labels.index(BACKGROUND)]:
            raise DataError("the label 'background' must share the mixture of the background")
        if self.background.n_dimensions != self.projection.n_dimensions:
            raise DataError("mixtures and projection differ in dimension")
        if self.cepstra and len(self.cepstra.mixtures) != len(self.all_mixtures):
            raise DataError(f"{len(self.cepstra.mixtures)} mixtures of frames, expected {len(self.all_mixtures)}")
        _ = self._bank  # Created here, so that mixtures that do not fit together fail at once.

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return len(self.labels)

    @property
    def all_mixtures(self) -> tuple[Mixture, ...]:
        """The mixtures of the labels, then the background unless it is a label."""
        return self.mixtures if BACKGROUND in self.labels else (*self.mixtures, self.background)

    @property
    def used_cepstra(self) -> CepstralMixtures | None:
        """The mixtures over cepstral frames; None also if their weight is 0."""
        return self.cepstra if self.cepstra and self.cepstra.weight else None

    def for_clips(self) -> Classifier:
        """Return this classifier with the scale and the weight of cepstral frames that are calibrated for clips."""
        scale, weight = self.clips.likelihood_scale, self.clips.cepstral_weight
        return replace(
            self,
            likelihood_scale=self.likelihood_scale if scale is None else scale,
            cepstra=self.cepstra if self.cepstra is None or weight is None else replace(self.cepstra, weight=weight),
        )

    @cached_property
    def _bank(self) -> MixtureBank:
        return MixtureBank(self.all_mixtures)

    @cached_property
    def _scorer(self) -> Scorer:
        return make_scorer(self.projection, self.all_mixtures, self._bank)

    @cached_property
    def background_index(self) -> int:
        """Index of the background among `all_mixtures`."""
        # In the order of `all_mixtures`: a background of its own follows the labels.
        return self.labels.index(BACKGROUND) if BACKGROUND in self.labels else self.n_labels

    def score_mixtures(self, vector: Float64Array) -> Float64Array:
        """Return log-likelihoods of one vector, shape (f,), under `all_mixtures`, shape (n_mixtures,) (nat)."""
        return self.score_projected(self.projection.apply(vector))

    def score_projected(self, vector: Float64Array) -> Float64Array:
        """Return log-likelihoods of one vector, shape (d,), under `all_mixtures`, shape (n_mixtures,) (nat)."""
        return self._bank.log_likelihoods(vector)

    def score(self, vector: Float64Array, cepstral_evidence: Float64Array | None = None) -> VectorScores:
        """Score one window; the same input always gives bitwise the same result.

        Args:
            vector: float64, shape (f,), finite.
            cepstral_evidence: float64, shape (n_mixtures,), from `CepstralEvidence` (nat).
        """
        return self.score_stack([vector], None if cepstral_evidence is None else [cepstral_evidence])[0]

    def score_stack(
        self, vectors: Sequence[Float64Array], cepstral_evidence: Sequence[Float64Array] | None = None
    ) -> list[VectorScores]:
        """Score windows of any streams together, each to the last bit as `score` does by itself.

        Args:
            vectors: n windows, float64, shape (f,) each, finite.
            cepstral_evidence: that of each window, see `score`.
        """
        # Each row by itself, here and in all that follows: the bits of a score do not depend on what else is scored.
        projected, of_windows = self._scorer.score(stacked(vectors))
        scores = of_windows
        if self.cepstra is not None and cepstral_evidence is not None:
            scores = of_windows + self.cepstra.weight * stacked(cepstral_evidence)
        log_likelihoods = scores[:, : len(self.labels)]
        backgrounds = scores[:, self.background_index].tolist()
        are_in_domain = log_likelihoods >= self.floors
        parts = zip(log_likelihoods, backgrounds, are_in_domain, projected, of_windows, strict=True)
        return [VectorScores(*each) for each in parts]

    @property
    def n_competitors(self) -> int:
        """Number of mixtures that share the posterior: those of the labels, and of a background that competes."""
        return self.n_labels + (self.background_prior > 0.0)

    @property
    def competing_log_priors(self) -> Float64Array:
        """Log priors of the labels, last that of a background that competes, shape (n_competitors,) (nat)."""
        if not self.background_prior:
            return self.log_priors
        return np.append(self.log_priors, np.log(self.background_prior))

    def score_many(self, vectors: Float64Array) -> Float64Array:
        """Return log-likelihoods of vectors, shape (n, f), for training: shape (n, n_competitors) (nat).

        They equal those of `score`, without cepstral frames, up to rounding.
        """
        return self._bank.log_likelihoods_of_many(self.projection.apply(vectors))[:, : self.n_competitors]

    def posterior(self, log_likelihoods: Float64Array) -> Float64Array:
        """Return posteriors of the labels: softmax of likelihood_scale * log-likelihoods + log priors.

        Args:
            log_likelihoods: float64, shape (..., n_labels), not scaled (nat).
        """
        return softmax(self.likelihood_scale * log_likelihoods + self.log_priors)

    def with_priors(self, priors: Mapping[str, float]) -> Classifier:
        """Return this classifier with other relative priors; labels that are not named have 1.

        Raises:
            ConfigError: a name is not a label of the classifier.
        """
        # All unknown names at once, so that a single start shows every mistake.
        unknown = sorted(set(priors) - set(self.labels))
        if unknown:
            raise ConfigError([f"model.priors: the model has no label '{name}'" for name in unknown])
        # The mixtures are shared with the copy; only the small arrays are new.
        return replace(self, priors=np.array([priors.get(label, 1.0) for label in self.labels]))


def _check_scale(name: str, scale: float) -> None:
    # Negated, because every comparison with NaN is false.
    if not 0.0 < scale <= 1e6:
        raise DataError(f"{name} is {scale:g}, expected above 0 and at most 1e6")


def _check_clips(clips: ClipCalibration, n_labels: int) -> None:
    if not 0.0 < clips.sharpness <= MAX_SHARPNESS:
        raise DataError(f"sharpness is {clips.sharpness:g}, expected above 0 and at most {MAX_SHARPNESS:g}")
    if not 0.0 <= clips.min_in_domain_score <= 1.0:
        # The name of the key in the file, not of the attribute.
        raise DataError(f"min_knownness is {clips.min_in_domain_score:g}, expected 0 to 1")
    if len(clips.typical) not in (0, n_labels) or not np.isfinite(clips.typical).all():
        raise DataError(f"typical has {len(clips.typical)} values or one that is not finite, expected {n_labels}")
    if not 0.0 < clips.typical_deviation <= 1e6:
        raise DataError(f"typical_deviation is {clips.typical_deviation:g}, expected above 0 and at most 1e6")
    if clips.likelihood_scale is not None:
        _check_scale("clip_likelihood_scale", clips.likelihood_scale)
    if clips.cepstral_weight is not None and not 0.0 <= clips.cepstral_weight <= MAX_WEIGHT:
        raise DataError(f"clip_cepstral_weight is {clips.cepstral_weight:g}, expected 0 to {MAX_WEIGHT:g}")


def _checked_floors(floors: npt.ArrayLike, n_labels: int) -> Float64Array:
    """Return a read-only float64 copy of `floors`; -inf is allowed and rejects nothing."""
    numbers = np.array(floors, dtype=np.float64)
    # NaN fails the comparison too.
    if numbers.shape != (n_labels,) or not (numbers < np.inf).all():
        raise DataError(f"floors has shape {numbers.shape} or an infinite value, expected ({n_labels},)")
    numbers.setflags(write=False)
    return numbers
