"""The network before the mixtures: what it learns, its gradients, and the projection that it becomes a part of."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from streamgmm.arrays import softmax
from streamgmm.training.extraction.clip_vectors import ClipVectors
from streamgmm.training.fitting import fitting
from streamgmm.training.fitting import network as module
from streamgmm.training.fitting.fitting import fit_classifier
from streamgmm.training.fitting.network import Network, fit_network
from streamgmm.training.fitting.projection import fit_projection, measure_moments
from streamgmm.training.fitting.training_set import make_training_set
from tests.training.training_rig import config_with, make_clip

LABELS = ["even", "odd"]
N_FEATURES = 6


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "N_STEPS", 300)


def chequered(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors in the corners of a square, whose labels no linear map can separate; the last feature is constant."""
    rng = np.random.default_rng(seed)
    corners = rng.choice([-2.0, 2.0], size=(n, 2))
    vectors = np.hstack([corners, np.zeros((n, N_FEATURES - 2))]) + rng.normal(size=(n, N_FEATURES))
    vectors[:, -1] = 5.0
    return vectors.astype(np.float32), (corners[:, 0] * corners[:, 1] < 0).astype(int)


def clips_of(n: int = 800, seed: int = 0):
    vectors, indices = chequered(n, seed)
    return [ClipVectors(make_clip(label, i), vectors[indices == i], vectors[:0]) for i, label in enumerate(LABELS)]


def fitted(clips, seed: int = 0) -> Network:
    training = config_with(n_speed_copies=0).training
    moments = measure_moments([[clip.vectors] for clip in clips])
    return fit_network(make_training_set(clips, LABELS, training), moments, n_labels=2, seed=seed)


def test_its_outputs_separate_what_no_linear_map_does() -> None:
    network = fitted(clips_of())
    vectors, indices = chequered(400, seed=9)
    fit = partial(fit_projection, shrinkage=0.1, n_extra=0)
    known, of_known = chequered(800, seed=0)

    def accuracy(known: np.ndarray, tested: np.ndarray) -> float:
        projection = fit(measure_moments([[known[of_known == i]] for i in range(2)]))
        sides = projection.apply(tested.astype(np.float64))[:, 0] > 0.0
        right = float(np.mean(sides == (indices == 1)))
        return max(right, 1.0 - right)

    assert accuracy(known, vectors) < 0.6
    assert accuracy(network.extended(known), network.extended(vectors)) > 0.9


def test_the_folded_projection_is_that_of_extended_vectors() -> None:
    clips = clips_of()
    network = fitted(clips)
    wide = fit_projection(
        measure_moments([[network.extended(clip.vectors)] for clip in clips]), shrinkage=0.3, n_extra=3
    )
    vectors, _ = chequered(50, seed=3)
    expected = wide.apply(network.extended(vectors).astype(np.float64))
    assert network.folded(wide).apply(vectors.astype(np.float64)) == pytest.approx(expected, abs=1e-4)


def test_constant_features_get_no_weight() -> None:
    weights = fitted(clips_of()).weights
    assert not weights[-1].any()
    assert weights[:-1].any(axis=1).all()


def test_equal_seeds_give_equal_bits_and_others_do_not() -> None:
    clips = clips_of()
    first, again, other = fitted(clips), fitted(clips), fitted(clips, seed=1)
    assert all(one.tobytes() == two.tobytes() for one, two in zip(first, again, strict=True))
    assert first.weights.tobytes() != other.weights.tobytes()


def test_labels_have_equal_weight_however_many_windows_they_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WINDOWS", 300)
    clips = clips_of(2000)
    few = [clips[0]._replace(vectors=clips[0].vectors[:60]), clips[1]]
    drawn, indices = module._drawn(
        make_training_set(few, LABELS, config_with().training),
        np.zeros(N_FEATURES, np.float32),
        np.ones(N_FEATURES, np.float32),
        2,
        np.random.default_rng(0),
    )
    assert np.bincount(indices).tolist() == [60, 150]
    batches = module._Batches(drawn, indices, 2, np.random.default_rng(0))
    targets = sum(batches.draw().targets.sum(axis=0) for _ in range(20))
    assert targets[0] / targets.sum() == pytest.approx(0.5, abs=0.03)


def test_gradients_are_the_slopes_of_the_loss() -> None:
    rng = np.random.default_rng(4)
    # In double precision, in which slopes can be measured.
    arrays: list[Any] = [rng.normal(size=shape) for shape in [(5, 4), (4,), (4, 3), (3, 2), (2,)]]
    layers = module._Layers(*arrays)
    targets: Any = rng.dirichlet([1.0, 1.0], size=8)
    inputs: list[Any] = [rng.normal(size=(8, 5)), targets, rng.choice([0.0, 1.5], size=(8, 4))]
    batch = module._Batch(*inputs)

    def loss(layers: module._Layers) -> float:
        units = np.maximum(batch.vectors @ layers.weights + layers.offsets, 0.0) * batch.factors
        posteriors = softmax(units @ layers.outputs @ layers.top_weights + layers.top_offsets)
        return float(-(targets * np.log(posteriors)).sum(axis=1).mean())

    found, step = module._gradients(layers, batch), 1e-6
    for name, gradient in found._asdict().items():
        array = getattr(layers, name)
        for place in np.ndindex(array.shape):
            shift = np.zeros(array.shape)
            shift[place] = step
            above, below = (loss(layers._replace(**{name: array + sign * shift})) for sign in (1, -1))
            assert gradient[place] == pytest.approx((above - below) / (2.0 * step), abs=1e-6)


def test_a_classifier_with_it_recognises_what_it_separates() -> None:
    training = config_with(bottleneck="always", n_speed_copies=0, n_principal=0).training
    classifier = fit_classifier(clips_of(), LABELS, training).classifier
    vectors, indices = chequered(400, seed=9)
    answers = classifier.score_many(vectors.astype(np.float64)).argmax(axis=1)
    assert np.mean(answers == indices) > 0.9
    assert classifier.projection.n_units == module.N_UNITS
    assert classifier.projection.n_features == N_FEATURES


def test_fits_that_share_moments_train_one_network_and_have_the_bits_of_separate_fits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clips, n_trained = clips_of(), 0
    shared = measure_moments([[clip.vectors] for clip in clips])

    def counted(*args: Any, **options: Any) -> Network:
        nonlocal n_trained
        n_trained += 1
        return fit_network(*args, **options)

    monkeypatch.setattr(fitting, "fit_network", counted)
    variations: list[dict[str, Any]] = [{}, {"n_components": 3}, {"lda_shrinkage": 0.7}, {"n_principal": 1}, {}]
    for varied in variations:
        training = config_with(bottleneck="always", n_speed_copies=0, **{"n_principal": 0, **varied}).training
        first = fit_classifier(clips, LABELS, training, moments=shared).classifier
        assert n_trained == 1
        monkeypatch.setattr(fitting, "fit_network", fit_network)
        alone = fit_classifier(clips, LABELS, training).classifier
        monkeypatch.setattr(fitting, "fit_network", counted)
        for own, other in zip(first.mixtures, alone.mixtures, strict=True):
            np.testing.assert_array_equal(own.means, other.means)
        np.testing.assert_array_equal(first.projection.matrix, alone.projection.matrix)
        assert first.projection.bottleneck is not None
        assert alone.projection.bottleneck is not None
        np.testing.assert_array_equal(first.projection.bottleneck.matrix, alone.projection.bottleneck.matrix)
    another = config_with(bottleneck="always", n_speed_copies=0, seed=5).training
    fit_classifier(clips, LABELS, another, moments=shared)
    assert n_trained == 2
