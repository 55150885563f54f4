import numpy as np
import pytest

from streamgmm.audio.channels import has_channel, to_mono

FRAMES = np.array([[1.0, 0.5, 0.0], [-1.0, 0.25, 0.0]], np.float32)


@pytest.mark.parametrize(("channel", "expected"), [(0, [1, -1]), (1, [0.5, 0.25]), ("mean", [0.5, -0.25])])
def test_B5_pick_or_mean(channel, expected):
    samples = to_mono(FRAMES, channel)
    assert samples.tolist() == expected
    assert samples.dtype == np.float32
    assert samples.flags.c_contiguous


def test_mean_of_one_channel_is_that_channel_with_its_sign_of_zero():
    frames = np.array([[-0.0], [np.nan]], np.float32)
    assert to_mono(frames, "mean").tobytes() == frames.tobytes()


def test_mean_of_no_frames_is_empty():
    assert to_mono(FRAMES[:0], "mean").shape == (0,)


@pytest.mark.parametrize(("channel", "expected"), [("mean", True), (0, True), (1, True), (2, False), (-1, False)])
def test_has_channel(channel, expected):
    assert has_channel(2, channel) is expected
