"""The shape of what sounds within a window: its spectrum, and how that moves from its beginning to its end.

Windows slide, so a word or a bark lies anywhere in them. Measured from where it begins to where it ends, it looks
the same wherever it lies and however long it is: a picture of a fixed size, as in the recognisers of whole words
that map a word to a pattern of fixed length (Sakoe and Chiba, IEEE ASSP, 1978, warp; here the scale alone).
"""

from __future__ import annotations

import math

import numpy as np

from streamgmm.arrays import FloatArray
from streamgmm.features.cosines import cosine_transform
from streamgmm.features.spec import FRAME_FINE
from streamgmm.features.sums import sum_over_columns

N_CEPSTRA = 14
"""Orders along the bands: formants, not single harmonics."""

N_COURSES = 6
"""Orders in time: a word of three syllables rises and falls three times."""

SHAPE_RANGE_DB = 20.0
"""Frames this far below the loudest of the window lie before or after what sounds; 30 dB was worse on words."""

N_VALUES = N_CEPSTRA * N_COURSES + 2
"""Length of `active_shape`."""


def active_shape(energies: FloatArray) -> FloatArray:
    """Two-dimensional cosine transform of the log spectra of the active stretch, and how long and how full it is.

    Args:
        energies: shape (n_fine, n_bands), positive, n_fine a multiple of the frame's points.

    Returns:
        shape (N_VALUES,): the coefficients, those of one course in time after the other, per point so that they
        do not grow with the length; then the logs of the number of frames of the stretch, and of the share of
        them that are active.
    """
    frames = energies.reshape(-1, FRAME_FINE, energies.shape[1]).sum(axis=1)
    loudness = sum_over_columns(frames)
    is_active = loudness >= loudness.max() * 10.0 ** (-SHAPE_RANGE_DB / 10.0)
    active = np.flatnonzero(is_active)
    stretch = np.log(frames[active[0] : active[-1] + 1])
    n_frames = len(stretch)
    cepstra = stretch @ cosine_transform(stretch.shape[1], N_CEPSTRA)
    courses = cosine_transform(n_frames, N_COURSES).T @ cepstra / math.sqrt(n_frames)
    return np.concatenate([courses.ravel(), (math.log(n_frames), math.log(len(active) / n_frames))])
