"""Raw PCM through a real pipe."""

import os
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgmm.audio.resample import resample
from streamgmm.audio.streams.pcm import PcmPipe
from streamgmm.audio.streams.pcm_coding import decode_pcm
from streamgmm.errors import InputMissingError, UsageError

CODES = np.random.default_rng(4).integers(-32768, 32768, 3000).astype("<i2")
SAMPLES = (CODES / 32768).astype(np.float32)


@pytest.fixture
def pipe():
    read_fd, write_fd = os.pipe()
    open_fds = {read_fd, write_fd}

    def close(fd):
        open_fds.discard(fd)
        os.close(fd)

    yield read_fd, write_fd, close
    for fd in open_fds:
        os.close(fd)


def feed(pieces, write_fd):
    """Write from another thread, then end the stream."""

    def write_all():
        with os.fdopen(write_fd, "wb", buffering=0) as file:
            for piece in pieces:
                file.write(piece)

    thread = threading.Thread(target=write_all)
    thread.start()
    return thread


def fill(write_fd):
    """Write until the pipe takes no more; the number of bytes that it took."""
    n_written = 0
    while True:
        try:
            n_written += os.write(write_fd, CODES[:500].tobytes())
        except BlockingIOError:
            return n_written


def read_all(source):
    return np.concatenate([np.zeros(0, np.float32), *(block.samples for block in iter(source.read, None))])


def through_pipe(pieces, model_rate_hz=16000, **options):
    read_fd, write_fd = os.pipe()
    source = PcmPipe(fd=read_fd, **options)
    source.open(model_rate_hz)
    thread = feed(pieces, write_fd)
    samples = read_all(source)
    thread.join()
    source.close()
    os.close(read_fd)
    return samples, source


def test_16_bits_are_exact():
    samples, _ = through_pipe([CODES.tobytes()])
    assert samples.dtype == np.float32
    assert samples.tobytes() == SAMPLES.tobytes()


@pytest.mark.parametrize(
    ("pcm_format", "data", "expected"),
    [
        ("u8", b"\x00\x80\xff", [-1.0, 0.0, 127 / 128]),
        ("s24le", b"\x00\x00\x80\xff\xff\x7f\x01\x00\x00", [-1.0, 8388607 / 8388608, 1 / 8388608]),
        ("s24_3le", b"\xff\xff\xff\x00\x00\x40", [-1 / 8388608, 0.5]),
        ("s24_32le", b"\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x40\x00", [-1 / 8388608, -1 / 8388608, 0.5]),
        ("f64le", np.array([0.25, -1.5], "<f8").tobytes(), [0.25, -1.5]),
        ("s16le", b"\x00\x80\xff\x7f\x01\x00", [-1.0, 32767 / 32768, 1 / 32768]),
        ("s32le", b"\x00\x00\x00\x80\x00\x00\x00\x40\x00\x00\x01\x00", [-1.0, 0.5, 1 / 32768]),
        ("f32le", np.array([0.25, -1.5], "<f4").tobytes(), [0.25, -1.5]),
    ],
)
def test_formats(pcm_format, data, expected):
    values = decode_pcm(data, pcm_format)
    assert values.dtype == np.float32
    assert values.tolist() == expected


def test_A17_nan_passes():
    values = np.array([0.5, np.nan, np.inf, 0.25], "<f4")
    samples, _ = through_pipe([values.tobytes()], pcm_format="f32le")
    assert samples.tobytes() == values.tobytes()


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 600), max_size=30).map(sorted))
def test_A20_frames_cut_anywhere(cuts):
    data = CODES[:300].tobytes()
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    samples, source = through_pipe(pieces, n_channels=2, channel=1)
    assert samples.tobytes() == SAMPLES[1:300:2].tobytes()
    assert source.n_discarded_bytes == 0


def test_A20_byte_by_byte():
    data = CODES[:100].tobytes()
    samples, _ = through_pipe([data[i : i + 1] for i in range(len(data))])
    assert samples.tobytes() == SAMPLES[:100].tobytes()


@pytest.mark.parametrize("n_extra", [1, 2, 3])
def test_A20_partial_frame_at_the_end_is_discarded_and_counted(n_extra):
    samples, source = through_pipe([CODES[:8].tobytes() + b"x" * n_extra], n_channels=2, channel=0)
    assert samples.tobytes() == SAMPLES[:8:2].tobytes()
    assert source.n_discarded_bytes == n_extra


def test_A21_end_of_stream_gives_the_last_samples_then_none():
    samples, source = through_pipe([CODES.tobytes()])
    assert samples.size == CODES.size
    assert source.read() is None


def test_A22_nothing_is_dropped_when_the_writer_is_too_fast(pipe):
    read_fd, write_fd, close = pipe
    os.set_blocking(write_fd, False)
    n_written = fill(write_fd)
    close(write_fd)
    source = PcmPipe(fd=read_fd)
    source.open(16000)
    assert not source.is_live
    assert read_all(source).size == n_written // 2
    source.close()


def test_mean_of_channels():
    samples, _ = through_pipe([np.array([100, 300, -200, 0], "<i2").tobytes()], n_channels=2)
    assert samples.tolist() == [200 / 32768, -100 / 32768]


def test_resampled_like_the_whole():
    samples, _ = through_pipe([CODES.tobytes()], model_rate_hz=8000)
    assert samples.tobytes() == resample(SAMPLES, 16000, 8000).tobytes()


def test_close_leaves_the_descriptor_to_its_owner(pipe):
    read_fd, _, _ = pipe
    source = PcmPipe(fd=read_fd)
    source.open(16000)
    source.close()
    os.fstat(read_fd)


def test_regular_file_as_standard_input(tmp_path):
    path = tmp_path / "a.raw"
    path.write_bytes(CODES.tobytes())
    with path.open("rb") as file:
        source = PcmPipe(fd=file.fileno())
        source.open(16000)
        assert read_all(source).tobytes() == SAMPLES.tobytes()
        source.close()


def test_closed_standard_input_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "__stdin__", None)
    source = PcmPipe()
    with pytest.raises(InputMissingError, match="pcm:-: standard input cannot be read"):
        source.open(16000)
    source.close()


def test_directory_as_standard_input_is_refused(tmp_path):
    fd = os.open(tmp_path, os.O_RDONLY)
    source = PcmPipe(fd=fd)
    source.open(16000)
    with pytest.raises(InputMissingError, match="directory"):
        source.read()
    source.close()
    os.close(fd)


def test_terminal_is_refused():
    controller_fd, terminal_fd = os.openpty()
    source = PcmPipe(fd=terminal_fd)
    with pytest.raises(UsageError, match="terminal"):
        source.open(16000)
    source.close()
    os.close(controller_fd)
    os.close(terminal_fd)


def test_missing_channel_is_refused(pipe):
    source = PcmPipe(fd=pipe[0], n_channels=2, channel=2)
    source.open(16000)
    os.write(pipe[1], bytes(100))  # only these show that there is no header with another number of channels
    with pytest.raises(UsageError, match="no channel 2 among 2"):
        source.read()
    source.close()


@pytest.mark.parametrize("pcm_format", ["s24le", "s24_3le"])
def test_24_bits_of_several_channels_cut_anywhere(pcm_format):
    codes = np.random.default_rng(5).integers(-(2**23), 2**23, 600).astype("<i4")
    data = codes.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    pieces = [data[i : i + 7] for i in range(0, len(data), 7)]
    samples, _ = through_pipe(pieces, pcm_format=pcm_format, n_channels=2, channel=1)
    assert samples.tobytes() == (codes[1::2] / 2**23).astype(np.float32).tobytes()
