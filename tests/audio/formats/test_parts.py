"""Any bytes at all are looked at safely, and the looking costs little."""

import io
import signal
import sys
import tracemalloc

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamgmm.audio.formats.parts import find_parts
from streamgmm.audio.formats.view import FileBytes, Part, PartFile
from streamgmm.audio.reading import RecordingError, open_recording, read_recording
from tests.audio.making import wav

FORMATS = {
    "WAV": "PCM_16",
    "RF64": "PCM_16",
    "W64": "PCM_16",
    "AIFF": "PCM_16",
    "AU": "PCM_16",
    "CAF": "PCM_16",
    "FLAC": "PCM_16",
    "OGG": "VORBIS",
    "MP3": "MPEG_LAYER_III",
}


def encoded(file_format):
    file = io.BytesIO()
    sound = np.random.default_rng(1).normal(0, 0.1, 8000)
    soundfile.write(file, sound, 16000, format=file_format, subtype=FORMATS[file_format])
    return file.getvalue()


ENCODED = {file_format: encoded(file_format) for file_format in FORMATS}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    file_format=st.sampled_from(sorted(FORMATS)),
    places=st.lists(st.tuples(st.integers(0, 150), st.sampled_from([0, 1, 0x7F, 0x80, 0xFF])), max_size=12),
    cut=st.floats(0.0, 1.0),
    tail=st.binary(max_size=64),
)
def test_a_damaged_header_is_read_or_refused_and_nothing_else(tmp_path, file_format, places, cut, tail):
    data = bytearray(ENCODED[file_format])
    for place, value in places:
        data[min(place, len(data) - 1)] = value
    path = tmp_path / "a"
    path.write_bytes(bytes(data[: int(cut * len(data))]) + tail)
    try:
        recording = read_recording(path)
    except RecordingError:
        return
    assert np.isfinite(recording.samples).all()


@pytest.mark.parametrize("name", [b"JUNK\0\0\0\0", b"\xff\xfb\x90\0", b"OggS" + bytes(23), b"RIFF\4\0\0\0WAVE"])
def test_a_file_of_nothing_but_headers_is_looked_at_in_bounded_time(tmp_path, name):
    path = tmp_path / "a"
    path.write_bytes(ENCODED["WAV"][:12] + name * (2**20 // len(name)))
    with path.open("rb") as file:
        assert len(find_parts(FileBytes(file.fileno())).parts) <= 10_000
    with pytest.raises(RecordingError):
        read_recording(path)


def test_a_view_patches_bytes_across_reads(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(bytes(range(100)))
    with path.open("rb") as file:
        view = PartFile(file.fileno(), Part(10, 60, ((18, b"abcd"), (8, b"xyz"))))
        buffer = bytearray(60)
        n_bytes = 0
        while step := view.readinto(memoryview(buffer)[n_bytes : n_bytes + 7]):
            n_bytes += step
    expected = bytearray(range(100))
    expected[18:22] = b"abcd"
    expected[8:11] = b"xyz"
    assert bytes(buffer[:n_bytes]) == bytes(expected[10:60])


@pytest.mark.parametrize("read", [read_recording, open_recording])
def test_B10_wav_of_5_gib_of_holes_is_refused(tmp_path, read):
    path = tmp_path / "sparse.wav"
    path.write_bytes(wav(np.zeros(1000, np.int16), riff_bytes=0xFFFFFFFF, data_bytes=0xFFFFFFFF))
    with path.open("r+b") as file:
        file.truncate(5 * 2**30)
    with pytest.raises(RecordingError) as caught:
        read(path)
    assert caught.value.reason == "too_large"
    assert str(5 * 2**30) in str(caught.value)


@pytest.mark.parametrize(("rate_hz", "is_length_known"), [(8000, False), (8000, True), (16000, False), (48000, True)])
def test_B3_B36_an_hour_of_silence_in_a_small_file_costs_no_memory(tmp_path, rate_hz, is_length_known):
    path = tmp_path / "hour.flac"
    with soundfile.SoundFile(path, "w", rate_hz, 1, "PCM_16") as file:
        minute = np.zeros(60 * rate_hz, np.int16)
        for _ in range(60):
            file.write(minute)
    if not is_length_known:
        data = bytearray(path.read_bytes())
        data[21:26] = bytes([data[21] & 0xF0]) + bytes(4)
        path.write_bytes(data)
    tracemalloc.start()
    with pytest.raises(RecordingError) as caught:
        read_recording(path)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.reason == "too_long"
    assert peak_bytes < 8 * 2**20


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("at", [0.0, 0.5, 1.0], ids=["first", "middle", "last"])
@pytest.mark.parametrize("file_format", ["WAV", "FLAC", "OGG", "MP3"])
def test_an_interrupt_while_the_decoder_calls_back_ends_the_reading(tmp_path, monkeypatch, file_format, at, number):
    path = tmp_path / "a"
    path.write_bytes(ENCODED[file_format])
    read = PartFile._read
    calls: list[int] = []
    lost: list[object] = []

    def counted(view, n_bytes):
        if len(calls) == interrupted_call:
            signal.raise_signal(number)
        calls.append(n_bytes)
        return read(view, n_bytes)

    def interrupt(number, frame):
        raise KeyboardInterrupt

    monkeypatch.setattr(PartFile, "_read", counted)
    monkeypatch.setattr(sys, "unraisablehook", lost.append)
    interrupted_call = None
    read_recording(path)
    interrupted_call = round(at * (len(calls) - 1))
    calls.clear()
    before = signal.signal(number, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            read_recording(path)
        assert signal.getsignal(number) is interrupt
    finally:
        signal.signal(number, before)
    assert not lost
