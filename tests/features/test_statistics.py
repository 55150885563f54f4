"""Every measure of a window against loops over plain numbers."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import pywt

from streamgmm.features import statistics as st
from tests import oracles

N_FINE, N_BANDS = 150, 16
RNG = np.random.default_rng(8)
ENERGIES = RNG.gamma(0.7, size=(N_FINE, N_BANDS)) + 1e-6
LOGS = np.log(ENERGIES)
RISES = np.maximum(RNG.normal(size=(N_FINE, N_BANDS)), 0.0)
assert_close = partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n_bands", [8, 16, 31, 32])
def test_groups_are_runs_of_neighbouring_bands(n_bands) -> None:
    rng = np.random.default_rng(8)
    energies = rng.gamma(1.0, size=(20, n_bands))
    groups = st.group_energies(energies)
    edges = [*st.group_edges(n_bands), n_bands]
    assert edges == [n_bands * i // 6 for i in range(7)]
    for row, given in zip(groups, energies, strict=True):
        expected = [sum(given), *(sum(given[edges[i] : edges[i + 1]]) for i in range(6))]
        assert_close(row, expected)


def test_pairs_of_groups() -> None:
    rng = np.random.default_rng(8)
    groups = rng.gamma(1.0, size=(5, 7))
    expected = [[row[0], row[1] + row[2], row[3] + row[4], row[5] + row[6]] for row in groups]
    assert_close(st.paired(groups), expected)


def test_spectral_shape() -> None:
    means = [oracles.mean(column) for column in LOGS.T]
    assert_close(st.spectral_shape(LOGS), [m - oracles.mean(means) for m in means])


@pytest.mark.parametrize("n_fine", [128, 150, 256])
def test_haar_details_are_those_of_plain_loops(n_fine) -> None:
    rng = np.random.default_rng(8)
    logs = rng.normal(size=(n_fine, 3))
    for scale, detail in st.haar_details(logs, range(1, 8)).items():
        expected = np.array([oracles.haar_detail(column, scale) for column in logs.T]).T
        assert_close(detail, expected)


def test_haar_details_are_the_wavelet_transform_at_decimated_shifts() -> None:
    rng = np.random.default_rng(8)
    logs = rng.normal(size=(256, 4))
    details = st.haar_details(logs, st.GROUP_SCALES)
    assert list(details) == list(range(1, 9))
    _, *coarse_to_fine = pywt.wavedec(logs, "haar", level=8, axis=0)
    for scale, expected in enumerate(reversed(coarse_to_fine), start=1):
        assert_close(details[scale][:: 2**scale] * 2 ** (scale / 2), expected)
    _, finest = pywt.dwt(logs, "haar", axis=0)
    assert_close(details[1][::2] * math.sqrt(2), finest)


def test_haar_details_of_chosen_scales_are_the_same() -> None:
    every, some = st.haar_details(LOGS, range(1, 8)), st.haar_details(LOGS, (3, 5))
    assert list(some) == [3, 5]
    for scale in some:
        np.testing.assert_array_equal(some[scale], every[scale])


@pytest.mark.parametrize("n_fine", [2, 3, 4, 7, 8, 40])
def test_a_scale_that_does_not_fit_repeats_the_longest_that_does(n_fine) -> None:
    details = st.haar_details(LOGS[:n_fine], st.GROUP_SCALES)
    longest = int(math.log2(n_fine))
    expected = np.array([oracles.haar_detail(column, longest) for column in LOGS[:n_fine].T]).T
    for scale in range(longest, 9):
        assert_close(details[scale], expected)


def test_a_rise_is_negative() -> None:
    assert st.haar_details(np.array([[0.0], [1.0]]), (1,))[1].tolist() == [[-0.5]]


def test_modulation_energies() -> None:
    rng = np.random.default_rng(8)
    details = {2: rng.normal(size=(9, 3)), 4: rng.normal(size=(5, 3))}
    expected = [
        math.log(oracles.mean(abs(value) for value in column) + 1e-3) for scale in (2, 4) for column in details[scale].T
    ]
    assert_close(st.modulation_energies(details), expected)


def test_a_single_point_has_no_detail() -> None:
    details = st.haar_details(LOGS[:1], (2, 5))
    assert [detail.tolist() for detail in details.values()] == [[[0.0] * N_BANDS]] * 2


@pytest.mark.parametrize("n_fine", [32, 150])
def test_second_modulations_are_haar_details_of_the_strength_of_haar_details(n_fine) -> None:
    logs = LOGS[:n_fine, :3]
    first = st.haar_details(logs, (2, 3, 4))
    shortest = n_fine - 2**4 + 1
    expected = []
    for slow in (5, 6, 7):
        for quick in (2, 3, 4):
            for column in logs.T:
                strengths = [math.log(abs(d) + st.MIN_DETAIL) for d in oracles.haar_detail(column, quick)][-shortest:]
                longest = min(slow, int(math.log2(shortest)))
                details = oracles.haar_detail(strengths, longest)
                expected.append(math.log(oracles.mean(map(abs, details)) + st.MIN_DETAIL))
    assert_close(st.second_modulations(first, (5, 6, 7)), expected)


def test_group_correlations_are_those_of_pearson() -> None:
    rng = np.random.default_rng(8)
    details = {2: rng.normal(size=(40, 4)), 4: rng.normal(size=(20, 4))}
    correlations = [np.asarray(np.corrcoef(detail.T)) for detail in details.values()]
    expected = [matrix[i, j] for matrix in correlations for i in range(4) for j in range(i + 1, 4)]
    np.testing.assert_allclose(st.group_correlations(details), expected, atol=0.01)
    assert np.isfinite(st.group_correlations({2: np.zeros((3, 4))})).all()


def test_attack_asymmetry() -> None:
    rng = np.random.default_rng(8)
    details = {4: rng.normal(size=(9, 3)), 6: rng.normal(size=(5, 3)), 7: rng.normal(size=(5, 3))}
    expected = [
        -sum(value**3 for value in column) / (sum(abs(value) ** 3 for value in column) + 1e-9)
        for scale in (4, 6)
        for column in details[scale].T
    ]
    assert_close(st.attack_asymmetry(details, (4, 6)), expected)


def test_attack_asymmetry_tells_a_strike_from_a_swell() -> None:
    strike = np.concatenate([np.zeros(40), 5.0 - np.arange(100) * 0.05])[:, np.newaxis]
    asymmetry = st.attack_asymmetry(st.haar_details(strike, (4,)), (4,))
    assert asymmetry[0] > 0.8
    np.testing.assert_allclose(st.attack_asymmetry(st.haar_details(strike[::-1], (4,)), (4,)), -asymmetry)


def test_rising_energy() -> None:
    expected = [math.log(oracles.mean(column) + 1e-3) for column in RISES.T]
    assert_close(st.rising_energy(RISES), expected)


def test_kurtosis() -> None:
    expected = [math.log(oracles.mean(e * e for e in column) / oracles.mean(column) ** 2) for column in ENERGIES.T]
    assert_close(st.kurtosis(ENERGIES), expected)
    np.testing.assert_allclose(st.kurtosis(np.full((9, 2), 3.0)), 0.0, atol=1e-12)


def test_tonality() -> None:
    rng = np.random.default_rng(8)
    coherences = rng.normal(size=(2, 5)) + 1j * rng.normal(size=(2, 5))
    powers = rng.gamma(1.0, size=5) + 1.0
    expected = [oracles.mean(abs(coherences[lag, i]) / powers[i] for lag in range(2)) for i in range(5)]
    assert_close(st.tonality(coherences, powers), expected)


def test_spectral_entropy() -> None:
    entropies = [oracles.entropy(row) for row in ENERGIES]
    expected = [oracles.mean(entropies), oracles.deviation(entropies)]
    assert_close(st.spectral_entropy(ENERGIES, LOGS, ENERGIES.sum(axis=1)), expected)
    flat = np.ones((4, N_BANDS))
    mean, deviation = st.spectral_entropy(flat, np.log(flat), flat.sum(axis=1))
    assert mean == pytest.approx(math.log(N_BANDS))
    assert deviation == pytest.approx(0.0, abs=1e-12)


def test_onset_synchrony() -> None:
    together = [oracles.mean(row) for row in RISES]
    alone = oracles.mean(oracles.deviation(column) for column in RISES.T)
    peak = max(together) / (oracles.mean(together) + 1e-3)
    expected = [oracles.deviation(together) / (alone + 1e-3), math.log(peak + 1.0)]
    assert_close(st.onset_synchrony(RISES), expected)


@pytest.mark.parametrize("n_fine", [8, 33, 128, 250])
def test_periodicity_is_that_of_plain_autocorrelation(n_fine) -> None:
    rng = np.random.default_rng(8)
    logs = np.cumsum(rng.normal(size=(n_fine, 2)), axis=0)
    expected = [oracles.periodicity(column.tolist(), 0.004, 0.01, 0.7, 9, 1e-3) for column in logs.T]
    assert_close(st.envelope_periodicity(logs, 0.004), np.array(expected).T.ravel())


def test_periodicity_finds_the_range_of_a_rhythm() -> None:
    rhythm = np.tile(np.repeat([3.0, 0.0], [5, 45]), 5)[:, np.newaxis]
    strongest = st.envelope_periodicity(rhythm, 0.004)
    # 0.2 s lies in the seventh range; its multiples lie in those after it.
    assert strongest[:6].max() < 0.6
    assert strongest[6:].min() > 0.95
