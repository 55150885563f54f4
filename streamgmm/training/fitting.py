"""Mixtures fitted by expectation maximisation, and the classifier made of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from streamgmm.config import TrainingSection
from streamgmm.errors import DataError
from streamgmm.labels import BACKGROUND
from streamgmm.model.classifier import Classifier
from streamgmm.model.mixture import Mixture
from streamgmm.training.extraction import ClipVectors
from streamgmm.training.fitting_frames import fit_frames
from streamgmm.training.projection import fit_projection

Array = npt.NDArray[np.float64]

N_EXTRA = 4
"""Principal components kept beside the discriminants; of 0, 4 and 15 none was better beyond chance on ESC-10."""

MIN_VECTORS_PER_COMPONENT = 10
MAX_ITERATIONS = 100
N_BACKGROUND_COMPONENTS = 8
MIN_SPREAD = 1e-4
"""A class whose features deviate less than this, relative to all sounds, repeats one sound."""

DEFAULT_LIKELIHOOD_SCALE = 0.2
"""Until validation says otherwise: neighbouring windows share most of their samples."""


class Fit(NamedTuple):
    """A classifier and what the user should know about it."""

    classifier: Classifier
    notes: list[str]


def fit_classifier(
    clips: Sequence[ClipVectors], labels: Sequence[str], training: TrainingSection, *, has_frames: bool = False
) -> Fit:
    """Fit projection and mixtures to all vectors of `clips`.

    Args:
        clips: at least one for each label.
        labels: sorted names.
        training: shape and number of the components, regularisation, seed.
        has_frames: whether to fit mixtures to their frames too, if there are enough of each label.

    Raises:
        DataError: a class has too few or only equal vectors.
    """
    vectors = np.concatenate([part for clip in clips for part in (clip.vectors, clip.copies)]).astype(np.float64)
    counts = [len(clip.vectors) + len(clip.copies) for clip in clips]
    class_indices = np.repeat([labels.index(clip.clip.label) for clip in clips], counts)
    _check_spread(vectors, class_indices, labels)
    projection = fit_projection(vectors, class_indices, shrinkage=training.lda_shrinkage, n_extra=N_EXTRA)
    projected = projection.apply(vectors)
    notes: list[str] = []
    mixtures = [_fit_label(projected[class_indices == i], label, i, training, notes) for i, label in enumerate(labels)]
    background = mixtures[labels.index(BACKGROUND)] if BACKGROUND in labels else _fit_pooled(projected, training)
    n_labels = len(labels)
    classifier = Classifier(
        labels=tuple(labels),
        projection=projection,
        mixtures=tuple(mixtures),
        background=background,
        likelihood_scale=DEFAULT_LIKELIHOOD_SCALE,
        floors=np.full(n_labels, -np.inf),
        frames=fit_frames(clips, labels, training) if has_frames else None,
    )
    return Fit(classifier, notes)


def _check_spread(vectors: Array, class_indices: npt.NDArray[np.intp], labels: Sequence[str]) -> None:
    spreads = np.maximum(vectors.std(axis=0), 1e-12)
    for i, label in enumerate(labels):
        members = vectors[class_indices == i]
        if np.median(members.std(axis=0) / spreads) < MIN_SPREAD:
            raise DataError(
                "all windows of this class are the same sound", where=f"class '{label}'", hint="add other recordings"
            )


def _fit_label(projected: Array, label: str, index: int, training: TrainingSection, notes: list[str]) -> Mixture:
    seed = training.seed + index
    if training.n_components == "bic":
        return _fit_by_bic(projected, training, seed)
    most = max(1, len(projected) // MIN_VECTORS_PER_COMPONENT)
    if most < training.n_components:
        notes.append(f"'{label}' has {len(projected)} windows: {most} components instead of {training.n_components}")
    return fit_mixture(projected, min(most, training.n_components), training, seed)


def _fit_by_bic(projected: Array, training: TrainingSection, seed: int) -> Mixture:
    """The number of components with the least Bayesian information criterion (Schwarz, 1978)."""
    most = max(1, min(training.max_components, len(projected) // MIN_VECTORS_PER_COMPONENT))
    fits = [_expectation_maximisation(projected, k, training, seed) for k in range(1, most + 1)]
    return _mixture(min(fits, key=lambda fit: float(fit.bic(projected))))


def _fit_pooled(projected: Array, training: TrainingSection) -> Mixture:
    """What sounds are like altogether: the reference where no recordings of the background are given."""
    n_components = max(1, min(N_BACKGROUND_COMPONENTS, len(projected) // MIN_VECTORS_PER_COMPONENT))
    return fit_mixture(projected, n_components, training, training.seed)


def fit_mixture(projected: Array, n_components: int, training: TrainingSection, seed: int) -> Mixture:
    """One mixture by expectation maximisation (Dempster, Laird and Rubin, 1977), begun with k-means.

    Args:
        projected: shape (n, d), n >= n_components.
        n_components: of the mixture.
        training: covariance type and variance floor.
        seed: of k-means.
    """
    return _mixture(_expectation_maximisation(projected, n_components, training, seed))


@contextmanager
def unconverged_allowed() -> Iterator[None]:
    """Silences what scikit-learn says of fits that ended early: the last per mille of likelihood is worth nothing.

    Not to be entered by threads that fit at the same time: the filters of warnings belong to the process.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def _expectation_maximisation(
    projected: Array, n_components: int, training: TrainingSection, seed: int
) -> GaussianMixture:
    mixture = GaussianMixture(
        n_components,
        covariance_type=training.covariance,
        reg_covar=training.variance_floor,
        random_state=seed % 2**32,
        max_iter=MAX_ITERATIONS,
    )
    return mixture.fit(projected)


def _mixture(fitted: GaussianMixture) -> Mixture:
    weights = fitted.weights_ / fitted.weights_.sum()
    return Mixture(weights, fitted.means_, fitted.covariances_, fitted.covariance_type)
