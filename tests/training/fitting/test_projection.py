from __future__ import annotations

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from streamgmm.training.fitting.projection import fit_projection as fit_from_moments
from streamgmm.training.fitting.projection import measure_moments


def fit_projection(vectors, indices, **options):
    blocks = [np.array_split(vectors[indices == i], 3) for i in range(indices.max() + 1)]
    return fit_from_moments(measure_moments(blocks), **options)


def made_classes(n_classes: int, n_features: int, n_per_class: int = 80, seed: int = 0):
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((n_features, n_features)) * rng.uniform(0.1, 10.0, n_features)
    centres = 2.0 * rng.standard_normal((n_classes, n_features))
    indices = np.repeat(np.arange(n_classes), n_per_class)
    return (centres[indices] + rng.standard_normal((len(indices), n_features))) @ mixing + 5.0, indices


@pytest.mark.parametrize(("n_classes", "n_features"), [(2, 6), (4, 10), (6, 5)])
def test_without_shrinkage_the_first_dimensions_are_those_of_scikit_learn(n_classes, n_features):
    vectors, indices = made_classes(n_classes, n_features)
    n_directions = min(n_classes - 1, n_features)
    ours = fit_projection(vectors, indices, shrinkage=0.0, n_extra=0).apply(vectors)
    theirs = LinearDiscriminantAnalysis(solver="eigen").fit(vectors, indices).transform(vectors)
    assert ours.shape[1] == n_directions
    for dimension in range(n_directions):
        correlation = np.corrcoef(ours[:, dimension], theirs[:, dimension])[0, 1]
        assert abs(correlation) == pytest.approx(1.0, abs=1e-5)


def test_classes_weigh_alike_however_many_vectors_they_have():
    vectors, indices = made_classes(3, 8)
    repeated = np.concatenate([vectors, *[vectors[indices == 1]] * 5])
    repeated_indices = np.concatenate([indices, np.ones(5 * np.sum(indices == 1), dtype=int)])
    mean, scale = vectors.mean(axis=0), vectors.std(axis=0)
    even = fit_projection(vectors, indices, shrinkage=0.0, n_extra=0).apply(vectors)
    uneven = fit_projection(repeated, repeated_indices, shrinkage=0.0, n_extra=0).apply(vectors)
    assert mean.shape == scale.shape
    for dimension in range(2):
        assert abs(np.corrcoef(even[:, dimension], uneven[:, dimension])[0, 1]) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("shrinkage", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("n_extra", [0, 3, 100])
def test_outputs_are_centred_with_unit_variance(shrinkage, n_extra):
    vectors, indices = made_classes(4, 10)
    projection = fit_projection(vectors, indices, shrinkage=shrinkage, n_extra=n_extra)
    projected = projection.apply(vectors)
    assert projection.n_dimensions == min(3 + n_extra, 10)
    assert projected.mean(axis=0) == pytest.approx(0.0, abs=1e-9)
    assert projected.std(axis=0) == pytest.approx(1.0)


def test_full_shrinkage_ignores_the_covariance_within_classes():
    vectors, indices = made_classes(3, 6)
    standard = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
    means = np.array([standard[indices == i].mean(axis=0) for i in range(3)])
    _, _, directions = np.linalg.svd(means - means.mean(axis=0))
    projected = fit_projection(vectors, indices, shrinkage=1.0, n_extra=0).apply(vectors)
    for dimension in range(2):
        correlation = np.corrcoef(projected[:, dimension], standard @ directions[dimension])[0, 1]
        assert abs(correlation) == pytest.approx(1.0, abs=1e-6)


def test_what_is_added_is_the_principal_rest():
    vectors, indices = made_classes(3, 8)
    projection = fit_projection(vectors, indices, shrinkage=0.3, n_extra=2)
    standard = (vectors - projection.mean) / projection.scale
    taken, added = projection.matrix[:, :2], projection.matrix[:, 2:]
    assert taken.T @ added == pytest.approx(0.0, abs=1e-8)
    basis, _ = np.linalg.qr(taken)
    rest = standard - standard @ basis @ basis.T
    _, _, directions = np.linalg.svd(rest - rest.mean(axis=0))
    for dimension in range(2):
        column = added[:, dimension] / np.linalg.norm(added[:, dimension])
        assert abs(column @ directions[dimension]) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_signs_are_fixed(seed):
    matrix = fit_projection(*made_classes(4, 10, seed=seed), shrinkage=0.3, n_extra=4).matrix
    largest = matrix[np.abs(matrix).argmax(axis=0), np.arange(matrix.shape[1])]
    assert (largest > 0).all()


def test_a_feature_that_never_changes_does_no_harm():
    vectors, indices = made_classes(3, 6)
    vectors[:, 2] = 7.0
    projected = fit_projection(vectors, indices, shrinkage=0.0, n_extra=2).apply(vectors)
    assert np.isfinite(projected).all()


def test_a_single_class_keeps_what_varies_most():
    vectors, _ = made_classes(1, 6)
    projection = fit_projection(vectors, np.zeros(len(vectors), dtype=np.intp), shrinkage=0.3, n_extra=4)
    assert projection.n_dimensions == 4


def test_the_same_fit_to_the_same_moments_is_done_once():
    vectors, indices = made_classes(3, 8)
    moments = measure_moments([vectors[indices == i]] for i in range(3))
    first, other = (fit_from_moments(moments, shrinkage=shrinkage, n_extra=1) for shrinkage in (0.1, 0.2))
    assert fit_from_moments(moments, shrinkage=0.1, n_extra=1) is first
    assert not np.array_equal(first.matrix, other.matrix)
