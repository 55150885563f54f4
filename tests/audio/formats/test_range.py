"""Files of floats that hold integers are refused, wherever in the file; overshoot of a mixing desk is used."""

import logging

import numpy as np
import pytest
import soundfile

from streamgmm.audio.channels import LiveMixer
from streamgmm.audio.reading import RecordingError, open_recording, read_recording

RATE_HZ = 16000
NOISE = np.random.default_rng(4).normal(0, 0.2, RATE_HZ).clip(-1, 1)


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("file_format", ["WAV", "AIFF", "AU", "CAF", "W64"])
@pytest.mark.parametrize(
    ("full_scale", "advice"),
    [(2**7, "divide them by 128"), (2**15, "divide them by 32768"), (2**23, "by 8388608"), (2**31, "by 2147483648")],
)
def test_B34_floats_in_the_range_of_integers_are_refused(tmp_path, full_scale, advice, file_format, subtype):
    path = tmp_path / "a"
    samples = NOISE * full_scale
    samples[100] = 0.99 * full_scale
    soundfile.write(path, samples, RATE_HZ, format=file_format, subtype=subtype)
    for read in (read_recording, open_recording):
        with pytest.raises(RecordingError) as caught:
            read(path)
        assert caught.value.reason == "out_of_range"
        assert f"reach {0.99 * full_scale:.6g}" in str(caught.value)
        assert advice in str(caught.value)


@pytest.mark.parametrize("peak", [3, 9, 15])
def test_soft_integers_are_refused_too(tmp_path, peak):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.rint(NOISE * peak), RATE_HZ, subtype="FLOAT")
    with pytest.raises(RecordingError, match=r"full scale of 1\.0"):
        read_recording(path)


@pytest.mark.parametrize("place", [0, RATE_HZ // 2, RATE_HZ - 1])
def test_B34_a_part_beyond_range_is_enough(tmp_path, place):
    samples = NOISE.copy()
    samples[place] = -20000.5
    path = tmp_path / "a.wav"
    soundfile.write(path, samples, RATE_HZ, subtype="FLOAT")
    with pytest.raises(RecordingError, match=r"reach 20000\.5"):
        open_recording(path)


@pytest.mark.parametrize(
    ("peak", "n_warnings"), [(0.5, 0), (1.0, 0), (1.5, 0), (4.0, 0), (8.0, 0), (10.0, 1), (16.0, 1)]
)
def test_moderate_overshoot_is_used(tmp_path, peak, n_warnings):
    samples = (NOISE / np.abs(NOISE).max() * peak).astype(np.float32)
    path = tmp_path / "a.wav"
    soundfile.write(path, samples, RATE_HZ, subtype="FLOAT")
    recording = read_recording(path)
    assert recording.samples.tobytes() == samples.tobytes()
    assert len(recording.warnings) == n_warnings


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0])
def test_whole_numbers_within_full_scale_are_samples(tmp_path, value):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.full(1000, value), RATE_HZ, subtype="FLOAT")
    assert read_recording(path).warnings == ()


@pytest.mark.parametrize("bad", [300.0, 32768.0, np.nan, np.inf])
def test_a_live_stream_reports_samples_that_are_no_sound_once(caplog, bad):
    mixer = LiveMixer("mean", RATE_HZ)
    frames = np.full((1600, 1), bad, np.float32)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            mixer.mix(frames)
    assert len(caplog.messages) == 1
    assert "full scale of a stream of floats is 1.0" in caplog.text
