"""The parts of a log-likelihood ratio: complete, and those of slow plain sums."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgmm.explanation.attribution import attribute
from streamgmm.model.classifier import Classifier
from streamgmm.model.mixture import Mixture
from streamgmm.model.projection import Projection
from tests.model.model_rig import make_classifier

COVARIANCE_TYPES = ["diag", "full"]
N_FEATURES = 12


def classifier_of(covariance_type="full", seed=0, n_units=0) -> Classifier:
    return make_classifier(
        ("dog", "glass", "owl"),
        n_components=3,
        n_dimensions=4,
        n_features=N_FEATURES,
        covariance_type=covariance_type,
        n_units=n_units,
        seed=seed,
    )


def ratio(classifier: Classifier, vector: np.ndarray, i_label: int, i_against: int) -> float:
    scores = classifier.score_mixtures(vector)
    return float(scores[i_label] - scores[i_against])


def slow_parts(classifier: Classifier, vector: np.ndarray, n_steps: int) -> np.ndarray:
    """Midpoints along the line, and differences of the classifier's own scores there."""
    mean, step = classifier.projection.mean, 1e-5
    parts = np.zeros(len(vector))
    for i_step in range(n_steps):
        point = mean + (i_step + 0.5) / n_steps * (vector - mean)
        for i, shift in enumerate(step * np.eye(len(vector))):
            slope = (ratio(classifier, point + shift, 0, 1) - ratio(classifier, point - shift, 0, 1)) / (2.0 * step)
            parts[i] += slope * (vector[i] - mean[i]) / n_steps
    return parts


@settings(max_examples=25, deadline=None)
@given(
    covariance_type=st.sampled_from(COVARIANCE_TYPES),
    seed=st.integers(0, 10**6),
    distance=st.floats(0.0, 300.0),
    pair=st.sampled_from([(0, 1), (1, 0), (2, 3)]),
    n_units=st.sampled_from([0, 6, 40]),
)
def test_baseline_and_parts_are_the_ratio(covariance_type, seed, distance, pair, n_units) -> None:
    classifier = classifier_of(covariance_type, seed, n_units)
    vector = classifier.projection.mean + distance * np.random.default_rng(seed).normal(size=N_FEATURES)
    found = attribute(classifier, vector, *pair)
    expected = ratio(classifier, vector, *pair)
    tolerance = 1e-3 if n_units else 1e-6
    assert found.baseline + found.parts.sum() == pytest.approx(expected, rel=tolerance, abs=tolerance)
    assert found.baseline == pytest.approx(
        ratio(classifier, classifier.projection.mean, *pair), rel=1e-6, abs=tolerance
    )


@pytest.mark.parametrize("n_units", [0, 20])
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_parts_are_those_of_slow_sums(covariance_type, n_units) -> None:
    classifier = classifier_of(covariance_type, n_units=n_units)
    vector = classifier.projection.mean + 2.0 * np.random.default_rng(4).normal(size=N_FEATURES)
    found = attribute(classifier, vector, 0, 1)
    np.testing.assert_allclose(found.parts, slow_parts(classifier, vector, n_steps=200), atol=1e-3)


def test_of_two_normals_of_one_covariance_the_parts_are_those_of_the_linear_discriminant() -> None:
    rng = np.random.default_rng(5)
    projection = Projection(rng.normal(size=5), rng.uniform(0.5, 2.0, 5), np.eye(5))
    means = rng.normal(size=(2, 5))
    one, other = (Mixture(np.ones(1), mean[np.newaxis], np.ones((1, 5)), "diag") for mean in means)
    classifier = Classifier(("one", "other"), projection, (one, other), other, 1.0, np.full(2, -np.inf))
    vector = rng.normal(size=5)
    expected = projection.apply(vector) * (means[0] - means[1])
    np.testing.assert_allclose(attribute(classifier, vector, 0, 1).parts, expected, rtol=1e-9)


def test_a_number_that_is_as_usual_or_not_looked_at_has_no_part() -> None:
    classifier = classifier_of()
    matrix = classifier.projection.matrix.copy()
    matrix[3] = 0.0
    classifier = replace(classifier, projection=replace(classifier.projection, matrix=matrix))
    vector = classifier.projection.mean + np.random.default_rng(6).normal(size=N_FEATURES)
    vector[7] = classifier.projection.mean[7]
    assert np.flatnonzero(attribute(classifier, vector, 0, 1).parts == 0.0).tolist() == [3, 7]


def test_a_narrow_component_at_the_end_of_the_line_is_not_passed_over() -> None:
    """So narrow that all of its slope lies in the last ten-thousandth of the line."""
    projection = Projection(np.zeros(2), np.ones(2), np.eye(2))
    means = np.array([[0.0, 0.0], [5.0, 5.0]])
    one = Mixture(np.array([0.5, 0.5]), means, np.array([[1.0, 1.0], [1e-8, 1e-8]]), "diag")
    other = Mixture(np.ones(1), means[:1], np.ones((1, 2)), "diag")
    classifier = Classifier(("one", "other"), projection, (one, other), other, 1.0, np.full(2, -np.inf))
    found = attribute(classifier, means[1], 0, 1)
    assert found.parts.sum() > 20.0
    assert found.baseline + found.parts.sum() == pytest.approx(ratio(classifier, means[1], 0, 1), abs=1e-3)
