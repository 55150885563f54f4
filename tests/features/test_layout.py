"""What the vector is said to consist of, against what is measured."""

from __future__ import annotations

import numpy as np
import pytest

from streamgmm.features import statistics, window
from streamgmm.features.spec import FeatureSpec
from streamgmm.features.transform import LAGS_PER_INVERSE_SIGMA, HopEnergies
from streamgmm.features.window import WindowStatistics, n_features, window_layout

N_BANDS = [8, 13, 32]


def spec_of(n_bands: int) -> FeatureSpec:
    return FeatureSpec(sample_rate_hz=8000, n_bands=n_bands)


def random_hops(spec: FeatureSpec) -> list[HopEnergies]:
    """As many hops as a window has, of energies that come and go."""
    rng = np.random.default_rng(0)
    n_fine, shape = spec.hop_samples // spec.fine_samples, (len(LAGS_PER_INVERSE_SIGMA), spec.n_bands)
    return [
        HopEnergies(
            rng.gamma(0.7, size=(n_fine, spec.n_bands)),
            rng.normal(size=shape) + 1j * rng.normal(size=shape),
            9.0 + rng.gamma(1.0, size=spec.n_bands),
        )
        for _ in range(spec.window_frames // spec.hop_frames)
    ]


def measure(spec: FeatureSpec, hops: list[HopEnergies]) -> np.ndarray:
    measured = WindowStatistics(spec, np.float64)
    return [measured.push(hop, 1.0) for hop in hops][-1]


def with_other_band(hops: list[HopEnergies], band: int) -> list[HopEnergies]:
    """The same hops, but in one band other energies, coherences and powers, also within the window."""
    rng = np.random.default_rng(1)
    changed = []
    for hop in hops:
        energies, coherences, powers = hop.energies.copy(), hop.coherences.copy(), hop.powers.copy()
        energies[:, band] = 30.0 * rng.gamma(0.3, size=len(energies))
        coherences[:, band] *= 3.0
        powers[band] *= 2.0
        changed.append(HopEnergies(energies, coherences, powers))
    return changed


@pytest.mark.parametrize("n_bands", N_BANDS)
def test_each_number_comes_from_the_function_that_the_layout_names(monkeypatch, n_bands) -> None:
    spec = spec_of(n_bands)
    kinds = list(dict.fromkeys(block.kind for block in window_layout(spec)))
    for mark, kind in enumerate(kinds):
        name = kind.replace(" ", "_")
        home = statistics if hasattr(statistics, name) else window
        original = getattr(home, name)

        def marked(*given, mark=mark, original=original):
            return np.full_like(original(*given), mark)

        monkeypatch.setattr(home, name, marked)
    told = [kinds.index(block.kind) for block in window_layout(spec) for _ in block.bands]
    assert measure(spec, random_hops(spec)).tolist() == told


@pytest.mark.parametrize("n_bands", N_BANDS)
def test_a_change_in_a_band_changes_just_the_numbers_that_look_at_it(n_bands) -> None:
    spec = spec_of(n_bands)
    hops = random_hops(spec)
    usual = measure(spec, hops)
    places = [place for block in window_layout(spec) for place in block.bands]
    # The shape of the spectrum is relative to its mean, and a level of any band moves that.
    is_relative = np.array([block.kind == "spectral shape" for block in window_layout(spec) for _ in block.bands])
    for band in range(n_bands):
        changes = measure(spec, with_other_band(hops, band)) - usual
        changes[is_relative] -= np.median(changes[is_relative])
        is_changed = np.abs(changes) > 1e-9
        # What looks at all bands may be a count, which one of them need not change.
        expected = [
            changed if len(place) == n_bands else band in place
            for changed, place in zip(is_changed, places, strict=True)
        ]
        assert is_changed.tolist() == expected


@pytest.mark.parametrize("n_bands", N_BANDS)
def test_places_are_bands_of_the_bank_in_their_order(n_bands) -> None:
    layout = window_layout(spec_of(n_bands))
    assert n_features(spec_of(n_bands)) == sum(len(block.bands) for block in layout)
    for block in layout:
        for place in block.bands:
            assert place
            assert list(place) == sorted(set(place) & set(range(n_bands)))
