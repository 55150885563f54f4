from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from streamgmm.errors import ConfigError, DataError
from streamgmm.model.projection import Projection
from tests.model.model_rig import N_FEATURES, make_classifier

VECTORS = np.random.default_rng(10).normal(size=(20, N_FEATURES))


def test_the_projection_standardises_then_projects() -> None:
    projection = Projection(np.array([1.0, 2.0]), np.array([2.0, 4.0]), np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]))
    np.testing.assert_allclose(projection.apply(np.array([5.0, 6.0])), [2.0, 1.0, 3.0])
    np.testing.assert_allclose(projection.apply(np.array([[1.0, 2.0], [3.0, 2.0]])), [[0, 0, 0], [1, 0, 1]])


def test_a_label_scores_as_its_mixture_does() -> None:
    classifier = make_classifier(("dog", "glass", "bell"))
    scores = classifier.score(VECTORS[0])
    projected = classifier.projection.apply(VECTORS[:1])
    expected = [mixture.log_likelihood(projected)[0] for mixture in classifier.mixtures]
    np.testing.assert_allclose(scores.log_likelihoods, expected, rtol=1e-10)
    background = classifier.background.log_likelihood(projected)[0]
    assert scores.background_log_likelihood == pytest.approx(background)
    assert scores.llr(1) == pytest.approx(expected[1] - background)


def test_one_by_one_and_together_are_equal() -> None:
    classifier = make_classifier(("dog", "background", "bell"))
    together = classifier.score_many(VECTORS)
    for vector, log_likelihoods in zip(VECTORS, together, strict=True):
        np.testing.assert_allclose(classifier.score(vector).log_likelihoods, log_likelihoods, rtol=1e-9)


def test_the_domain_of_a_label_begins_at_its_floor() -> None:
    classifier = make_classifier()
    floors = np.median(classifier.score_many(VECTORS), axis=0) + 1e-6
    scores = [replace(classifier, floors=floors).score(vector) for vector in VECTORS]
    found = np.array([one.is_in_domain for one in scores])
    assert (found == (np.array([one.log_likelihoods for one in scores]) >= floors)).all()
    assert found.any()
    assert not found.all()


def test_a_trained_background_is_the_reference() -> None:
    scores = make_classifier(("dog", "background")).score(VECTORS[0])
    assert scores.llr(1) == 0.0
    assert len(scores.log_likelihoods) == 2


def test_the_posterior_is_the_softmax_of_scaled_log_likelihoods_and_priors() -> None:
    classifier = replace(make_classifier(), likelihood_scale=0.5, priors=np.array([3.0, 1.0]))
    odds = np.array([3.0 * np.exp(0.5 * -2.0), 1.0 * np.exp(0.5 * -1.0)])
    np.testing.assert_allclose(classifier.posterior(np.array([-2.0, -1.0])), odds / odds.sum())
    even = make_classifier().posterior(np.array([[-2.0, -2.0], [-1e5, -1e5]]))
    np.testing.assert_allclose(even, 0.5)


def test_priors_by_name() -> None:
    classifier = make_classifier().with_priors({"glass": 4.0})
    assert classifier.priors.tolist() == [1.0, 4.0]
    assert make_classifier().priors.tolist() == [1.0, 1.0]
    with pytest.raises(ConfigError, match="no label 'cat'"):
        classifier.with_priors({"cat": 2.0})


@pytest.mark.parametrize(
    "change",
    [
        {"labels": ("dog",)},
        {"labels": ("dog", "Dog")},
        {"labels": ("dog", "a\nb")},
        {"labels": ("dog", "background")},
        {"labels": (), "mixtures": ()},
        {"floors": np.zeros(3)},
        {"floors": np.array([0.0, np.nan])},
        {"floors": np.array([0.0, np.inf])},
        {"priors": np.array([1.0, 0.0])},
        {"priors": np.array([1.0, -1.0])},
        {"priors": np.ones(3)},
        {"likelihood_scale": 0.0},
        {"likelihood_scale": float("nan")},
        {"background": make_classifier(n_dimensions=3).background},
        {"projection": make_classifier(n_dimensions=3).projection},
    ],
)
def test_D7_parts_that_do_not_fit_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        replace(make_classifier(), **change)


def test_a_floor_of_minus_infinity_refuses_nothing() -> None:
    classifier = replace(make_classifier(), floors=np.full(2, -np.inf))
    assert classifier.score(np.full(N_FEATURES, 1e6)).is_in_domain.all()


@pytest.mark.parametrize(
    "parts",
    [
        ([0.0], [0.0], [[1.0]]),
        ([0.0], [-1.0], [[1.0]]),
        ([0.0], [1.0], [[np.nan]]),
        ([0.0, 1.0], [1.0], [[1.0]]),
        ([0.0], [1.0], [1.0]),
        ([], [], np.zeros((0, 3))),
    ],
)
def test_D7_a_projection_that_is_none_is_refused(parts: tuple[Any, Any, Any]) -> None:
    with pytest.raises(DataError):
        Projection(*parts)
