"""Reading recordings that nobody vouches for; every bad file is made here."""

import errno
import io
import os
import socket
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamgmm.audio import reading
from streamgmm.audio.reading import RecordingError, open_recording, read_recording
from streamgmm.errors import InputMissingError, PermissionDeniedError

RATE_HZ = 16000
CODES = np.random.default_rng(2).integers(-32768, 32768, 5000).astype(np.int16)
SAMPLES = CODES / np.float32(32768)


def encoded(samples=CODES, file_format="WAV", subtype="PCM_16", rate_hz=RATE_HZ):
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=file_format, subtype=subtype)
    return file.getvalue()


def patched(data, offset, replacement):
    return data[:offset] + replacement + data[offset + len(replacement) :]


@pytest.fixture
def save(tmp_path):
    def save_as(data, name="a.wav"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return save_as


@pytest.fixture(autouse=True)
def _no_descriptor_stays_open():
    open_fds = Path("/proc/self/fd")
    before = set(open_fds.iterdir()) if open_fds.exists() else None
    yield
    if before is not None:
        # One that an earlier test left to the garbage collector may be closed meanwhile.
        assert set(open_fds.iterdir()) <= before


def refusal(path, **options):
    with pytest.raises(RecordingError) as caught:
        read_recording(path, **options)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value


def test_16_bit_wav_is_read_bit_exactly(save):
    recording = read_recording(save(encoded()))
    assert recording.samples.tobytes() == SAMPLES.tobytes()
    assert recording.samples.dtype == np.float32
    assert recording[1:] == (RATE_HZ, 1, ())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"R", "not_audio"),
        (encoded()[:44], "empty"),
        (encoded()[:40], "bad_header"),
        (encoded(CODES[:0]), "empty"),
    ],
)
def test_B1_no_samples(save, data, reason):
    assert refusal(save(data)).reason == reason


@pytest.mark.parametrize("file_format", ["WAV", "WAVEX", "RF64", "AIFF", "W64", "AU"])
def test_B2_truncated_data_is_used_with_a_warning(save, file_format):
    data = encoded(file_format=file_format)
    recording = read_recording(save(data[: len(data) // 2]))
    n = recording.samples.size
    assert 2000 < n < 2600
    assert recording.samples.tobytes() == SAMPLES[:n].tobytes()
    assert any("truncated" in warning for warning in recording.warnings)


@pytest.mark.parametrize("file_format", ["FLAC", "MP3"])
def test_B2_truncated_compressed_recording_is_used_with_a_warning(save, file_format):
    subtype = {"FLAC": "PCM_16", "MP3": "MPEG_LAYER_III"}[file_format]
    sound = np.tile(CODES // 4, 20)
    data = encoded(sound, file_format=file_format, subtype=subtype)
    recording = read_recording(save(data[: len(data) // 2]))
    assert 0.3 * sound.size < recording.samples.size < 0.7 * sound.size
    assert any("truncated" in warning for warning in recording.warnings)


def test_B3_header_lies_about_size(save):
    lie = patched(patched(encoded(), 4, b"\xff" * 4), 40, b"\xff\xff\xff\x3f")
    tracemalloc.start()
    recording = read_recording(save(lie))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert recording.samples.tobytes() == SAMPLES.tobytes()
    assert recording.warnings
    assert peak_bytes < 2**20


def test_B3_flac_header_lies_about_length(save):
    data = encoded(file_format="FLAC")
    lie = patched(data, 21, bytes([data[21] | 0x0F]) + b"\xff" * 4)
    assert soundfile.info(io.BytesIO(lie)).frames > 2**35
    tracemalloc.start()
    recording = read_recording(save(lie))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0 < recording.samples.size <= SAMPLES.size
    assert recording.samples.tobytes() == SAMPLES[: recording.samples.size].tobytes()
    assert any("truncated" in warning for warning in recording.warnings)
    assert peak_bytes < 2**20


def test_B3_small_file_of_endless_silence_is_refused(save, monkeypatch):
    monkeypatch.setattr(reading, "MAX_DURATION_S", 100_000 / RATE_HZ)
    path = save(encoded(np.zeros(100_001, np.int16), file_format="FLAC"))
    assert refusal(path).reason == "too_long"
    assert read_recording(save(encoded(np.zeros(100_000, np.int16)))).samples.size == 100_000


@pytest.mark.parametrize(
    ("offset", "n_bytes", "field"),
    [(22, 2, "nChannels"), (24, 4, "nSamplesPerSec"), (32, 2, "nBlockAlign"), (34, 2, "wBitsPerSample")],
)
def test_B4_zero_in_the_header(save, offset, n_bytes, field):
    error = refusal(save(patched(encoded(), offset, bytes(n_bytes))))
    assert error.reason == "bad_header"
    assert field in str(error)
    assert error.exit_code == 65


def test_B4_absurd_header(save):
    assert refusal(save(patched(encoded(), 22, b"\xff\xff"))).reason == "bad_header"
    assert refusal(save(patched(encoded(), 24, b"\xff" * 4))).reason == "bad_header"


@pytest.mark.parametrize("rate_hz", [1, 999, 384001])
def test_B4_rate_that_nobody_records_at(save, rate_hz):
    error = refusal(save(encoded(rate_hz=rate_hz)))
    assert error.reason == "bad_header"
    assert f"{rate_hz} Hz" in str(error)


def test_B5_six_channels(save):
    frames = np.stack([CODES // (i + 1) for i in range(6)], axis=1)
    path = save(encoded(frames))
    assert read_recording(path, channel=3).samples.tobytes() == (frames[:, 3] / np.float32(32768)).tobytes()
    mean = read_recording(path)
    assert mean.n_channels == 6
    np.testing.assert_allclose(mean.samples, frames.mean(axis=1) / 32768, atol=1e-7)
    error = refusal(path, channel=6)
    assert error.reason == "no_such_channel"


@pytest.mark.parametrize(
    ("subtype", "tolerance"),
    [("PCM_U8", 2**-7), ("PCM_24", 0), ("PCM_32", 0), ("FLOAT", 0), ("DOUBLE", 0)],
)
def test_B6_sample_formats(save, subtype, tolerance):
    samples = read_recording(save(encoded(SAMPLES, subtype=subtype))).samples
    assert samples.dtype == np.float32
    assert np.abs(samples - SAMPLES).max() <= tolerance


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_B6_nonfinite_sample_is_refused(save, bad, subtype):
    samples = SAMPLES.copy()
    samples[3000] = bad
    error = refusal(save(encoded(samples, subtype=subtype)))
    assert error.reason == "nonfinite"
    assert "1600 to 3199" in str(error)


@pytest.mark.parametrize("subtype", ["ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM"])
def test_B7_companded_and_adpcm_are_sound_and_not_noise(save, subtype):
    tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE_HZ) / RATE_HZ)).astype(np.float32)
    samples = read_recording(save(encoded(tone, subtype=subtype))).samples[: tone.size]
    assert np.sqrt(np.mean((samples - tone) ** 2)) < 0.02


def test_B8_odd_chunks_and_list_after_data(save):
    data = encoded()
    odd = b"JUNK" + struct.pack("<I", 3) + b"abc\0"
    after = b"LIST" + struct.pack("<I", 10) + b"INFOISFTxx"
    whole = data[:12] + odd + data[12:] + after
    whole = patched(whole, 4, struct.pack("<I", len(whole) - 8))
    recording = read_recording(save(whole))
    assert recording.samples.tobytes() == SAMPLES.tobytes()
    assert recording.warnings == ()


@pytest.mark.parametrize("file_format", ["RF64", "WAVEX", "FLAC", "AIFF", "CAF", "W64"])
def test_B8_other_containers_give_the_same_samples(save, file_format):
    recording = read_recording(save(encoded(file_format=file_format), "mislabelled.mp3"))
    assert recording.samples.tobytes() == SAMPLES.tobytes()


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 10,
        b"\x7fELF" + bytes(range(256)) * 10,
        b"hello world\n" * 300,
        "hello world\n".encode("utf-16") * 300,
        bytes(5000),
    ],
    ids=["png", "elf", "text", "utf16", "zeros"],
)
def test_B9_refused_by_content_not_by_name(save, data):
    assert refusal(save(data)).reason == "not_audio"


def test_B10_sparse_file_is_refused_by_size(save):
    path = save(encoded())
    os.truncate(path, 10 * 2**30)
    error = refusal(path)
    assert error.reason == "too_large"
    assert str(10 * 2**30) in str(error)


@pytest.mark.timeout(10)
def test_B11_fifo_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "a.wav")
    assert refusal(tmp_path / "a.wav").reason == "not_regular"


def test_B11_directory_device_and_socket(tmp_path):
    assert refusal(tmp_path).reason == "not_regular"
    assert str(refusal(tmp_path)) == f"{tmp_path}: is a folder (name the recordings in it)"
    assert refusal("/dev/zero").reason == "not_regular"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s.wav"))
        assert refusal(tmp_path / "s.wav").reason == "not_regular"


@pytest.mark.timeout(10)
def test_B11_fifo_put_there_after_the_look(save, monkeypatch):
    path = save(encoded())
    look = Path.stat

    def look_then_swap(self, *, follow_symlinks=True):
        status = look(self, follow_symlinks=follow_symlinks)
        path.unlink()
        os.mkfifo(path)
        return status

    monkeypatch.setattr(Path, "stat", look_then_swap)
    assert refusal(path).reason == "not_regular"


def test_B12_symbolic_link_only_where_asked_for(save, tmp_path):
    link = tmp_path / "link.wav"
    link.symlink_to(save(encoded()))
    assert refusal(link).reason == "symlink"
    assert read_recording(link, follow_symlinks=True).samples.size == SAMPLES.size


def test_B12_symbolic_link_to_itself(tmp_path):
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    assert refusal(tmp_path / "loop.wav").reason == "symlink"
    assert refusal(tmp_path / "loop.wav", follow_symlinks=True).reason == "unreadable"


def test_B13_unreadable_file(save):
    path = save(encoded())
    path.chmod(0)
    was_root = os.geteuid() == 0
    if was_root:  # root may read anything
        os.seteuid(65534)
    try:
        error = refusal(path)
    finally:
        if was_root:
            os.seteuid(0)
    assert error.reason == "denied"
    assert isinstance(error, PermissionDeniedError)
    assert error.exit_code == 77


def test_B14_file_vanishes(save, monkeypatch):
    path = save(encoded())
    open_file = os.open

    def vanish_then_open(*args):
        path.unlink()
        return open_file(*args)

    monkeypatch.setattr(os, "open", vanish_then_open)
    error = refusal(path)
    assert error.reason == "vanished"
    assert isinstance(error, InputMissingError)
    assert error.exit_code == 66


def test_disk_error_is_refused(save, monkeypatch):
    path = save(encoded())

    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "read", fail)
    error = refusal(path)
    assert error.reason == "unreadable"
    assert "Input/output error" in str(error)


@pytest.mark.parametrize("name", ["a\0b.wav", "x" * 300, "a\ud800.wav"])
def test_impossible_name(name):
    with pytest.raises(RecordingError) as caught:
        read_recording(name)
    assert caught.value.reason == "unreadable"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    file_format=st.sampled_from(["WAV", "FLAC", "AIFF", "OGG"]),
    places=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=4),
    header_places=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=4),
    cut=st.floats(0.0, 1.0),
)
def test_damaged_recording_is_read_or_refused_and_nothing_else(save, file_format, places, header_places, cut):
    data = bytearray(encoded(file_format=file_format, subtype={"OGG": "VORBIS"}.get(file_format, "PCM_16")))
    for place, value in places:
        data[int(place * len(data))] = value
    for place, value in header_places:
        data[place] = value
    path = save(bytes(data[: int(cut * len(data))]))
    try:
        recording = read_recording(path)
    except RecordingError:
        return
    assert recording.samples.size
    assert np.isfinite(recording.samples).all()


@pytest.mark.parametrize(("file_format", "subtype"), [("FLAC", "PCM_16"), ("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS")])
def test_reading_by_blocks_equals_reading_whole(save, file_format, subtype):
    noise = np.random.default_rng(3).normal(0, 0.1, 50_000).astype(np.float32)
    path = save(encoded(noise, file_format=file_format, subtype=subtype))
    whole, _ = soundfile.read(path, dtype="float32")
    with open_recording(path) as reader:
        blocks = list(reader)
    assert {block.size for block in blocks[:-1]} == {reader.sample_rate_hz // 10}
    np.testing.assert_allclose(np.concatenate(blocks), whole, atol=1e-6)


def test_streaming_has_no_limit_of_length_and_passes_nonfinite_samples(save, monkeypatch):
    monkeypatch.setattr(reading, "MAX_DURATION_S", 0.0)
    monkeypatch.setattr(reading, "MAX_FILE_BYTES", 1)
    samples = SAMPLES.copy()
    samples[7] = np.nan
    with open_recording(save(encoded(samples, subtype="FLOAT"))) as reader:
        assert np.concatenate(list(reader)).tobytes() == samples.tobytes()
        assert reader.read().shape == (0,)
