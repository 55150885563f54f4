import numpy as np
import pytest
import soundfile

from streamgmm.audio import reading
from streamgmm.dataset import loading
from streamgmm.dataset.dataset import read_dataset
from streamgmm.dataset.loading import by_recording, load_clips
from tests.dataset.dataset_rig import RATE_HZ, noise, write_classes, write_recording


def audio_of(clips, rate_hz):
    return [pair for own in by_recording(clips) for pair in zip(own, load_clips(own, rate_hz), strict=True)]


@pytest.fixture
def strong(tmp_path):
    for i, name in enumerate("ab"):
        write_recording(tmp_path / f"{name}.wav", i, duration_s=3.0)
        (tmp_path / f"{name}.txt").write_text("0.5\t0.8\tdog\n1.5\t1.7\tcat\n")
    return read_dataset(tmp_path)


def test_a_whole_recording(tmp_path):
    dataset = read_dataset(write_classes(tmp_path, "dog", "cat"))
    samples = load_clips(dataset.clips[:1], RATE_HZ)[0]
    expected, _ = soundfile.read(dataset.clips[0].path, dtype="float32")
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, expected)


def test_one_channel_of_several(tmp_path):
    write_classes(tmp_path, "dog")
    frames = [noise(seed, n_channels=2) for seed in (1, 2)]
    (tmp_path / "cat").mkdir()
    for i_clip in range(2):
        soundfile.write(tmp_path / "cat" / f"{i_clip}.wav", frames[i_clip], RATE_HZ, subtype="FLOAT")
    clip = read_dataset(tmp_path).clips[0]
    np.testing.assert_array_equal(load_clips([clip], RATE_HZ, channel=1)[0], frames[0][:, 1])


@pytest.mark.parametrize("rate_hz", [RATE_HZ, 16000, 11025])
def test_B23_clips_have_the_rate_asked_for(strong, rate_hz):
    for clip, samples in audio_of(strong.clips, rate_hz):
        assert abs(samples.size - clip.duration_s * rate_hz) <= 1


def test_a_clip_is_the_same_whichever_way_it_is_loaded(strong):
    for clip, samples in audio_of(strong.clips, 16000):
        np.testing.assert_array_equal(samples, load_clips([clip], 16000)[0])


def test_a_recording_is_decoded_once(strong, monkeypatch):
    paths = []

    def count(path, **options):
        paths.append(path)
        return reading.read_recording(path, **options)

    monkeypatch.setattr(loading, "read_recording", count)
    assert len(list(audio_of(strong.clips, RATE_HZ))) == len(strong.clips) == 6
    assert [path.name for path in paths] == ["a.wav", "b.wav"]


def test_clips_of_a_recording_do_not_keep_it_alive(strong):
    (samples, *_) = load_clips(by_recording(strong.clips)[0], RATE_HZ)
    assert samples.base is None
