"""Recordings that were put together of several: all of them are heard, or what is left out is reported."""

import io

import numpy as np
import pytest
import soundfile

from streamgmm.audio.reading import RecordingError, open_recording, read_recording
from tests.audio.making import RATE_HZ, encode, sweep

TONE_HZ = {1: 500, 2: 1500}


def tone(number, duration_s, rate_hz, n_channels=1):
    t = np.arange(round(duration_s * rate_hz)) / rate_hz
    mono = 0.4 * np.sin(2 * np.pi * TONE_HZ[number] * t)
    return np.stack([mono] * n_channels, axis=1).astype(np.float32)


def encoded(samples, rate_hz, file_format, subtype):
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=file_format, subtype=subtype)
    return file.getvalue()


def pitch_hz(samples, rate_hz):
    return np.abs(np.fft.rfft(samples)).argmax() * rate_hz / samples.size


FORMATS = [
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
    ("FLAC", "PCM_16"),
    ("WAV", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("AU", "PCM_16"),
    ("W64", "PCM_16"),
]


@pytest.mark.parametrize("second", [(16000, 1), (16000, 2), (48000, 1)], ids=["same", "stereo", "other rate"])
@pytest.mark.parametrize(("file_format", "subtype"), FORMATS)
def test_B32_both_of_two_joined_recordings_are_heard(tmp_path, file_format, subtype, second):
    rate_hz, n_channels = second
    first_part = encoded(tone(1, 2.0, RATE_HZ), RATE_HZ, file_format, subtype)
    second_part = encoded(tone(2, 3.0, rate_hz, n_channels), rate_hz, file_format, subtype)
    path = tmp_path / "joined"
    path.write_bytes(first_part + second_part)
    samples, heard_hz, _, warnings = read_recording(path)
    assert samples.size / heard_hz == pytest.approx(5.0, abs=0.15)
    assert pitch_hz(samples[: 2 * heard_hz], heard_hz) == pytest.approx(500, abs=2)
    assert pitch_hz(samples[-round(2.7 * heard_hz) :], heard_hz) == pytest.approx(1500, abs=2)
    assert warnings == ()


@pytest.mark.parametrize("options", [["-write_xing", "0"], ["-id3v2_version", "3", "-write_id3v1", "1"]])
def test_joined_mp3_of_encoders_that_write_no_length_or_tags(tmp_path, options):
    part = encode(tmp_path, sweep(4), ["-q:a", "5", "-metadata", "title=x", *options], "mp3")
    path = tmp_path / "joined.mp3"
    path.write_bytes(part * 3)
    recording = read_recording(path)
    assert recording.samples.size / RATE_HZ == pytest.approx(12, abs=0.6)
    assert recording.warnings == ()


def test_three_links_are_heard_in_order_by_every_reader(tmp_path):
    parts = [encoded(tone(number, 1.0, RATE_HZ), RATE_HZ, "OGG", "VORBIS") for number in (1, 2, 1)]
    path = tmp_path / "chain.ogg"
    path.write_bytes(b"".join(parts))
    with open_recording(path) as reader:
        blocks = list(reader)
    samples = np.concatenate(blocks)
    assert samples.tobytes() == read_recording(path).samples.tobytes()
    pitches_hz = [pitch_hz(samples[start : start + RATE_HZ], RATE_HZ) for start in (0, RATE_HZ, 2 * RATE_HZ)]
    assert pitches_hz == pytest.approx([500, 1500, 500], abs=2)


@pytest.mark.parametrize("broken", [b"\0" * 300, b"\xff" * 300], ids=["zeros", "ones"])
def test_B32_a_part_that_cannot_be_read_is_reported_with_its_size(tmp_path, broken):
    part = encoded(tone(1, 1.0, RATE_HZ), RATE_HZ, "OGG", "VORBIS")
    path = tmp_path / "chain.ogg"
    # The page after the first keeps its header, and loses what it says of the coding.
    path.write_bytes(part + part[:60] + broken + part[60 + len(broken) :])
    recording = read_recording(path)
    assert recording.samples.size >= RATE_HZ
    assert any("left out" in warning and "bytes" in warning for warning in recording.warnings)


def test_a_part_without_the_wanted_channel_is_reported(tmp_path):
    two = encoded(tone(1, 1.0, RATE_HZ, 2), RATE_HZ, "FLAC", "PCM_16")
    one = encoded(tone(1, 1.0, RATE_HZ, 1), RATE_HZ, "FLAC", "PCM_16")
    path = tmp_path / "joined.flac"
    path.write_bytes(two + one)
    recording = read_recording(path, channel=1)
    assert recording.samples.size == RATE_HZ
    assert f"part 2 of 2, of {len(one)} bytes, was left out: there is no channel 1" in recording.warnings[0]


def test_flac_in_ogg_is_refused_with_the_way_out(tmp_path):
    path = tmp_path / "a.oga"
    path.write_bytes(encode(tmp_path, sweep(1), ["-c:a", "flac", "-f", "ogg"], "oga"))
    with pytest.raises(RecordingError, match=r"FLAC in Ogg.*ffmpeg"):
        read_recording(path)
