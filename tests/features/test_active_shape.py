"""The shape of the sounding stretch of a window, against the cosine transform of scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.fft import dct, dctn

from streamgmm.features import active_shape as shape
from streamgmm.features.cosines import cosine_transform
from streamgmm.features.spec import FRAME_FINE

N_BANDS = 24


def window_of(sound, n_before: int, n_after: int):
    """Frames of a sound between near silence, on the fine grid."""
    quiet = 1e-5
    frames = np.concatenate([np.full((n_before, N_BANDS), quiet), sound, np.full((n_after, N_BANDS), quiet)])
    return np.repeat(frames, FRAME_FINE, axis=0)


def test_the_cosine_transform_is_that_of_scipy() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(5, 20))
    np.testing.assert_allclose(
        values @ cosine_transform(20, 7), dct(values, norm="ortho", axis=1)[:, :7], rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("n_frames", [1, 2, 7, 40])
def test_the_shape_is_the_two_dimensional_cosine_transform_of_the_stretch(n_frames) -> None:
    rng = np.random.default_rng(3)
    sound = rng.gamma(5.0, size=(n_frames, N_BANDS))
    values = shape.active_shape(window_of(sound, 3, 5))
    assert values.shape == (shape.N_VALUES,)
    expected = dctn(np.log(FRAME_FINE * sound), norm="ortho") / np.sqrt(n_frames)
    n_known = min(n_frames, shape.N_COURSES)
    courses = values[:-2].reshape(shape.N_COURSES, shape.N_CEPSTRA)
    np.testing.assert_allclose(courses[:n_known], expected[:n_known, : shape.N_CEPSTRA], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(values[-2:], [np.log(n_frames), 0.0], atol=1e-12)


def test_the_shape_does_not_depend_on_where_in_the_window_the_sound_lies() -> None:
    rng = np.random.default_rng(3)
    sound = rng.gamma(5.0, size=(12, N_BANDS))
    early, late = (shape.active_shape(window_of(sound, n, 40 - n)) for n in (1, 33))
    np.testing.assert_allclose(early, late, rtol=1e-12, atol=1e-12)


def test_a_longer_sound_of_the_same_course_has_nearly_the_same_shape() -> None:
    rng = np.random.default_rng(3)
    rise = np.exp(np.linspace(0.0, 3.0, 60))[:, np.newaxis] * rng.gamma(5.0, size=(1, N_BANDS))
    long, short = shape.active_shape(window_of(rise, 1, 1)), shape.active_shape(window_of(rise[::2], 1, 1))
    np.testing.assert_allclose(long[:-2], short[:-2], atol=0.15)
    assert long[-2] - short[-2] == pytest.approx(np.log(2.0))


def test_the_share_of_active_frames_tells_one_sound_from_two() -> None:
    sound = np.ones((5, N_BANDS))
    twice = np.concatenate([sound, np.full((10, N_BANDS), 1e-5), sound])
    assert shape.active_shape(window_of(twice, 2, 2))[-1] == pytest.approx(np.log(0.5))
