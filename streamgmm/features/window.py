"""The window vector: the statistics of the last second, computed anew each hop."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamgmm.arrays import Float64Array, FloatArray
from streamgmm.features import statistics as st
from streamgmm.features.active_shape import N_VALUES, active_shape
from streamgmm.features.spec import FeatureSpec
from streamgmm.features.transform import LAGS_PER_INVERSE_SIGMA, HopEnergies

FLOOR = 1e-6
"""Energies are floored 60 dB below the running level, so that digital silence and faint noise look alike."""

MIN_ENERGY = 1e-20
"""Stands for the level of digital silence, far below one bit of any converter."""

ASYMMETRY_SCALES = (4, 6)
BAND_SCALES = (3, 5)
RISE_SCALES = (1, 3, 5, 7)
SYNCHRONY_SCALE = 3
CORRELATION_SCALES = (2, 4, 6)
QUICK_SCALES = (2, 3, 4)
SLOW_SCALES = (5, 6, 7)


Bands = tuple[int, ...]
"""Indices of bands in the bank, ascending."""


class FeatureBlock(NamedTuple):
    """A run of numbers of the vector that one call of a function measures.

    Attributes:
        kind: what is measured, by the name of the function.
        bands: for each number the bands that it depends on, ascending; all bands for the whole spectrum.
    """

    kind: str
    bands: tuple[Bands, ...]


@lru_cache(maxsize=8)
def window_layout(spec: FeatureSpec) -> tuple[FeatureBlock, ...]:
    """What the vector consists of, in the order in which `WindowStatistics` measures it: every number is told here."""
    everything = (tuple(range(spec.n_bands)),)
    bands = tuple((band,) for band in range(spec.n_bands))
    groups = tuple(tuple(range(first, end)) for first, end in pairwise([*st.group_edges(spec.n_bands), spec.n_bands]))
    pairs = tuple(low + high for low, high in zip(groups[::2], groups[1::2], strict=True))
    return (
        FeatureBlock("spectral shape", bands),
        FeatureBlock("modulation energies", len(st.GROUP_SCALES) * (everything + groups)),
        FeatureBlock("modulation energies", len(BAND_SCALES) * bands),
        FeatureBlock("second modulations", len(QUICK_SCALES) * len(SLOW_SCALES) * (everything + groups)),
        FeatureBlock(
            "group correlations", len(CORRELATION_SCALES) * tuple(low + high for low, high in combinations(groups, 2))
        ),
        FeatureBlock("attack asymmetry", len(ASYMMETRY_SCALES) * (everything + groups)),
        FeatureBlock("rising energy", len(RISE_SCALES) * bands),
        FeatureBlock("kurtosis", bands),
        FeatureBlock("tonality", bands),
        FeatureBlock("spectral entropy", 2 * everything),
        FeatureBlock("onset synchrony", 2 * everything),
        FeatureBlock("envelope periodicity", st.N_LAG_RANGES * (everything + pairs)),
        FeatureBlock("active shape", N_VALUES * everything),
    )


def n_features(spec: FeatureSpec) -> int:
    """Length of a vector."""
    return sum(len(block.bands) for block in window_layout(spec))


class WindowStatistics:
    """Keeps the energies of the last window and turns them into one vector per hop.

    Everything is computed anew from the window itself: nothing is added and subtracted, so nothing
    drifts, however long the stream.

    Args:
        spec: numbers of the bank.
        dtype: of the energies.
    """

    def __init__(self, spec: FeatureSpec, dtype: npt.DTypeLike = np.float32) -> None:
        self.spec = spec
        self._dtype = dtype
        self._hop_fine = spec.hop_samples // spec.fine_samples
        self._n_hops = spec.window_frames // spec.hop_frames
        self._fine_s = spec.fine_samples / spec.sample_rate_hz
        self.reset()

    def reset(self) -> None:
        """Forget the window: the next vectors come from partial ones."""
        self._energies = np.zeros((self._n_hops * self._hop_fine, self.spec.n_bands), dtype=self._dtype)
        complex_dtype = np.result_type(self._dtype, np.complex64)
        self._coherences = np.zeros((self._n_hops, len(LAGS_PER_INVERSE_SIGMA), self.spec.n_bands), dtype=complex_dtype)
        self._powers = np.zeros((self._n_hops, self.spec.n_bands), dtype=self._dtype)
        self._n_heard_hops = 0

    def push(self, hop: HopEnergies, level: float) -> Float64Array:
        """Add a hop and measure the window that ends with it.

        Args:
            hop: the hop's energies.
            level: running mean of the broadband energy, which sets the floor.

        Returns:
            float64, shape (n_features(spec),), finite.
        """
        self._energies[: -self._hop_fine] = self._energies[self._hop_fine :]
        self._energies[-self._hop_fine :] = hop.energies
        for kept, new in ((self._coherences, hop.coherences), (self._powers, hop.powers)):
            kept[:-1] = kept[1:]
            kept[-1] = new
        self._n_heard_hops = min(self._n_heard_hops + 1, self._n_hops)
        energies = self._energies[-self._n_heard_hops * self._hop_fine :]
        return self._measure(energies / max(level, MIN_ENERGY))

    def _measure(self, energies: FloatArray) -> Float64Array:
        energies = energies + FLOOR / self.spec.n_bands
        log_energies = np.log(energies)
        groups = st.group_energies(energies)
        band_details = st.haar_details(log_energies, RISE_SCALES)
        rises = {scale: np.maximum(-detail, 0.0) for scale, detail in band_details.items()}
        group_details = st.haar_details(np.log(groups), st.GROUP_SCALES)
        return np.concatenate(
            [  # in the order of `window_layout`
                st.spectral_shape(log_energies),
                st.modulation_energies(group_details),
                st.modulation_energies({scale: band_details[scale] for scale in BAND_SCALES}),
                st.second_modulations({scale: group_details[scale] for scale in QUICK_SCALES}, SLOW_SCALES),
                st.group_correlations({scale: group_details[scale][:, 1:] for scale in CORRELATION_SCALES}),
                st.attack_asymmetry(group_details, ASYMMETRY_SCALES),
                *map(st.rising_energy, rises.values()),
                st.kurtosis(energies),
                st.tonality(np.add.reduce(self._coherences), np.add.reduce(self._powers) + MIN_ENERGY),
                st.spectral_entropy(energies, log_energies, groups[:, 0]),
                st.onset_synchrony(rises[SYNCHRONY_SCALE]),
                st.envelope_periodicity(np.log(st.paired(groups)), self._fine_s),
                active_shape(energies),
            ],
            dtype=np.float64,
        )
