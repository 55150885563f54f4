from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgmm.errors import DataError
from streamgmm.model.density import MAX_STRANGENESS, AlarmTail, BackgroundDensity, score_at
from streamgmm.model.model_error import ModelError
from streamgmm.model.reader import parse_model
from streamgmm.model.writer import model_bytes
from tests.model.density_rig import TAIL, make_density
from tests.model.model_rig import header_of, make_model, refusal, with_array, with_spec
from tests.narrowing import present

NAMES = ("mean", "weights", "centre", "axes", "variances")


def plain_strangeness(density: BackgroundDensity, vector: np.ndarray) -> float:
    """One direction after the other: the main axes, then all that is orthogonal to them."""
    deviations = [math.asinh((x - m) * w) for x, m, w in zip(vector, density.mean, density.weights, strict=True)]
    centred = np.array(deviations) - density.centre
    total, rest = 0.0, centred.copy()
    for i, variance in enumerate(density.variances):
        along = sum(a * b for a, b in zip(centred, density.axes[:, i], strict=True))
        total += along**2 / variance
        rest = rest - along * density.axes[:, i]
    return 0.5 * math.log((total + sum(rest**2) / density.rest_variance) / len(vector))


@given(seed=st.integers(0, 10_000), n_axes=st.integers(1, 8), size=st.floats(0.1, 1e3))
def test_strangeness_is_the_distance_direction_by_direction(seed: int, n_axes: int, size: float) -> None:
    density = make_density(n_features=20, n_axes=n_axes, seed=seed)
    vector = size * np.random.default_rng(seed + 1).normal(size=20)
    # Axes of three digits are orthonormal to three digits.
    assert density.strangeness(vector) == pytest.approx(plain_strangeness(density, vector), abs=5e-3)


def test_many_vectors_are_scored_like_one() -> None:
    density = make_density()
    vectors = np.random.default_rng(1).normal(size=(30, density.n_features))
    each = [density.strangeness(vector) for vector in vectors]
    np.testing.assert_allclose(density.strangeness_of_many(vectors), each, rtol=1e-12)


def test_what_is_further_away_is_stranger() -> None:
    density = make_density()
    direction = np.random.default_rng(1).normal(size=density.n_features)
    found = [density.strangeness(density.mean + factor * direction) for factor in (1.0, 3.0, 10.0, 1e6)]
    assert found == sorted(set(found))


def test_a_feature_that_never_varied_does_not_count() -> None:
    density = make_density()
    weights = density.weights.copy()
    weights[4] = 0.0
    density = replace(density, weights=weights)
    vector = np.ones(density.n_features)
    other = vector.copy()
    other[4] = 1e9
    assert density.strangeness(other) == density.strangeness(vector)


def test_the_centre_itself_is_not_strange_and_no_number_overflows() -> None:
    density = make_density(n_features=5, n_axes=2, centre=np.zeros(5))
    assert density.strangeness(density.mean) == -MAX_STRANGENESS
    assert math.isfinite(density.strangeness(np.full(5, 1e300)))


@pytest.mark.parametrize("per_hour", [0.01, 1.0, 5.0, 179.0])
def test_the_score_at_a_budget_is_that_of_the_strangeness_at_it(per_hour: float) -> None:
    assert TAIL.score(TAIL.strangeness_at(per_hour)) == pytest.approx(score_at(per_hour))


def test_a_mean_excess_more_is_rarer_by_e() -> None:
    assert TAIL.strangeness_at(1.0) - TAIL.strangeness_at(math.e) == pytest.approx(TAIL.scale)
    assert TAIL.strangeness_at(TAIL.per_hour) == TAIL.level


def test_scores_lie_between_0_and_1_however_strange() -> None:
    assert [TAIL.score(x) for x in (-1e6, -50.0, 1e6)] == [pytest.approx(0.0), pytest.approx(0.0), 1.0]


def test_a_density_survives_its_file_bit_for_bit() -> None:
    model = replace(make_model(), density=make_density())
    read = present(parse_model(model_bytes(model), "x").density)
    for name in NAMES:
        np.testing.assert_array_equal(getattr(read, name), getattr(model.density, name))
    assert (read.rest_variance, read.tail) == (0.5, TAIL)
    vector = np.random.default_rng(3).normal(size=read.n_features)
    assert read.strangeness(vector) == present(model.density).strangeness(vector)


def test_a_model_without_a_density_has_the_bytes_that_it_always_had() -> None:
    data = model_bytes(make_model())
    assert b"density" not in data
    assert parse_model(data, "x").density is None


def test_a_density_of_other_features_is_refused() -> None:
    with pytest.raises(DataError, match="density has 7 features"):
        replace(make_model(), density=make_density(n_features=7))


def test_a_density_that_scores_otherwise_than_at_training_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = model_bytes(replace(make_model(), density=make_density()))
    monkeypatch.setattr(BackgroundDensity, "strangeness", lambda self, vector: 0.123)
    with pytest.raises(ModelError, match="scores differ"):
        parse_model(data, "x")


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"axes": np.zeros(5)}, "axes has shape"),
        ({"mean": np.zeros(3)}, "mean has shape"),
        ({"mean": np.full(8, np.nan)}, "not finite"),
        ({"weights": np.full(8, -1.0)}, "negative"),
        ({"variances": np.zeros(3)}, "variance"),
        ({"variances": np.ones(4)}, "variances has shape"),
        ({"rest_variance": 0.0}, "variance"),
        ({"rest_variance": math.nan}, "variance"),
        ({"tail": AlarmTail(math.nan, 1.0, 1.0)}, "tail"),
        ({"tail": AlarmTail(0.0, 0.0, 1.0)}, "tail"),
        ({"tail": AlarmTail(0.0, 1.0, 0.0)}, "tail"),
        ({"tail": AlarmTail(0.0, math.inf, 1.0)}, "tail"),
    ],
)
def test_parts_that_are_not_valid_are_refused(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(DataError, match=what):
        make_density(n_features=8, **changes)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"n_axes": 3, "rest_variance": 0.0, "level": 0.5, "per_hour": 1.0, "scale": 0.02}, "values"),
        ({"n_axes": 3, "rest_variance": 0.5, "level": 0.5, "per_hour": -1.0, "scale": 0.02}, "values"),
        ({"n_axes": 2, "rest_variance": 0.5, "level": 0.5, "per_hour": 1.0, "scale": 0.02}, "layout"),
        ({"n_axes": 0, "rest_variance": 0.5, "level": 0.5, "per_hour": 1.0, "scale": 0.02}, "header"),
        ({"n_axes": 3}, "header"),
        (None, "layout"),
    ],
)
def test_a_file_with_numbers_that_are_not_valid_is_refused(changes: dict[str, float] | None, reason: str) -> None:
    data = model_bytes(replace(make_model(), density=make_density()))
    assert refusal(with_spec(data, density=changes)).reason == reason


@pytest.mark.parametrize("name", ["density.mean", "density.axes", "density.variances"])
def test_an_array_with_a_number_that_is_not_finite_is_refused(name: str) -> None:
    data = model_bytes(replace(make_model(), density=make_density()))
    begin, end = header_of(data)[name]["data_offsets"]
    # All bits set is NaN in any precision.
    assert refusal(with_array(data, name, bytes([255]) * (end - begin))).reason == "values"
