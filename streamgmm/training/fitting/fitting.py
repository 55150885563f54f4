"""Fit the classifier: projection, one mixture per label by expectation maximisation, refinement."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import numpy as np

from streamgmm.arrays import Float32Array, FloatArray
from streamgmm.errors import DataError
from streamgmm.labels import BACKGROUND
from streamgmm.model.classifier import Classifier
from streamgmm.model.mixture import Mixture, MixtureBank
from streamgmm.model.projection import Projection
from streamgmm.settings.training import TrainingSection
from streamgmm.training.extraction.clip_vectors import ClipVectors
from streamgmm.training.fitting.cepstra import fit_cepstra
from streamgmm.training.fitting.expectation import fit_diagonal
from streamgmm.training.fitting.network import fit_network
from streamgmm.training.fitting.projection import Moments, fit_projection, measure_moments
from streamgmm.training.fitting.refinement import refine
from streamgmm.training.fitting.training_set import TrainingSet, blocks_of, fitted_labels, make_training_set

MIN_VECTORS_PER_COMPONENT = 10
"""With fewer vectors a component fits single windows, and its variances lie at the floor."""

N_WORLD_COMPONENTS = 32
"""Components of the sounds of the world: some 70 kinds, of which many are alike."""

MAX_ITERATIONS = 30
"""Iterations of expectation maximisation; later ones change the mixtures less than refinement does."""

MIN_SPREAD = 1e-4
"""Least median deviation of the features of a class, relative to all sounds; below it, the class repeats one sound."""

DEFAULT_LIKELIHOOD_SCALE = 0.2
"""Scale before validation; below 1, because neighbouring windows share most of their samples."""


class Fit(NamedTuple):
    """A classifier, and notes on its fit for the user."""

    classifier: Classifier
    notes: list[str]


def fit_classifier(
    clips: Sequence[ClipVectors],
    labels: Sequence[str],
    training: TrainingSection,
    *,
    has_cepstra: bool = False,
    moments: Moments | None = None,
) -> Fit:
    """Fit projection and mixtures to all vectors of `clips`.

    Args:
        clips: at least one for each label.
        labels: sorted names.
        training: shape and number of the components, regularisation, refinement, seed.
        has_cepstra: whether to fit mixtures to cepstral frames too, if each label has enough.
        moments: of all windows of `clips`, if already measured.

    Raises:
        DataError: all vectors of a class are equal.
    """
    training_set = make_training_set(clips, labels, training)
    fitted = fitted_labels(clips, labels)
    moments = moments or _moments(clips, fitted, training)
    _check_spread(moments, fitted)
    projection, projected = _project(training_set, fitted, moments, training)
    notes: list[str] = []
    mixtures = _fit_mixtures(projected, training_set, fitted, training, notes)
    classifier = Classifier(
        labels=tuple(labels),
        projection=projection,
        mixtures=tuple(mixtures[: len(labels)]),
        background=mixtures[fitted.index(BACKGROUND)] if BACKGROUND in fitted else _pooled_mixture(mixtures),
        likelihood_scale=DEFAULT_LIKELIHOOD_SCALE,
        # No floors before calibration: nothing is rejected.
        floors=np.full(len(labels), -np.inf),
        cepstra=fit_cepstra(clips, labels, training) if has_cepstra else None,
        background_prior=0.0 if fitted == list(labels) else 1.0,
    )
    return Fit(classifier, notes)


def _moments(
    clips: Sequence[ClipVectors],
    labels: Sequence[str],
    training: TrainingSection,
    extended: Callable[[Float32Array], Float32Array] = lambda block: block,
) -> Moments:
    """Measure the moments of all windows, with the features that `extended` adds to them."""
    of_labels = ([clip for clip in clips if clip.clip.label == label] for label in labels)
    return measure_moments(map(extended, blocks_of(own, has_copies=training.copies)) for own in of_labels)


def _project(
    training_set: TrainingSet, labels: Sequence[str], moments: Moments, training: TrainingSection
) -> tuple[Projection, Float32Array]:
    """Fit the projection, with a bottleneck if the settings ask for one; return it and the projected windows."""
    fit = partial(fit_projection, shrinkage=training.lda_shrinkage, n_extra=training.n_principal)
    if training.bottleneck != "always":
        projection = fit(moments)
        return projection, _projected(training_set.blocks(), training_set.n_windows, projection)
    # Kept with the moments: fits to the same windows that differ in their mixtures alone share them.
    of_network = (len(labels), training.seed)
    network = moments.networks.get(of_network)
    if network is None:
        network = fit_network(training_set, moments, n_labels=len(labels), seed=training.seed)
        moments.networks[of_network] = network
    of_projection = (*of_network, training.lda_shrinkage, training.n_principal)
    wide = moments.wide_projections.get(of_projection)
    if wide is None:
        # The moments of the wider features are not kept: they take 20 MB.
        wide = fit(_moments(training_set.clips, labels, training, network.extended))
        moments.wide_projections[of_projection] = wide
    projected = _projected(map(network.extended, training_set.blocks()), training_set.n_windows, wide)
    return network.folded(wide), projected


def _projected(blocks: Iterable[Float32Array], n_windows: int, projection: Projection) -> Float32Array:
    # In single precision, which is that of the vectors; iterations take half the time, and the mixtures are as good.
    mean, scaled = projection.mean.astype(np.float32), projection.matrix / projection.scale[:, np.newaxis]
    matrix = scaled.astype(np.float32)
    projected = np.empty((n_windows, projection.n_dimensions), dtype=np.float32)
    first = 0
    for block in blocks:
        projected[first : first + len(block)] = (block - mean) @ matrix
        first += len(block)
    return projected


def _fit_mixtures(
    projected: FloatArray,
    training_set: TrainingSet,
    labels: Sequence[str],
    training: TrainingSection,
    notes: list[str],
) -> list[Mixture]:
    class_indices, is_world = training_set.class_indices, training_set.is_world
    mixtures = []
    for i, label in enumerate(labels):
        own, of_world = (projected[(class_indices == i) & (is_world == wanted)] for wanted in (False, True))
        parts = [_fit_label(own, label, i, training, notes)] if len(own) else []
        # A mixture of its own: the user's background, which is the place itself, keeps half of the weight.
        parts += [_fit_world(of_world, training)] if len(of_world) else []
        mixtures.append(parts[0] if len(parts) == 1 else _pooled_mixture(parts))
    # Refinement separates labels, so a single one cannot be refined.
    # Its gradients are those of diagonal covariances.
    if not training.refinement or training.covariance != "diag" or len(labels) == 1:
        return mixtures
    return refine(mixtures, projected, class_indices, seed=training.seed)


def _check_spread(moments: Moments, labels: Sequence[str]) -> None:
    # Ignore constant features: they carry no information about any class. The total variance of the others is 1.
    varies = moments.total.diagonal() > 0.5
    for label, deviations in zip(labels, moments.class_deviations, strict=True):
        if not varies.any() or np.median(deviations[varies]) < MIN_SPREAD:
            raise DataError(
                "all windows of this class are the same sound", where=f"class '{label}'", hint="add other recordings"
            )


def _fit_label(projected: FloatArray, label: str, index: int, training: TrainingSection, notes: list[str]) -> Mixture:
    # Another seed for each label: equal ones would start k-means of all labels from the same random numbers.
    seed = training.seed + index
    if training.n_components == "bic":
        return _fit_by_bic(projected, training, seed)
    most = max(1, len(projected) // MIN_VECTORS_PER_COMPONENT)
    if most < training.n_components:
        notes.append(f"'{label}' has {len(projected)} windows: {most} components instead of {training.n_components}")
    return fit_mixture(projected, min(most, training.n_components), training, seed)


def _fit_by_bic(projected: FloatArray, training: TrainingSection, seed: int) -> Mixture:
    """Fit with the number of components that has the least Bayesian information criterion (Schwarz, 1978)."""
    most = max(1, min(training.max_components, len(projected) // MIN_VECTORS_PER_COMPONENT))
    fits = [fit_mixture(projected, k, training, seed) for k in range(1, most + 1)]
    return min(fits, key=lambda mixture: _bic(mixture, projected))


def _bic(mixture: Mixture, projected: FloatArray) -> float:
    k, d = mixture.n_components, mixture.n_dimensions
    n_covariances = d if mixture.covariance_type == "diag" else d * (d + 1) // 2
    n_parameters = k * (d + n_covariances) + k - 1
    log_likelihood = float(MixtureBank([mixture]).log_likelihoods_of_many(projected.astype(np.float64)).sum())
    return n_parameters * math.log(len(projected)) - 2.0 * log_likelihood


def _fit_world(projected: FloatArray, training: TrainingSection) -> Mixture:
    n_components = max(1, min(N_WORLD_COMPONENTS, len(projected) // MIN_VECTORS_PER_COMPONENT))
    return fit_mixture(projected, n_components, training, training.seed)


def _pooled_mixture(mixtures: Sequence[Mixture]) -> Mixture:
    """Pool mixtures with equal weight, as the background of all classes where none was recorded."""
    return Mixture(
        np.concatenate([mixture.weights for mixture in mixtures]) / len(mixtures),
        np.concatenate([mixture.means for mixture in mixtures]),
        np.concatenate([mixture.covariances for mixture in mixtures]),
        mixtures[0].covariance_type,
    )


def fit_mixture(projected: FloatArray, n_components: int, training: TrainingSection, seed: int) -> Mixture:
    """Fit one mixture by expectation maximisation (Dempster, Laird and Rubin, 1977), initialised by k-means.

    Args:
        projected: shape (n, d), n >= n_components.
        n_components: of the mixture.
        training: covariance type and variance floor.
        seed: of k-means.
    """
    # The seed of the settings may be the largest of 32 bits, and the index of the label was added.
    seed %= 2**32
    if training.covariance == "diag":
        return fit_diagonal(
            projected,
            n_components,
            seed=seed,
            variance_floor=training.variance_floor,
            max_iterations=MAX_ITERATIONS,
        )
    from sklearn.mixture import GaussianMixture  # imported here: see `unconverged_allowed`

    fitted = GaussianMixture(
        n_components,
        covariance_type=training.covariance,
        reg_covar=training.variance_floor,
        random_state=seed,
        max_iter=MAX_ITERATIONS,
    ).fit(projected.astype(np.float64))
    # Normalised again: rounding leaves the sum a little off 1, and the model file requires 1.
    weights = fitted.weights_ / fitted.weights_.sum()
    return Mixture(weights, fitted.means_, fitted.covariances_, fitted.covariance_type)


@contextmanager
def unconverged_allowed() -> Iterator[None]:
    """Load scikit-learn, and suppress its convergence warnings: the last iterations hardly change the likelihood.

    Enter it before threads start, not within them: warning filters belong to the process, and only the libraries that
    are loaded already can be limited to one thread each.
    """
    # Not at the top: it takes 100 MiB, as much as each process that measures clips, and is not needed until they end.
    import sklearn.cluster  # noqa: F401
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
