"""A recording as a source: same samples, and on time when paced."""

import logging
import os

import numpy as np
import pytest
import soundfile

from streamgmm.audio.file import RecordingFile
from streamgmm.audio.reading import RecordingError
from streamgmm.audio.resample import resample, warn_if_narrow

CODES = np.random.default_rng(5).integers(-32768, 32768, 20_000).astype(np.int16)
SAMPLES = (CODES / 32768).astype(np.float32)


@pytest.fixture
def recording(tmp_path):
    soundfile.write(tmp_path / "door.wav", CODES, 16000, subtype="PCM_16")
    return tmp_path / "door.wav"


def read_all(source):
    return np.concatenate([block.samples for block in iter(source.read, None)])


class FakeTime:
    """A clock that only waiting moves."""

    def __init__(self):
        self.now_s = 100.0
        self.waits_s = []

    def clock(self):
        return self.now_s

    def wait(self, event, timeout_s):
        self.waits_s.append(timeout_s)
        self.now_s += timeout_s
        return event.is_set()


def test_same_samples_as_in_the_file(recording):
    source = RecordingFile(recording)
    source.open(16000)
    assert read_all(source).tobytes() == SAMPLES.tobytes()
    assert (source.name, source.is_live) == (f"file:{recording}", False)


def test_E26_a_path_that_is_not_utf8_has_a_printable_name():
    assert RecordingFile(os.fsdecode(b"a\xff\n.wav")).name == "file:a\\udcff\\n.wav"


@pytest.mark.parametrize(("model_hz", "n_warnings"), [(8000, 0), (16000, 0), (17000, 0), (32000, 1)])
def test_B23_what_a_model_misses_in_a_recording_of_a_lower_rate_is_told_once(recording, caplog, model_hz, n_warnings):
    warn_if_narrow.cache_clear()
    for _ in range(3):
        source = RecordingFile(recording)
        source.open(model_hz)
        source.close()
    assert sum("what it learnt above 8000 Hz is missing" in line for line in caplog.messages) == n_warnings


@pytest.mark.parametrize("rate_hz", [8000, 22050, 44100])
def test_resampled_like_the_whole(recording, rate_hz):
    source = RecordingFile(recording)
    source.open(rate_hz)
    assert read_all(source).tobytes() == resample(SAMPLES, 16000, rate_hz).tobytes()


@pytest.mark.parametrize(("pace", "max_reads", "longest"), [(0.0, 8, 8 * 1600), (0.0, 64, 64 * 1600), (1e6, 64, 1600)])
def test_blocks_are_short_and_shortest_where_someone_waits_for_them(tmp_path, pace, max_reads, longest):
    path = tmp_path / "long.wav"
    soundfile.write(path, np.zeros(100 * 1600, dtype=np.int16), 16000)
    source = RecordingFile(path, pace=pace, max_reads=max_reads)
    source.open(16000)
    assert max(block.samples.size for block in iter(source.read, None)) == longest


def test_channel(tmp_path):
    soundfile.write(tmp_path / "two.wav", np.stack([CODES, -(CODES // 2)], axis=1), 16000)
    source = RecordingFile(tmp_path / "two.wav", channel=0)
    source.open(16000)
    assert read_all(source).tobytes() == SAMPLES.tobytes()


@pytest.mark.parametrize("pace", [0.5, 1.0, 10.0])
def test_paced_blocks_come_when_they_would_have_been_recorded(recording, pace):
    time = FakeTime()
    source = RecordingFile(recording, pace=pace, clock=time.clock, wait=time.wait)
    source.open(16000)
    assert source.is_live
    n_samples = 0
    for block in iter(source.read, None):
        n_samples += block.samples.size
        assert time.now_s - 100.0 == pytest.approx(n_samples / 16000 / pace, abs=1e-4)


def test_late_reader_is_not_slowed_down_further(recording):
    time = FakeTime()
    source = RecordingFile(recording, pace=1.0, clock=time.clock, wait=time.wait)
    source.open(16000)
    time.now_s += 3600.0
    assert read_all(source).size == SAMPLES.size
    assert set(time.waits_s) == {0.0}


def test_symbolic_link_is_followed(recording, tmp_path):
    (tmp_path / "latest.wav").symlink_to(recording)
    source = RecordingFile(tmp_path / "latest.wav")
    source.open(16000)
    assert read_all(source).size == SAMPLES.size


def test_B14_missing_file_is_refused_on_open(tmp_path):
    with pytest.raises(RecordingError, match="no such file") as caught:
        RecordingFile(tmp_path / "none.wav").open(16000)
    assert caught.value.exit_code == 66


def test_B2_truncation_is_logged(recording, caplog):
    data = recording.read_bytes()
    recording.write_bytes(data[: len(data) // 2])
    source = RecordingFile(recording)
    source.open(16000)
    with caplog.at_level(logging.WARNING):
        n_samples = read_all(source).size
    assert 9000 < n_samples < 10_000
    assert "truncated" in caplog.text
