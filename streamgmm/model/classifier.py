"""From one feature vector to the log-likelihood of every label, and on to posteriors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamgmm.arrays import BoolArray, Float64Array, softmax
from streamgmm.errors import ConfigError, DataError
from streamgmm.labels import BACKGROUND, check_labels
from streamgmm.model.cepstra import CepstralMixtures
from streamgmm.model.mixture import Mixture, MixtureBank, checked_numbers
from streamgmm.model.projection import Projection


class VectorScores(NamedTuple):
    """What one vector is worth.

    Attributes:
        log_likelihoods: (n_labels,) in nats, not scaled.
        background_log_likelihood: in nats.
        is_in_domain: (n_labels,) whether the log-likelihood reaches the label's floor.
    """

    log_likelihoods: Float64Array
    background_log_likelihood: float
    is_in_domain: BoolArray

    def llr(self, label_index: int) -> float:
        """Log-likelihood ratio of a label to the background, in nats."""
        return float(self.log_likelihoods[label_index]) - self.background_log_likelihood


class BatchScores(NamedTuple):
    """What n vectors are worth: `VectorScores` with a leading axis.

    Attributes:
        log_likelihoods: (n, n_labels) in nats.
        background_log_likelihoods: (n,) in nats.
        is_in_domain: (n, n_labels).
    """

    log_likelihoods: Float64Array
    background_log_likelihoods: Float64Array
    is_in_domain: BoolArray


class ClipCalibration(NamedTuple):
    """From the votes of windows to the posterior of a clip (see `decision.clip`).

    Attributes:
        sharpness: exponent on the mean posterior of the windows.
        min_in_domain_score: how sure it has to be that a clip is of any label; below it a clip is `unknown`.
        typical: nat, mean log-likelihood of held-out clips under the mixture of their own label; empty: not known.
        typical_deviation: nat, of single clips from these.
    """

    sharpness: float = 1.0
    min_in_domain_score: float = 0.0
    typical: tuple[float, ...] = ()
    typical_deviation: float = 1.0


PLAIN_VOTES = ClipCalibration()
"""Votes as they are, and every clip known."""

MAX_SHARPNESS = 1e3


@dataclass(frozen=True, eq=False)
class Classifier:
    """One mixture per label behind a projection, and the background that all of them must beat.

    Attributes:
        labels: 1 or more; the reserved ones may be among them.
        projection: from features to what the mixtures see.
        mixtures: one per label, all of one covariance type.
        background: reference of the log-likelihood ratios; the very mixture of the label
            `background` where that one is trained.
        likelihood_scale: factor on log-likelihoods in posteriors; features depend on each other, so
            plain likelihoods are far too sure, and a factor below 1, fitted on held-out data, calibrates them.
        floors: (n_labels,) log-likelihood below which a vector is not of the label's domain; -inf for none.
        priors: (n_labels,) relative, positive; ones if left out.
        cepstra: what the frames of a window add to it; None if windows decide alone.
        clips: how the votes of windows become the posterior of a clip.
        log_priors: (n_labels,) log of `priors`, in nats.

    Raises:
        DataError: the parts do not fit together, or a number or label is unusable.
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
    log_priors: Float64Array = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", check_labels(self.labels))
        object.__setattr__(self, "mixtures", tuple(self.mixtures))
        self._check_mixtures()
        if not 0.0 < self.likelihood_scale <= 1e6:
            raise DataError(f"likelihood_scale is {self.likelihood_scale:g}, wanted above 0 and at most 1e6")
        _check_clips(self.clips, self.n_labels)
        object.__setattr__(self, "floors", _checked_floors(self.floors, self.n_labels))
        given = self.priors if np.size(self.priors) else np.ones(self.n_labels)
        priors = checked_numbers(given, "priors", (self.n_labels,))
        if (priors <= 0.0).any():
            raise DataError("priors are not all positive")
        object.__setattr__(self, "priors", priors)
        object.__setattr__(self, "log_priors", np.log(priors))

    def _check_mixtures(self) -> None:
        if not self.labels or len(self.labels) != len(self.mixtures):
            raise DataError(f"{len(self.labels)} labels and {len(self.mixtures)} mixtures, wanted one for each")
        if BACKGROUND in self.labels and self.background is not self.mixtures[self.labels.index(BACKGROUND)]:
            raise DataError("the label 'background' and the background need to be one mixture")
        if self.background.n_dimensions != self.projection.n_dimensions:
            raise DataError("mixtures and projection differ in dimension")
        if self.cepstra and len(self.cepstra.mixtures) != len(self.all_mixtures):
            raise DataError(f"{len(self.cepstra.mixtures)} mixtures of frames, wanted {len(self.all_mixtures)}")
        _ = self._bank

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return len(self.labels)

    @property
    def all_mixtures(self) -> tuple[Mixture, ...]:
        """The mixtures of the labels, then the background if it is not one of them."""
        return self.mixtures if BACKGROUND in self.labels else (*self.mixtures, self.background)

    @cached_property
    def _bank(self) -> MixtureBank:
        return MixtureBank(self.all_mixtures)

    @cached_property
    def _background_index(self) -> int:
        return self.labels.index(BACKGROUND) if BACKGROUND in self.labels else self.n_labels

    def score_mixtures(self, vector: Float64Array) -> Float64Array:
        """Log-likelihoods of one vector (f,) under `all_mixtures`, (n_mixtures,) in nats."""
        return self._bank.log_likelihoods(self.projection.apply(vector))

    def score(self, vector: Float64Array, cepstral_evidence: Float64Array | None = None) -> VectorScores:
        """VectorScores one window; the same numbers always give the same bits.

        Args:
            vector: (f,), float64 and finite.
            cepstral_evidence: (n_mixtures,) mean log-likelihoods of the window's frames (see `CepstralEvidence`).
        """
        scores = self._combined(self.score_mixtures(vector), cepstral_evidence)
        log_likelihoods = scores[: len(self.labels)]
        return VectorScores(log_likelihoods, float(scores[self._background_index]), log_likelihoods >= self.floors)

    def score_many(self, vectors: Float64Array, cepstral_evidence: Float64Array | None = None) -> BatchScores:
        """VectorScores n windows together, equal to `score` up to rounding; for training.

        Args:
            vectors: (n, f).
            cepstral_evidence: (n, n_mixtures).
        """
        scores = self._combined(self._bank.log_likelihoods_of_many(self.projection.apply(vectors)), cepstral_evidence)
        log_likelihoods = scores[:, : len(self.labels)]
        return BatchScores(log_likelihoods, scores[:, self._background_index], log_likelihoods >= self.floors)

    def _combined(self, scores: Float64Array, cepstral_evidence: Float64Array | None) -> Float64Array:
        if self.cepstra is None or cepstral_evidence is None:
            return scores
        combined: Float64Array = scores + self.cepstra.weight * cepstral_evidence
        return combined

    def posterior(self, log_likelihoods: Float64Array, log_priors: Float64Array | None = None) -> Float64Array:
        """Posterior over the labels: softmax of likelihood_scale * log-likelihoods + log priors.

        Args:
            log_likelihoods: (..., n_labels) in nats, not scaled.
            log_priors: (..., n_labels) in nats; None for those of the classifier.
        """
        prior_terms = self.log_priors if log_priors is None else log_priors
        logits = self.likelihood_scale * log_likelihoods + prior_terms
        return softmax(logits)

    def with_priors(self, priors: Mapping[str, float]) -> Classifier:
        """The same classifier with other relative priors; a label that is not named has 1.

        Raises:
            ConfigError: a name is not one of the labels.
        """
        unknown = sorted(set(priors) - set(self.labels))
        if unknown:
            raise ConfigError([f"model.priors: the model has no label '{name}'" for name in unknown])
        return replace(self, priors=np.array([priors.get(label, 1.0) for label in self.labels]))


def _check_clips(clips: ClipCalibration, n_labels: int) -> None:
    if not 0.0 < clips.sharpness <= MAX_SHARPNESS:
        raise DataError(f"the sharpness of clips is {clips.sharpness:g}, wanted above 0 and at most {MAX_SHARPNESS:g}")
    if not 0.0 <= clips.min_in_domain_score <= 1.0:
        raise DataError(f"min_knownness is {clips.min_in_domain_score:g}, wanted 0 to 1")
    if len(clips.typical) not in (0, n_labels) or not np.isfinite(clips.typical).all():
        raise DataError(f"typical has {len(clips.typical)} values or one that is no number, wanted {n_labels}")
    if not 0.0 < clips.typical_deviation <= 1e6:
        raise DataError(f"typical_deviation is {clips.typical_deviation:g}, wanted above 0 and at most 1e6")


def _checked_floors(floors: npt.ArrayLike, n_labels: int) -> Float64Array:
    """A read-only float64 copy of `floors`; -inf is allowed, it refuses nothing."""
    numbers = np.array(floors, dtype=np.float64)
    if numbers.shape != (n_labels,) or not (numbers < np.inf).all():
        raise DataError(f"floors has shape {numbers.shape} or a value that is no floor, wanted ({n_labels},)")
    numbers.setflags(write=False)
    return numbers
