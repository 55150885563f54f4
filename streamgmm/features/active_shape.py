"""Time-frequency shape of the active part of a window, independent of its position and length.

Windows slide, so a word or a bark can lie anywhere in them. Measured from its beginning to its end and scaled to a
fixed size, it gives the same numbers wherever it lies and however long it lasts. Whole-word recognisers also map each
word to a pattern of fixed length (Sakoe and Chiba, IEEE ASSP, 1978, warp the time axis; here it is only scaled).
"""

from __future__ import annotations

import math

import numpy as np

from streamgmm.arrays import FloatArray
from streamgmm.features.cosines import cosine_transform
from streamgmm.features.spec import FRAME_FINE
from streamgmm.features.sums import sum_over_columns

N_CEPSTRA = 14
"""Cosine orders along the bands: enough for formants, too few for single harmonics."""

N_COURSES = 6
"""Cosine orders in time: enough for a word of three syllables, which rises and falls three times."""

SHAPE_RANGE_DB = 20.0
"""Frames further below the loudest frame of the window are not active; 30 dB gave lower accuracy on words."""

N_VALUES = N_CEPSTRA * N_COURSES + 2
"""Length of `active_shape`."""


def active_shape(energies: FloatArray) -> FloatArray:
    """Compute the two-dimensional cosine transform of the active part of a window, with its length and density.

    The active part reaches from the first active frame to the last one, pauses between them included.

    Args:
        energies: shape (n_fine, n_bands), positive, n_fine a multiple of `FRAME_FINE`.

    Returns:
        shape (N_VALUES,): the coefficients, time order by time order; then the log of the number of frames in the
        active part, and the log of the share of these frames that are active.
    """
    # Sums instead of means: a constant factor changes only the coefficient whose order is 0 in both directions.
    frames = energies.reshape(-1, FRAME_FINE, energies.shape[1]).sum(axis=1)
    loudness = sum_over_columns(frames)
    # Energies are positive, so the loudest frame itself is active and `active` is never empty.
    is_active = loudness >= loudness.max() * 10.0 ** (-SHAPE_RANGE_DB / 10.0)
    active = np.flatnonzero(is_active)
    # Pauses within a word belong to its shape, so only the outer quiet frames are cut off.
    stretch = np.log(frames[active[0] : active[-1] + 1])
    n_frames = len(stretch)
    cepstra = stretch @ cosine_transform(stretch.shape[1], N_CEPSTRA)
    # The transform is orthonormal: without the division, coefficients would grow with the length.
    # In a part of fewer frames than `N_COURSES`, high orders alias lower ones; the vector keeps its full length.
    courses = cosine_transform(n_frames, N_COURSES).T @ cepstra / math.sqrt(n_frames)
    return np.concatenate([courses.ravel(), (math.log(n_frames), math.log(len(active) / n_frames))])
