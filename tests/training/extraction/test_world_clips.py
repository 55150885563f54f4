from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile

from streamgmm.dataset.clips import Clip
from streamgmm.errors import DataError
from streamgmm.features.spec import FeatureSpec
from streamgmm.labels import BACKGROUND
from streamgmm.settings.training import TrainingSection
from streamgmm.training.extraction import ambiences as ambiences_module
from streamgmm.training.extraction import world_clips as module
from streamgmm.training.extraction.ambiences import DURATION_S, kinds_in, measure_ambiences
from streamgmm.training.extraction.context import BED_KINDS, LEAD_S, TAIL_S, lasting_sounds
from streamgmm.training.extraction.kept_vectors import read_vectors
from streamgmm.training.extraction.task import ExtractionTask
from streamgmm.training.extraction.world_cache import MAX_BYTES, MAX_FILES, kept_world
from streamgmm.training.extraction.world_clips import (
    MAX_WINDOWS,
    N_COPIES,
    N_HELD_OUT,
    WorldClips,
    lasting,
    world_clips,
)
from streamgmm.world.kinds import NOISE, kinds_named_by
from streamgmm.world.world import World, read_index, read_world

N_SOUNDS, N_AMBIENCES = 24, 12
TASK = ExtractionTask(
    spec=FeatureSpec(sample_rate_hz=8000, n_bands=8),
    training=TrainingSection(n_jobs=1),
    channel="mean",
    silence_gate_dbfs=-75.0,
)


@pytest.fixture(autouse=True)
def small_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The first sounds of the world alone, and an empty cache folder."""
    world = read_world()
    monkeypatch.setattr(module, "read_world", lambda: World(world.rate_hz, world.sounds[:N_SOUNDS]))
    monkeypatch.setattr(module, "N_AMBIENCES", N_AMBIENCES)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "streamgmm"


def kinds() -> list[str]:
    return [sound.kind for sound in read_index().sounds[:N_SOUNDS]]


def test_each_sound_is_a_clip_of_background_with_a_source_of_its_own_recording():
    clips = world_clips(TASK, ["my label"]).clips
    assert len(clips) == N_SOUNDS
    assert {clip.clip.label for clip in clips} == {BACKGROUND}
    assert all(clip.is_world and 1 <= len(clip.vectors) <= MAX_WINDOWS for clip in clips)
    sources = [sound.source_id for sound in read_index().sounds[:N_SOUNDS]]
    assert [clip.clip.source_id for clip in clips] == [f"world/{source}" for source in sources]


def test_copies_of_a_sound_are_fitted_to_and_the_first_are_held_out_with_it():
    for clip in world_clips(TASK, ["my label"]).clips:
        assert len(clip.contexts) == N_HELD_OUT
        assert N_COPIES <= len(clip.copies) <= N_COPIES * MAX_WINDOWS
        assert np.isfinite(clip.copies).all()
        assert not any((clip.copies == vector).all(axis=1).any() for vector in clip.vectors)


@pytest.mark.parametrize(("window_s", "sound_s", "lasts_s"), [(2.0, 1.5, 2.25), (5.0, 1.4, 5.25)])
def test_parts_of_longer_sounds_fill_long_windows(window_s, sound_s, lasts_s):
    spec = msgspec.structs.replace(TASK.spec, window_s=window_s)
    samples = np.arange(sound_s * spec.sample_rate_hz, dtype=np.float32)
    longer = lasting(samples, spec)
    assert len(longer) / spec.sample_rate_hz == pytest.approx(lasts_s, abs=0.1)
    np.testing.assert_array_equal(longer, samples[np.arange(len(longer)) % len(samples)])


@pytest.mark.parametrize(("window_s", "sound_s"), [(0.5, 1.5), (1.0, 1.5), (1.0, 1.3), (2.0, 1.0), (5.0, 0.3)])
def test_sounds_that_ended_and_those_that_fill_a_window_are_as_long_as_they_are(window_s, sound_s):
    spec = msgspec.structs.replace(TASK.spec, window_s=window_s)
    samples = np.arange(sound_s * spec.sample_rate_hz, dtype=np.float32)
    assert lasting(samples, spec) is samples


@pytest.mark.parametrize("window_s", [1.0, 5.0])
def test_a_long_sound_is_heard_for_longer_than_a_window(window_s):
    longest = max(read_index().sounds[:N_SOUNDS], key=lambda sound: sound.n_samples).id
    spec = msgspec.structs.replace(TASK.spec, window_s=window_s)
    clips = world_clips(msgspec.structs.replace(TASK, spec=spec), ["my label"]).clips
    (clip,) = (clip for clip in clips if clip.clip.path.name == longest)
    heard_s = len(clip.contexts[0].covers) * spec.hop_samples / spec.sample_rate_hz
    assert heard_s > (LEAD_S + TAIL_S + 1.0) * window_s


def test_kinds_that_the_user_teaches_are_left_out_and_named():
    taught = kinds()[0]
    found = world_clips(TASK, [f"My_{taught.capitalize()}"])
    assert len(found.clips) == N_SOUNDS - kinds().count(taught)
    assert taught in found.notes[0]


def test_ambiences_are_heard_alone_and_never_fitted_to():
    ambiences = world_clips(TASK, ["my label"]).ambiences
    assert len(ambiences) == N_AMBIENCES
    for clip, _ in ambiences:
        assert clip.is_world
        assert len(clip.vectors) == len(clip.copies) == 0
        (heard,) = clip.contexts
        is_whole = np.isfinite(heard.vectors).all(axis=1)
        assert is_whole.sum() * TASK.spec.hop_samples / TASK.spec.sample_rate_hz >= DURATION_S


def test_the_second_time_ambiences_come_from_the_cache_with_the_same_bits(monkeypatch):
    first = world_clips(TASK, ["dog"]).ambiences
    monkeypatch.setattr(module, "read_world", None)
    again = world_clips(TASK, ["dog"]).ambiences
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.clip.contexts[0].vectors, other.clip.contexts[0].vectors)


@pytest.mark.parametrize("label", ["train", "Maschine", "car passing", "white noise"])
def test_ambiences_are_named_by_the_labels_of_what_they_are_made_of(label):
    index = read_index()
    taught = kinds_named_by(label, frozenset({*(sound.kind for sound in index.sounds), NOISE}))
    ambiences = world_clips(TASK, [label, "my label"]).ambiences
    for clip, named_by in ambiences:
        assert named_by == ({label} if kinds_in(clip, index) & taught else set())
    assert 0 < sum(bool(one.named_by) for one in ambiences) < N_AMBIENCES


@pytest.mark.parametrize("label", ["rain", "Regen", "waterfall_running water", "steam hiss", "sea"])
def test_what_sounds_like_noise_names_noise(label):
    index = read_index()
    ambiences = world_clips(TASK, ["dog", label]).ambiences
    noisy = [one for one in ambiences if NOISE in kinds_in(one.clip, index)]
    assert noisy
    assert all(one.named_by == {label} for one in noisy)


def test_who_teaches_quiet_as_a_sound_may_hear_of_it():
    assert all(one.named_by == {"Quiet"} for one in world_clips(TASK, ["Quiet", "dog"]).ambiences)


def test_with_a_background_of_the_user_there_are_no_other_ambiences(tmp_path):
    assert not world_clips(over_hum(tmp_path), ["dog"]).ambiences


def test_an_ambience_is_made_of_what_its_kinds_say(monkeypatch):
    """Without the sounds of a kind, only the ambiences with this kind change."""
    index = read_index()
    plain = measure_ambiences(range(40), TASK)
    sounds = lasting_sounds(TASK.spec.sample_rate_hz)
    kinds = [sound.kind for sound in index.sounds if sound.kind in BED_KINDS]
    silent = [np.ones_like(own) if kind == "wind" else own for kind, own in zip(kinds, sounds, strict=True)]
    monkeypatch.setattr(ambiences_module, "lasting_sounds", lambda rate_hz: silent)
    changed = measure_ambiences(range(40), TASK)
    for one, other in zip(plain, changed, strict=True):
        is_same = one.clip.content_sha256 == other.clip.content_sha256
        assert is_same == ("wind" not in kinds_in(one, index))


def test_nothing_is_measured_where_the_settings_say_so(monkeypatch):
    monkeypatch.setattr(module, "read_world", None)
    task = msgspec.structs.replace(TASK, training=TrainingSection(world=False))
    assert world_clips(task, ["dog"]) == WorldClips([])


def test_the_second_time_they_come_from_the_cache_with_the_same_bits(monkeypatch, small_world):
    first = world_clips(TASK, ["dog"]).clips
    assert len(list(small_world.iterdir())) == 1
    monkeypatch.setattr(module, "read_world", None)
    again = world_clips(TASK, ["dog"]).clips
    assert [clip.clip for clip in again] == [clip.clip for clip in first]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.vectors, other.vectors)
        np.testing.assert_array_equal(one.contexts[0].vectors, other.contexts[0].vectors)
        np.testing.assert_array_equal(one.cepstra.spans, other.cepstra.spans)  # type: ignore[union-attr]


def over_hum(folder: Path) -> ExtractionTask:
    """The task with a background of steady hum."""
    path = folder / "hum.wav"
    soundfile.write(path, np.sin(np.arange(8000) * 0.5), 8000)
    background = Clip(
        path=path,
        label=BACKGROUND,
        source_id="hum",
        duration_s=1.0,
        sample_rate_hz=8000,
        content_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )
    return msgspec.structs.replace(TASK, backgrounds=(background,))


def test_sounds_are_heard_over_a_background_of_the_user(tmp_path, small_world):
    noisy, humming = (world_clips(task, ["dog"]) for task in (TASK, over_hum(tmp_path)))
    assert (noisy.is_over_background, humming.is_over_background) == (False, True)
    assert [clip.clip for clip in humming.clips] == [clip.clip for clip in noisy.clips]
    # Before a sound begins, the hum has always the same level from hop to hop, and noise has not.
    hum, noise = (max(np.ptp(clip.contexts[0].levels_dbfs[1:5]) for clip in found.clips) for found in (humming, noisy))
    assert hum < 0.1 < noise
    # Each has a file of its own in the cache.
    assert len(list(small_world.iterdir())) == 2


@pytest.mark.parametrize("cepstra", ["auto", "always", "never"])
def test_a_training_from_memory_hears_them_over_the_background_that_is_gone(tmp_path, cepstra):
    task = over_hum(tmp_path)
    first = world_clips(task, ["dog"])
    training = msgspec.structs.replace(TASK.training, cepstra=cepstra)
    remembered = msgspec.structs.replace(TASK, heard_over=task.backgrounds_sha256, training=training)
    task.backgrounds[0].path.unlink()
    again = world_clips(remembered, ["dog"])
    assert again.is_over_background
    assert again.notes == first.notes
    for one, other in zip(first.clips, again.clips, strict=True):
        np.testing.assert_array_equal(one.vectors, other.vectors)


def test_where_their_measurements_are_gone_too_a_training_from_memory_says_so(tmp_path, small_world):
    task = over_hum(tmp_path)
    world_clips(task, ["dog"])
    for file in small_world.iterdir():
        file.unlink()
    found = world_clips(msgspec.structs.replace(TASK, heard_over=task.backgrounds_sha256), ["dog"])
    assert not found.is_over_background
    assert found.notes[-1] == module.OVER_NOISE_NOTE
    np.testing.assert_array_equal(found.clips[0].vectors, world_clips(TASK, ["dog"]).clips[0].vectors)


def test_other_backgrounds_have_another_hash(tmp_path):
    task = over_hum(tmp_path)
    (hum,) = task.backgrounds
    others = [
        TASK,
        msgspec.structs.replace(task, backgrounds=(hum, hum)),
        msgspec.structs.replace(task, backgrounds=(msgspec.structs.replace(hum, onset_s=0.0, offset_s=0.5),)),
        msgspec.structs.replace(task, channel=0),
    ]
    assert len({one.backgrounds_sha256 for one in (task, *others)}) == 5


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-10], lambda data: b"", lambda data: data[:99] + b"x" + data[100:]]
)
def test_a_damaged_cache_is_measured_again_and_mended(small_world, damage):
    first = world_clips(TASK, ["dog"]).clips
    (path,) = small_world.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    again = world_clips(TASK, ["dog"]).clips
    np.testing.assert_array_equal(first[0].vectors, again[0].vectors)
    assert read_vectors(path, MAX_BYTES) is not None


def test_a_cache_folder_that_cannot_be_made_only_costs_time(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(world_clips(TASK, ["dog"]).clips) == N_SOUNDS - kinds().count("dog")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME")
    assert world_clips(TASK, ["dog"]).clips


def test_the_cache_is_bounded(small_world):
    clips = world_clips(TASK, ["dog"]).clips
    for i in range(2 * MAX_FILES):
        kept_world(f"{i:032}", lambda: clips)
    assert len(list(small_world.iterdir())) <= MAX_FILES


@pytest.mark.parametrize("part", ["read_world", "read_index"])
def test_a_missing_or_cut_world_is_said_and_trained_without(monkeypatch, part):
    def broken():
        raise DataError("the sounds of the world cannot be read")

    monkeypatch.setattr(module, part, broken)
    clips, notes, *_ = world_clips(TASK, ["dog"])
    assert clips == []
    assert notes[0].startswith("trained without the sounds that come with streamgmm: the sounds of the world cannot")
