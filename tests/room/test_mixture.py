"""The mixture of a room against its formulas, and its bounds."""

from __future__ import annotations

import numpy as np
import pytest

from streamgmm.arrays import log_sum_exp
from streamgmm.model.mixture import Mixture
from streamgmm.room.mixture import MEMORY_S, MIN_VARIANCE_SHARE, N_COMPONENTS, RELEVANCE_FACTOR, UPDATE_S, RoomMixture

HOP_S, WINDOW_S = 0.1, 1.0
HOPS_PER_UPDATE = round(UPDATE_S / HOP_S)


def broad(n_components: int = 1, covariance_type="diag") -> Mixture:
    rng = np.random.default_rng(n_components)
    variances = rng.uniform(1.0, 9.0, (n_components, 4))
    covariances = variances if covariance_type == "diag" else np.array([np.diag(one) for one in variances])
    return Mixture(
        rng.dirichlet(np.ones(n_components)), rng.normal(size=(n_components, 4)), covariances, covariance_type
    )


def make_room(background: Mixture, is_claimed=lambda vector: False) -> RoomMixture:
    return RoomMixture(background, is_claimed, hop_s=HOP_S, window_s=WINDOW_S)


def density(room: RoomMixture, vector: np.ndarray) -> float:
    return float(log_sum_exp(room.weighted_log_densities(vector)))


def hear(room: RoomMixture, vectors: np.ndarray) -> None:
    for vector in vectors:
        room.add(vector, room.weighted_log_densities(vector))


def sound(centre: float, n_hops: int, seed: int = 0) -> np.ndarray:
    return centre + 0.3 * np.random.default_rng(seed).normal(size=(n_hops, 4))


@pytest.mark.parametrize("covariance_type", ["diag", "full"])
def test_a_background_of_as_many_components_is_taken_as_it_is(covariance_type: str) -> None:
    background = broad(N_COMPONENTS, covariance_type)
    for vector in sound(1.0, 5):
        assert density(make_room(background), vector) == pytest.approx(background.log_likelihood(vector[None])[0])


@pytest.mark.parametrize("n_components", [1, 3, 31, 32, 33, 200])
def test_there_are_as_many_components_whatever_the_model_has(n_components: int) -> None:
    assert make_room(broad(n_components)).weighted_log_densities(np.zeros(4)).shape == (N_COMPONENTS,)


def test_halves_keep_the_mean_and_the_covariance() -> None:
    background = broad(1)
    room = make_room(background)
    weights, variances = room._weights, room._variances
    mean = weights @ room._means
    np.testing.assert_allclose(mean, background.means[0])
    spread = weights @ (variances + np.square(room._means - mean))
    np.testing.assert_allclose(spread, background.covariances[0])


def test_one_update_is_that_of_the_paper() -> None:
    room, background = make_room(broad(N_COMPONENTS)), broad(N_COMPONENTS)
    order = np.argsort(-background.weights)
    vectors = sound(2.0, HOPS_PER_UPDATE)
    shares = background.responsibilities(vectors)[:, order] * HOP_S / WINDOW_S
    hear(room, vectors)
    counts = shares.sum(axis=0)
    trust = counts / (counts + RELEVANCE_FACTOR)
    own_means = (shares.T @ vectors) / counts[:, None]
    means = trust[:, None] * own_means + (1.0 - trust)[:, None] * background.means[order]
    weights = trust * counts / counts.sum() + (1.0 - trust) * background.weights[order]
    old = background.covariances[order]
    own_squares = (shares.T @ np.square(vectors)) / counts[:, None]
    before = old + np.square(background.means[order])
    spread = trust[:, None] * own_squares + (1.0 - trust)[:, None] * before - np.square(means)
    variances = np.clip(spread, MIN_VARIANCE_SHARE * old, old)
    expected = Mixture(weights / weights.sum(), means, variances, "diag")
    for vector in sound(1.5, 5):
        assert density(room, vector) == pytest.approx(expected.log_likelihood(vector[None])[0])


def test_nothing_changes_before_the_first_update() -> None:
    room, untouched = make_room(broad()), make_room(broad())
    hear(room, sound(2.0, HOPS_PER_UPDATE - 1))
    assert room.learnt_s == 0.0
    assert density(room, np.ones(4)) == density(untouched, np.ones(4))


def test_what_is_heard_becomes_likelier_and_the_rest_hardly_less() -> None:
    room, untouched = make_room(broad()), make_room(broad())
    hear(room, sound(2.0, 10 * HOPS_PER_UPDATE))
    assert density(room, np.full(4, 2.0)) > density(untouched, np.full(4, 2.0)) + 1.0
    assert room.learnt_s == pytest.approx(10 * UPDATE_S, rel=0.05)


def test_a_component_does_not_go_where_a_class_is() -> None:
    room = make_room(broad(), is_claimed=lambda vector: bool(vector[0] > 0.0))
    untouched = make_room(broad())
    hear(room, sound(3.0, 10 * HOPS_PER_UPDATE))
    means = room._whitened_means / room._factors
    moved = np.abs(means - untouched._means).max(axis=1) > 1e-9
    assert not moved[means[:, 0] > 0.0].any()


def test_statistics_are_bounded() -> None:
    room = make_room(broad())
    for minute in range(24 * 60):
        # The same as a minute of hops for one component, without the time that these take.
        room.fresh[0, 0] = UPDATE_S / WINDOW_S
        room.n_hops = (minute + 1) * HOPS_PER_UPDATE - 1
        room.add(np.full(4, 5.0), room.weighted_log_densities(np.full(4, 5.0)))
    assert room.learnt_s < 1.02 * MEMORY_S
    assert np.isfinite(room.settled).all()


def test_old_sound_is_forgotten() -> None:
    room = make_room(broad())
    hear(room, sound(3.0, 10 * HOPS_PER_UPDATE))
    before = density(room, np.full(4, 3.0))
    hear(room, sound(-3.0, 10 * HOPS_PER_UPDATE))
    assert density(room, np.full(4, 3.0)) < before


def test_a_vector_far_from_everything_does_no_harm() -> None:
    room = make_room(broad())
    hear(room, np.full((2 * HOPS_PER_UPDATE, 4), 1e6))
    assert np.isfinite(room.weighted_log_densities(np.zeros(4))).all()
