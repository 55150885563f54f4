"""Models to measure with: mixtures at random places, in the numbers and dimensions that training gives by default."""

from __future__ import annotations

import numpy as np

from streamgmm.arrays import Float64Array
from streamgmm.features.extractor import Features
from streamgmm.features.spec import FeatureSpec
from streamgmm.model.cepstra import CepstralMixtures
from streamgmm.model.classifier import Classifier
from streamgmm.model.mixture import Mixture
from streamgmm.model.model import Model
from streamgmm.model.projection import MIN_SCALE, Projection
from streamgmm.settings.training import TrainingSection
from streamgmm.training.fitting.fitting import N_WORLD_COMPONENTS

N_COMPONENTS = 3
"""Gaussians per label, the default of `training.n_components`."""

LIKELIHOOD_SCALE = 0.3
"""As calibration finds it for recordings of everyday sounds."""


def make_model(spec: FeatureSpec, features: Features, n_labels: int, *, has_cepstra: bool) -> Model:
    """Return a model with the shape of a trained one, whose scores mean nothing.

    Args:
        spec: definition of the features.
        features: of real sound, with cepstral frames: they give the mixtures their place and width.
        n_labels: number of labels; the background is a mixture besides.
        has_cepstra: whether the model also scores cepstral frames.
    """
    rng = np.random.default_rng(0)
    training = TrainingSection()
    n_dimensions = n_labels - 1 + training.n_principal
    # Orthonormal: deviations keep the size that they have in the standardised features.
    matrix, _ = np.linalg.qr(rng.standard_normal((features.vectors.shape[1], n_dimensions)))
    projection = _standardising(features.vectors, matrix)
    places = projection.apply(features.vectors)
    mixtures = [_mixture(rng, places, N_COMPONENTS) for _ in range(n_labels)]
    cepstra = None
    if has_cepstra:
        frames = _standardising(features.cepstra, np.eye(features.cepstra.shape[1]))
        of_frames = [
            _mixture(rng, frames.apply(features.cepstra), training.n_cepstral_components) for _ in range(n_labels + 1)
        ]
        cepstra = CepstralMixtures(frames, tuple(of_frames), weight=1.0)
    classifier = Classifier(
        labels=tuple(f"sound_{i}" for i in range(n_labels)),
        projection=projection,
        mixtures=tuple(mixtures),
        background=_mixture(rng, places, N_WORLD_COMPONENTS),
        likelihood_scale=LIKELIHOOD_SCALE,
        floors=np.full(n_labels, -np.inf),
        cepstra=cepstra,
    )
    return Model("bench", spec, classifier)


def _standardising(vectors: Float64Array, matrix: Float64Array) -> Projection:
    return Projection(vectors.mean(axis=0), np.maximum(vectors.std(axis=0), MIN_SCALE), matrix)


def _mixture(rng: np.random.Generator, places: Float64Array, n_components: int) -> Mixture:
    """Return a diagonal mixture whose components lie at random vectors of `places`, shape (n, d)."""
    means = places[rng.integers(len(places), size=n_components)]
    variances = np.broadcast_to(places.var(axis=0) + MIN_SCALE, means.shape)
    return Mixture(np.full(n_components, 1.0 / n_components), means, variances, "diag")
