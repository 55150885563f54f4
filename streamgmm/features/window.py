"""The window vector: statistics of the last `window_s` seconds, computed from scratch at each hop."""

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
"""Energy floor, 60 dB below the running level, so that digital silence and faint noise give similar features."""

MIN_ENERGY = 1e-20
"""Energy that stands for digital silence, far below one bit of any converter."""

# Scales of `haar_details`: scale j compares the log energies of 2**(j-1) points and as many later ones.
ASYMMETRY_SCALES = (4, 6)
BAND_SCALES = (3, 5)
# The scales of bands and of synchrony must be among them: one transform of the bands serves all three.
RISE_SCALES = (1, 3, 5, 7)
SYNCHRONY_SCALE = 3
CORRELATION_SCALES = (2, 4, 6)
# These, and the scales of correlation and asymmetry, must be among `GROUP_SCALES`, for the same reason.
QUICK_SCALES = (2, 3, 4)
SLOW_SCALES = (5, 6, 7)


Bands = tuple[int, ...]
"""Indices of bands in the bank, ascending."""


class FeatureBlock(NamedTuple):
    """Neighbouring features that one function measures.

    Attributes:
        kind: name of the function, with spaces.
        bands: for each feature the bands that it depends on, ascending; all bands for the whole spectrum.
    """

    kind: str
    bands: tuple[Bands, ...]


@lru_cache(maxsize=8)
def window_layout(spec: FeatureSpec) -> tuple[FeatureBlock, ...]:
    """Return the blocks of the window vector, in the order in which `WindowStatistics` measures them."""
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
    """Return the length of a window vector."""
    return sum(len(block.bands) for block in window_layout(spec))


class WindowStatistics:
    """Stores the energies of the last window, and turns them into one vector per hop.

    All statistics are computed from the whole window at each hop. No running sums are kept, so rounding errors do
    not add up, however long the stream.

    Args:
        spec: defines the bank and the lengths of windows and hops.
        dtype: dtype of the energies.
    """

    def __init__(self, spec: FeatureSpec, dtype: npt.DTypeLike = np.float32) -> None:
        self.spec = spec
        self._dtype = dtype
        self._hop_fine = spec.hop_samples // spec.fine_samples
        self._n_hops = spec.window_frames // spec.hop_frames
        self._fine_s = spec.fine_samples / spec.sample_rate_hz
        self.reset()

    def reset(self) -> None:
        """Drop the window; the next vectors come from partial windows."""
        self._energies = np.zeros((self._n_hops * self._hop_fine, self.spec.n_bands), dtype=self._dtype)
        complex_dtype = np.result_type(self._dtype, np.complex64)
        self._coherences = np.zeros((self._n_hops, len(LAGS_PER_INVERSE_SIGMA), self.spec.n_bands), dtype=complex_dtype)
        self._powers = np.zeros((self._n_hops, self.spec.n_bands), dtype=self._dtype)
        self._n_stored_hops = 0

    def push(self, hop: HopEnergies, level: float) -> Float64Array:
        """Add a hop, and return the vector of the window that ends with it.

        Args:
            hop: output of the bank for the hop.
            level: running mean of the broadband energy, the reference of the energies.

        Returns:
            float64, shape (n_features(spec),), finite.
        """
        self._energies[: -self._hop_fine] = self._energies[self._hop_fine :]
        self._energies[-self._hop_fine :] = hop.energies
        # Shifting the arrays costs a copy, but keeps rows in order of time, as all statistics need them.
        for kept, new in ((self._coherences, hop.coherences), (self._powers, hop.powers)):
            kept[:-1] = kept[1:]
            kept[-1] = new
        self._n_stored_hops = min(self._n_stored_hops + 1, self._n_hops)
        # A partial window has no rows of zeros: they would count as silence before the sound.
        energies = self._energies[-self._n_stored_hops * self._hop_fine :]
        return self._measure(energies / max(level, MIN_ENERGY))

    def _measure(self, energies: FloatArray) -> Float64Array:
        # A copy: the stored energies must stay as they are for the next windows.
        # The bands share the floor, so that FLOOR is the floor of their sum.
        energies = energies + FLOOR / self.spec.n_bands
        log_energies = np.log(energies)
        groups = st.group_energies(energies)
        band_details = st.haar_details(log_energies, RISE_SCALES)
        # Details are earlier minus later energies, so that a rise is negative.
        rises = {scale: np.maximum(-detail, 0.0) for scale, detail in band_details.items()}
        group_details = st.haar_details(np.log(groups), st.GROUP_SCALES)
        return np.concatenate(
            [  # In the order of `window_layout`.
                st.spectral_shape(log_energies),
                st.modulation_energies(group_details),
                st.modulation_energies({scale: band_details[scale] for scale in BAND_SCALES}),
                st.second_modulations({scale: group_details[scale] for scale in QUICK_SCALES}, SLOW_SCALES),
                # Without column 0, the broadband envelope, of which every group is a part.
                st.group_correlations({scale: group_details[scale][:, 1:] for scale in CORRELATION_SCALES}),
                st.attack_asymmetry(group_details, ASYMMETRY_SCALES),
                *map(st.rising_energy, rises.values()),
                st.kurtosis(energies),
                # `tonality` divides by the powers, which are 0 in digital silence.
                st.tonality(np.add.reduce(self._coherences), np.add.reduce(self._powers) + MIN_ENERGY),
                st.spectral_entropy(energies, log_energies, groups[:, 0]),
                st.onset_synchrony(rises[SYNCHRONY_SCALE]),
                st.envelope_periodicity(np.log(st.paired(groups)), self._fine_s),
                active_shape(energies),
            ],
            dtype=np.float64,
        )
