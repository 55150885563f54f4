from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from streamgmm.decision.anomaly import AnomalyJudge, anomaly_settings, smoothing_gain
from streamgmm.decision.bayes import BayesRule
from streamgmm.decision.decider import Decider, Timing
from streamgmm.decision.hop_scores import HopScores
from streamgmm.decision.rules import make_rules
from streamgmm.features.spec import FeatureSpec
from streamgmm.model.density import BackgroundDensity, squash
from streamgmm.records import Start
from streamgmm.settings.decision import DecisionSection
from streamgmm.training.extraction.clip_vectors import ClipVectors
from streamgmm.training.fitting import density as module
from streamgmm.training.fitting.density import fit_density, smoothed
from tests.narrowing import only, present
from tests.training.training_rig import make_clip

SPEC = FeatureSpec(sample_rate_hz=1000, window_s=1.0, hop_s=0.1)
HOP_S = SPEC.hop_samples / SPEC.sample_rate_hz
N_WINDOW_HOPS = SPEC.window_samples // SPEC.hop_samples
N_FEATURES = 30


def windows(n: int, seed: int, n_features: int = N_FEATURES) -> np.ndarray:
    """Windows that overlap: means of as many steps as a window has hops, of correlated features."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(n_features, n_features)) / 3 + np.eye(n_features)
    steps = rng.normal(size=(n + N_WINDOW_HOPS - 1, n_features)) @ mixing
    sums = np.cumsum(np.concatenate([np.zeros((1, n_features)), steps]), axis=0)
    found: np.ndarray = (sums[N_WINDOW_HOPS:] - sums[:-N_WINDOW_HOPS]).astype(np.float32) + 5.0
    return found


def background(*lengths: int, label: str = "background", seed: int = 0, is_world: bool = False) -> list[ClipVectors]:
    """Clips of so many whole windows, after as many others as a recording begins with."""
    clips = []
    for i, n in enumerate(lengths):
        vectors = windows(n + N_WINDOW_HOPS - 1, 100 * seed + i)
        # The first windows are not whole, and unlike all others.
        vectors[: N_WINDOW_HOPS - 1] += 1000.0
        clips.append(ClipVectors(make_clip(label, i), vectors, vectors[:0], is_world=is_world))
    return clips


def fitted(*lengths: int, seed: int = 0) -> BackgroundDensity:
    return present(fit_density(background(*lengths, seed=seed), SPEC))


def n_events(density: BackgroundDensity, vectors: np.ndarray, per_hour: float) -> int:
    """As many as a decider makes of them."""
    section = DecisionSection(max_false_anomalies_per_hour=per_hour)
    rules = make_rules(("dog", "anomaly"), section, {"anomaly": anomaly_settings(section, SPEC)}, SPEC.sample_rate_hz)
    judge = AnomalyJudge(BayesRule(("dog",), np.zeros(1), 1.0), section, SPEC, density.tail, rules[:1])
    decider = Decider(judge, rules, Timing(SPEC.sample_rate_hz, SPEC.hop_samples, SPEC.window_samples, 100), run_id="x")
    no_dog = (np.zeros(1), np.full(1, -9.0), np.ones(1, dtype=bool), np.zeros(0))
    hops = (
        HopScores((i + 1) * SPEC.hop_samples, -30.0, *no_dog, strangeness=density.strangeness(vector))
        for i, vector in enumerate(vectors.astype(float))
    )
    return len(only((record for hop in hops for record in decider.update(hop)), Start))


def test_with_all_axes_the_distance_is_that_of_a_full_gaussian(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "N_AXES", N_FEATURES - 1)
    clips = background(2000)
    density = present(fit_density(clips, SPEC))
    whole = clips[0].vectors[N_WINDOW_HOPS - 1 :].astype(float)
    squashed = squash(whole, density.mean, density.weights)
    normal = multivariate_normal(squashed.mean(axis=0), np.cov(squashed.T, bias=True))
    # The log-density is half the squared distance, but for a constant.
    squares = -2.0 * (normal.logpdf(squashed) - normal.logpdf(normal.mean))
    found = density.strangeness_of_many(whole)
    np.testing.assert_allclose(found, 0.5 * np.log(squares / N_FEATURES), atol=0.02)


def test_the_first_windows_of_a_recording_are_left_out() -> None:
    assert present(fitted(600)).mean == pytest.approx(np.full(N_FEATURES, 5.0), abs=3.0)


def test_nothing_but_the_background_of_the_user_counts() -> None:
    others = [*background(700, label="dog", seed=3), *background(700, seed=4, is_world=True)]
    alone, beside = fitted(600), present(fit_density([*others, *background(600)], SPEC))
    np.testing.assert_array_equal(beside.axes, alone.axes)
    assert beside.tail == alone.tail
    assert fit_density(others, SPEC) is None


def test_the_order_of_the_recordings_makes_no_difference() -> None:
    clips = background(200, 300, 150)
    first, again = (present(fit_density(order, SPEC)) for order in (clips, clips[::-1]))
    np.testing.assert_array_equal(first.axes, again.axes)
    assert first.tail == again.tail


def test_half_a_minute_is_enough_and_less_has_no_density() -> None:
    n_enough = math.ceil(module.MIN_BACKGROUND_S / HOP_S)
    assert fit_density(background(n_enough), SPEC) is not None
    assert fit_density(background(n_enough - 1), SPEC) is None
    assert fit_density([], SPEC) is None


def test_many_short_recordings_have_no_times_to_measure() -> None:
    assert fit_density(background(*[1] * 400), SPEC) is None


def test_a_feature_that_never_varies_does_not_count() -> None:
    (clip,) = background(600)
    clip.vectors[:, 7] = 3.25
    density = present(fit_density([clip], SPEC))
    assert density.weights[7] == 0.0
    vector = clip.vectors[50].astype(float)
    other = vector.copy()
    other[7] = 1e6
    assert density.strangeness(other) == pytest.approx(density.strangeness(vector), abs=1e-3)


def test_what_is_held_out_shares_no_sample_with_what_is_fitted() -> None:
    pieces = module._pieces(background(500, 40, 300), SPEC)
    n_all = 500 + 40 + 300
    assert sum(len(piece.vectors) for piece in pieces) == n_all
    assert {piece.block for piece in pieces} == set(range(module.N_BLOCKS))
    lengths = [sum(len(piece.vectors) for piece in pieces if piece.block == i) for i in range(module.N_BLOCKS)]
    assert max(lengths) - min(lengths) <= 1
    # Where a recording is cut, as many windows are left out as overlap with those on the other side.
    first, second = pieces[:2]
    assert len(first.vectors[first.inner]) == len(first.vectors) - (N_WINDOW_HOPS - 1)
    assert len(second.vectors[second.inner]) <= len(second.vectors) - (N_WINDOW_HOPS - 1)


def test_of_a_very_long_background_equal_parts_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WINDOWS", 500)
    pieces = module._pieces(background(4000, 2000), SPEC)
    assert 500 <= sum(len(piece.vectors) for piece in pieces) <= 510
    assert present(fit_density(background(4000, 2000), SPEC)).tail.per_hour > 0.0


def test_smoothing_is_that_of_the_judge() -> None:
    levels = np.random.default_rng(0).normal(size=40)
    mean, expected = levels[0], []
    for level in levels:
        mean += smoothing_gain(HOP_S) * (level - mean)
        expected.append(mean)
    np.testing.assert_allclose(smoothed(levels, smoothing_gain(HOP_S)), expected)


def test_false_alarms_on_more_of_the_background_stay_near_the_budget() -> None:
    density = fitted(3000)
    hours = 2.0
    unseen = windows(round(hours * 3600.0 / HOP_S), seed=77)
    rates = {budget: n_events(density, unseen, budget) / hours for budget in (2.0, 20.0, 100.0)}
    assert all(rate <= 2.0 * budget for budget, rate in rates.items())
    assert rates[100.0] >= 30.0


def test_what_lies_far_from_the_background_is_found_among_it() -> None:
    density = fitted(3000)
    stream = windows(1000, seed=78)
    for first in range(100, 1000, 100):
        stream[first : first + N_WINDOW_HOPS] += 12.0 * np.random.default_rng(first).normal(size=N_FEATURES)
    assert n_events(density, stream, 2.0) >= 8


def test_a_stranger_background_has_a_higher_tail() -> None:
    (calm,), (restless,) = background(3000), background(3000)
    rng = np.random.default_rng(5)
    for first in rng.integers(100, 2900, size=40):
        restless.vectors[first : first + 10] += 20.0 * rng.normal(size=N_FEATURES)
    tails = [present(fit_density([clip], SPEC)).tail for clip in (calm, restless)]
    assert tails[1].strangeness_at(1.0) > tails[0].strangeness_at(1.0)


def test_the_axes_do_not_depend_on_the_signs_of_eigenvectors(monkeypatch: pytest.MonkeyPatch) -> None:
    expected, eigh = fitted(600), np.linalg.eigh

    def flipped(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, vectors = eigh(matrix)
        return values, -vectors

    monkeypatch.setattr(np.linalg, "eigh", flipped)
    np.testing.assert_array_equal(fitted(600).axes, expected.axes)


def test_a_density_is_the_same_after_a_copy() -> None:
    density = fitted(600)
    vector = windows(1, 3)[0].astype(float)
    assert replace(density).strangeness(vector) == density.strangeness(vector)
