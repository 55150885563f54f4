"""The layer of rectified units: its values, its gradient, and its place in the file."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from streamgmm.errors import DataError
from streamgmm.model.bottleneck import Bottleneck
from streamgmm.model.model_error import ModelError
from streamgmm.model.reader import parse_model
from streamgmm.model.writer import model_bytes
from tests.model.model_rig import make_bottleneck, make_model, make_projection, with_spec

F, U, D = 7, 5, 3


@pytest.fixture
def bottleneck() -> Bottleneck:
    return make_bottleneck(np.random.default_rng(1), F, U, D)


def test_values_are_those_of_slow_sums(bottleneck: Bottleneck) -> None:
    vectors = np.random.default_rng(2).normal(size=(4, F))
    for vector, found in zip(vectors, bottleneck.apply(vectors), strict=True):
        expected = bottleneck.shift.copy()
        for i in range(U):
            unit = sum(vector[j] * bottleneck.weights[j, i] for j in range(F)) + bottleneck.offsets[i]
            expected += max(0.0, unit) * bottleneck.matrix[i]
        assert bottleneck.apply_exactly(vector) == pytest.approx(expected, rel=1e-12)
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)
        assert bottleneck.apply(vector) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_a_projection_adds_it_to_its_linear_part(bottleneck: Bottleneck) -> None:
    linear = make_projection(np.random.default_rng(3), F, D)
    vector = np.random.default_rng(4).normal(size=F)
    added = replace(linear, bottleneck=bottleneck).apply(vector) - linear.apply(vector)
    assert added == pytest.approx(bottleneck.apply((vector - linear.mean) / linear.scale))
    exact = replace(linear, bottleneck=bottleneck).apply_exactly(vector) - linear.apply_exactly(vector)
    assert exact == pytest.approx(bottleneck.apply_exactly((vector - linear.mean) / linear.scale))


def test_the_gradient_of_a_projection_is_its_slope(bottleneck: Bottleneck) -> None:
    projection = replace(make_projection(np.random.default_rng(3), F, D), bottleneck=bottleneck)
    rng = np.random.default_rng(5)
    vector, by_outputs, step = rng.normal(size=F), rng.normal(size=D), 1e-6
    shifts = step * np.diag(projection.scale)
    slopes = [
        (projection.apply_exactly(vector + shift) - projection.apply_exactly(vector - shift))
        @ by_outputs
        / (2.0 * step)
        for shift in shifts
    ]
    assert projection.gradient(vector, by_outputs) == pytest.approx(np.array(slopes), rel=1e-6)


def test_between_two_kinks_the_gradient_is_constant(bottleneck: Bottleneck) -> None:
    projection = replace(make_projection(np.random.default_rng(3), F, D), bottleneck=bottleneck)
    vector = projection.mean + 5.0 * np.random.default_rng(6).normal(size=F)
    edges = np.array([0.0, *projection.kinks(vector), 1.0])
    assert len(edges) > 2

    def gradient(share: float) -> np.ndarray:
        return projection.gradient(projection.mean + share * (vector - projection.mean), np.ones(D))

    pieces = [(low + 1e-9, high - 1e-9) for low, high in itertools.pairwise(edges)]
    for low, high in pieces:
        assert gradient(low) == pytest.approx(gradient(high))
    for (_, before), (after, _) in itertools.pairwise(pieces):
        assert gradient(before) != pytest.approx(gradient(after))


@pytest.mark.parametrize(
    "change",
    [
        {"weights": np.zeros((F, U + 1))},
        {"weights": np.zeros(F)},
        {"offsets": np.zeros(U - 1)},
        {"matrix": np.zeros(U)},
        {"shift": np.zeros(D + 1)},
        {"shift": np.full(D, np.nan)},
    ],
)
def test_parts_that_do_not_fit_are_refused(bottleneck: Bottleneck, change: dict[str, np.ndarray]) -> None:
    with pytest.raises(DataError):
        replace(bottleneck, **change)


@pytest.mark.parametrize(("n_features", "n_dimensions"), [(F + 1, D), (F, D + 1)])
def test_a_projection_refuses_one_of_another_shape(bottleneck: Bottleneck, n_features: int, n_dimensions: int) -> None:
    projection = make_projection(np.random.default_rng(3), n_features, n_dimensions)
    with pytest.raises(DataError, match="bottleneck"):
        replace(projection, bottleneck=bottleneck)


def test_a_model_file_keeps_it_bit_for_bit() -> None:
    model = make_model(n_units=12)
    data = model_bytes(model)
    read = parse_model(data, "yard.sgm")
    vector = np.random.default_rng(7).normal(size=read.classifier.projection.n_features)
    assert read.classifier.score_mixtures(vector).tobytes() == model.classifier.score_mixtures(vector).tobytes()
    assert model_bytes(replace(read, sha256=model.sha256)) == data
    # Two bytes for each weight, and little else.
    linear = model_bytes(make_model())
    assert 2 * 12 * read.classifier.projection.n_features < len(data) - len(linear) < 5 * 12 * 1000


def test_D5_a_number_of_units_that_the_arrays_do_not_have_is_refused() -> None:
    data = model_bytes(make_model(n_units=12))
    for n_units in (0, 11, 5000, -1):
        with pytest.raises(ModelError):
            parse_model(with_spec(data, n_units=n_units), "yard.sgm")
