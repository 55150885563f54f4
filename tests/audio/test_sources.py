"""What every source promises, held on each that needs no sound card."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamgmm.audio.file import RecordingFile
from streamgmm.audio.streams.pcm import PcmPipe

OPEN_FDS = Path("/proc/self/fd")
CODES = np.random.default_rng(6).integers(-32768, 32768, 8000).astype("<i2")


class PipeCase:
    """A pipe whose writer has written everything, or has stalled before the first byte."""

    def __init__(self):
        self.read_fd, self.write_fd = os.pipe()
        self.is_ended = False

    def source(self, is_stalled=False):
        if not is_stalled:
            os.write(self.write_fd, CODES.tobytes())
            self.end()
        return PcmPipe(fd=self.read_fd)

    def end(self):
        os.close(self.write_fd)
        self.is_ended = True

    def clean_up(self):
        if not self.is_ended:
            self.end()
        os.close(self.read_fd)


class FileCase:
    """A recording as fast as possible, or so slow that it stalls before the first block."""

    def __init__(self, path):
        self.path = path
        soundfile.write(path, CODES, 16000)

    def source(self, is_stalled=False):
        return RecordingFile(self.path, pace=1e-300 if is_stalled else 0.0)

    def clean_up(self):
        self.path.unlink()


@pytest.fixture(params=["pipe", "file"])
def case(request, tmp_path):
    made = PipeCase() if request.param == "pipe" else FileCase(tmp_path / "a.wav")
    yield made
    made.clean_up()


@pytest.mark.parametrize("rate_hz", [16000, 44100, 8000])
def test_blocks_are_mono_float32_without_loss_until_none(case, rate_hz):
    source = case.source()
    source.open(rate_hz)
    blocks = list(iter(source.read, None))
    assert all(block.samples.dtype == np.float32 and block.samples.ndim == 1 for block in blocks)
    assert all(block.samples.size for block in blocks)
    assert all((block.lost_samples, block.gap_reason) == (0, None) for block in blocks)
    assert sum(block.samples.size for block in blocks) == CODES.size * rate_hz // 16000
    assert source.read() is None
    source.close()


@pytest.mark.timeout(20)
def test_close_wakes_a_read_that_waits(case):
    source = case.source(is_stalled=True)
    source.open(16000)
    got = []
    reader = threading.Thread(target=lambda: got.append(source.read()))
    reader.start()
    source.close()
    reader.join(timeout=10)
    assert got == [None]


def test_close_twice_then_none(case):
    source = case.source()
    source.open(16000)
    assert source.read() is not None
    source.close()
    source.close()
    assert source.read() is None


def test_close_before_open(case):
    source = case.source()
    source.close()
    source.open(16000)
    assert source.read() is None


@pytest.mark.skipif(not OPEN_FDS.exists(), reason="needs /proc")
def test_nothing_stays_open(case):
    before = set(OPEN_FDS.iterdir())
    source = case.source()
    source.open(16000)
    source.read()
    source.close()
    # Less may be open than before: the case closes the writing end of its pipe.
    assert set(OPEN_FDS.iterdir()) <= before
