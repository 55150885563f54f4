from __future__ import annotations

import msgspec
import numpy as np
import pytest
import soundfile

from streamgmm.arrays import Samples
from streamgmm.dataset.dataset import read_dataset
from streamgmm.dataset.loading import load_clips
from streamgmm.decision.clip import vote_weight
from streamgmm.errors import ConfigError, DataError
from streamgmm.features.extractor import extract
from streamgmm.features.window import window_layout
from streamgmm.training.extraction import extraction as room
from streamgmm.training.extraction.extraction import (
    active_windows,
    extract_clips,
    masked,
    with_backgrounds,
    without_contexts,
)
from streamgmm.training.fitting.fitting import fit_classifier
from streamgmm.training.trainer import make_task
from tests.narrowing import present
from tests.training.training_rig import RATE_HZ, config_with, make_clip, write_sounds


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return read_dataset(write_sounds(tmp_path_factory.mktemp("sounds"), n_clips=3))


def measure(dataset, clips=None, **training):
    """Without copies in context, unless they are asked for: these are measured as other copies are."""
    return extract_clips(clips or dataset.clips, make_task(dataset, config_with(**{"n_context_copies": 0, **training})))


def assert_equal(first, second):
    assert first.clip == second.clip
    assert np.array_equal(first.vectors, second.vectors)
    assert np.array_equal(first.copies, second.copies)


def test_vectors_are_those_of_a_stream_of_the_clip(dataset):
    measured = measure(dataset, n_speed_copies=0, n_noise_copies=0).clips[0]
    spec = make_task(dataset, config_with()).spec
    recorded = extract(load_clips([dataset.clips[0]], RATE_HZ)[0], spec)
    is_active = recorded.levels_dbfs >= max(-75.0, recorded.levels_dbfs.max() - 45.0)
    assert np.array_equal(measured.vectors, recorded.vectors[is_active].astype(np.float32))
    assert measured.copies.shape == (0, measured.vectors.shape[1])
    assert measured.vectors.dtype == measured.copies.dtype == np.float32


def test_frames_are_those_of_a_stream_and_each_window_knows_its_own(dataset):
    measured = measure(dataset, n_speed_copies=1, n_noise_copies=1).clips[0]
    spec = make_task(dataset, config_with()).spec
    recorded = extract(load_clips([dataset.clips[0]], RATE_HZ)[0], spec, has_cepstra=True)
    assert np.array_equal(measured.cepstra.vectors, recorded.cepstra.astype(np.float32))
    assert measured.cepstra.copies.shape[1] == measured.cepstra.vectors.shape[1]
    is_active = recorded.levels_dbfs >= max(-75.0, recorded.levels_dbfs.max() - 45.0)
    n_window_hops = spec.window_samples // spec.hop_samples
    spans = []
    for hop in np.flatnonzero(is_active):
        end = recorded.n_frames[: hop + 1].sum()
        spans.append((end - recorded.n_frames[max(0, hop + 1 - n_window_hops) : hop + 1].sum(), end))
    assert measured.cepstra.spans.tolist() == [list(map(int, span)) for span in spans]
    votes = [vote_weight(*pair) for pair in zip(recorded.window_shares, recorded.window_levels_dbfs, strict=True)]
    np.testing.assert_allclose(measured.votes, np.array(votes)[is_active], rtol=1e-12)


def test_frames_that_are_not_wanted_are_not_measured(dataset):
    assert measure(dataset, cepstra="never").clips[0].cepstra is None


def test_clips_stay_in_the_order_of_the_data_set(dataset):
    extraction = measure(dataset)
    assert [vectors.clip for vectors in extraction.clips] == dataset.clips
    assert extraction.skipped == []


def test_equal_seed_and_content_give_equal_vectors_whatever_the_order_and_the_processes(dataset):
    alone = {vectors.clip: vectors for vectors in measure(dataset).clips}
    for other in (measure(dataset, n_jobs=2), measure(dataset, clips=dataset.clips[::-1])):
        for vectors in other.clips:
            assert_equal(vectors, alone[vectors.clip])


def test_another_seed_gives_other_copies_of_the_same_recording(dataset):
    for first, other in zip(measure(dataset).clips, measure(dataset, seed=1).clips, strict=True):
        assert np.array_equal(first.vectors, other.vectors)
        assert not np.array_equal(first.copies[: len(other.copies)], other.copies[: len(first.copies)])


def test_a_file_of_another_name_and_format_gives_the_same_vectors(dataset, tmp_path):
    samples, rate_hz = soundfile.read(dataset.clips[0].path, dtype="float32")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    soundfile.write(tmp_path / "a" / "renamed.flac", samples, rate_hz, subtype="PCM_16")
    soundfile.write(tmp_path / "b" / "other.wav", samples[::-1], rate_hz)
    renamed = read_dataset(tmp_path, min_clips=1).clips[0]
    first, copy = measure(dataset, clips=[dataset.clips[0]]).clips[0], measure(dataset, clips=[renamed]).clips[0]
    assert np.array_equal(first.vectors, copy.vectors)
    assert np.array_equal(first.copies, copy.copies)


def test_the_number_of_copies_is_as_asked_for(dataset):
    clip = dataset.clips[:1]
    n_recorded = len(measure(dataset, clips=clip).clips[0].vectors)
    noisy = measure(dataset, clips=clip, n_speed_copies=0, n_noise_copies=3).clips[0]
    assert len(noisy.copies) == 3 * n_recorded
    faster = measure(dataset, clips=clip, n_speed_copies=4, n_noise_copies=0).clips[0]
    assert 3 * n_recorded < len(faster.copies) < 5 * n_recorded


@pytest.mark.parametrize(("share", "n_elsewhere"), [(0.0, 0), (1.0, 4)])
def test_a_share_of_the_copies_is_transmitted(dataset, monkeypatch, share, n_elsewhere):
    heard: list[Samples] = []

    def keep(samples: Samples, *_: object) -> Samples:
        heard.append(samples)
        return samples

    monkeypatch.setattr(room, "TRANSMITTED_SHARE", share)
    monkeypatch.setattr(room, "transmitted", keep)
    measure(dataset, clips=dataset.clips[:1], n_speed_copies=3, n_noise_copies=1)
    assert len(heard) == n_elsewhere


def test_only_copies_are_transmitted_unless_that_is_switched_off(dataset, monkeypatch):
    monkeypatch.setattr(room, "TRANSMITTED_SHARE", 1.0)
    clip = dataset.clips[:1]
    elsewhere, here = (measure(dataset, clips=clip, n_speed_copies=1, rooms=rooms).clips[0] for rooms in (True, False))
    assert np.array_equal(elsewhere.vectors, here.vectors)
    assert not np.allclose(elsewhere.copies[:20], here.copies[:20], atol=0.1)
    n_frames = len(here.cepstra.copies)
    assert abs(len(elsewhere.cepstra.copies) - n_frames) < 0.1 * n_frames


def test_B14_a_recording_that_vanished_is_left_out(dataset, tmp_path):
    root = write_sounds(tmp_path / "data", n_clips=3)
    fresh = read_dataset(root)
    fresh.clips[1].path.unlink()
    extraction = measure(fresh)
    assert [(skipped.path, skipped.reason) for skipped in extraction.skipped] == [(fresh.clips[1].path, "vanished")]
    assert len(extraction.clips) == 8
    usable = extraction.usable(fresh, 2)
    assert (len(usable.clips), usable.skipped) == (8, extraction.skipped)
    with pytest.raises(DataError, match=r"class 'bird_song' has 2 usable.*\n.*left out: .*: does not exist"):
        extraction.usable(fresh, 3)


def test_B19_a_silent_clip_is_left_out(tmp_path):
    root = write_sounds(tmp_path / "data", n_clips=3)
    faint = 1e-5 * np.random.default_rng(0).standard_normal(RATE_HZ)
    soundfile.write(root / "footsteps" / "silent.wav", faint, RATE_HZ, subtype="FLOAT")
    extraction = measure(read_dataset(root))
    assert [(skipped.path.name, skipped.reason) for skipped in extraction.skipped] == [("silent.wav", "silent")]


def test_windows_with_a_sample_that_is_no_sound_are_left_out(tmp_path):
    root = write_sounds(tmp_path / "data", n_clips=2)
    samples = 0.1 * np.random.default_rng(0).standard_normal(4 * RATE_HZ)
    samples[3 * RATE_HZ] = 1e5
    soundfile.write(root / "footsteps" / "broken.wav", samples, RATE_HZ, subtype="FLOAT")
    for vectors in measure(read_dataset(root)).clips:
        assert len(vectors.vectors)
        assert np.isfinite(vectors.vectors).all()
        assert np.isfinite(vectors.copies).all()


@pytest.mark.parametrize(
    ("label", "levels_dbfs", "expected"),
    [
        ("dog", [-20, -64, -66, -80], [True, True, False, False]),
        ("dog", [-60, -74, -76], [True, True, False]),
        ("background", [-20, -64, -66, -80], [True, True, True, False]),
        ("dog", [-76, -90], [False, False]),
        ("dog", [], []),
    ],
)
def test_pauses_are_no_part_of_a_class(label, levels_dbfs, expected):
    assert active_windows(np.array(levels_dbfs, dtype=float), label, -75.0).tolist() == expected


@pytest.mark.parametrize(
    "movement",
    [
        lambda t: np.full(t.size, 0.05),
        lambda t: np.full(t.size, -0.0005),
        lambda t: 0.3 * np.exp(-t / 0.3),
        lambda t: 0.02 * t,
        lambda t: 0.1 * np.sin(2 * np.pi * 6.0 * t),
    ],
    ids=["offset", "faint offset", "decay", "drift", "rumble"],
)
@pytest.mark.parametrize("rate_hz", [RATE_HZ, 11025])
def test_A27_pauses_stay_pauses_with_sound_outside_all_bands(tmp_path, movement, rate_hz):
    rng = np.random.default_rng(0)
    times_s = np.arange(5 * rate_hz) / rate_hz
    is_sounding = (times_s > 2.0) & (times_s < 2.5)
    sound = rng.normal(0.0, np.where(is_sounding, 0.05, 1e-6))
    for name, added in (("plain", 0.0), ("moved", movement(times_s))):
        (tmp_path / name / "bell").mkdir(parents=True)
        for i in range(2):
            soundfile.write(tmp_path / name / "bell" / f"{i}.wav", sound * (1 + i) + added, rate_hz, subtype="FLOAT")
        (tmp_path / name / "bird").mkdir()
        for i in range(2):
            soundfile.write(tmp_path / name / "bird" / f"{i}.wav", sound[::-1] * (1 + i), rate_hz, subtype="FLOAT")
    plain, moved = (
        extract_clips(data.clips, make_task(data, config_with(n_speed_copies=2, n_noise_copies=1, rooms=True)))
        for data in (read_dataset(tmp_path / "plain"), read_dataset(tmp_path / "moved"))
    )
    assert [len(clip.vectors) for clip in moved.clips] == [len(clip.vectors) for clip in plain.clips]
    # Only windows with sound are used: four to six hops, not forty.
    assert max(len(clip.vectors) for clip in moved.clips) < 10


def test_copies_are_also_made_over_the_given_backgrounds(tmp_path):
    dataset = read_dataset(write_sounds(tmp_path / "data", ("footsteps", "bird_song"), n_clips=2))
    room = write_sounds(tmp_path / "room", ("phone_ring", "siren"), n_clips=2)
    background = msgspec.structs.replace(read_dataset(room).clips[0], label="background")
    task = make_task(dataset, config_with(n_speed_copies=0, n_context_copies=0))
    alone = extract_clips([*dataset.clips, background], task).clips
    over = extract_clips([*dataset.clips, background], with_backgrounds(task, [*dataset.clips, background])).clips
    for before, after in zip(alone, over, strict=True):
        assert np.array_equal(before.vectors, after.vectors)
        is_background = before.clip.label == "background"
        assert len(after.copies) == (1 if is_background else 2) * len(before.copies)


def test_an_even_choice_is_made_of_many_backgrounds(dataset):
    task = make_task(dataset, config_with())
    clips = [make_clip("background", number) for number in range(200)]
    chosen = with_backgrounds(task, [make_clip("cat", 0), *clips]).backgrounds
    assert len(chosen) == 64
    assert (chosen[0], chosen[-1]) == (clips[0], clips[-1])
    assert with_backgrounds(task, [make_clip("cat", 0)]).backgrounds == ()


def test_kinds_of_features_that_are_left_out_have_no_say(dataset):
    without = ["tonality", "active shape"]
    measured, spec = measure(dataset, without=without), make_task(dataset, config_with()).spec
    every = measure(dataset)
    first = 0
    for block in window_layout(spec):
        columns = slice(first, first := first + len(block.bands))
        for clip, whole in zip(measured.clips, every.clips, strict=True):
            for part, full in ((clip.vectors, whole.vectors), (clip.copies, whole.copies)):
                expected = np.zeros_like(full[:, columns]) if block.kind in without else full[:, columns]
                assert np.array_equal(part[:, columns], expected)
    classifier = fit_classifier(measured.clips, dataset.labels, config_with().training).classifier
    disturbed = every.clips[0].vectors.astype(float)
    quiet = masked(disturbed, without, spec)
    loud_scores, quiet_scores = (classifier.score_many(vectors.astype(np.float64)) for vectors in (disturbed, quiet))
    assert np.array_equal(loud_scores, quiet_scores)


def test_an_unknown_kind_or_no_kind_at_all_is_one_line(dataset):
    with pytest.raises(ConfigError, match="no kind of features is 'colour', there are spectral shape, "):
        make_task(dataset, config_with(without=["colour"]))
    kinds = [block.kind for block in window_layout(make_task(dataset, config_with()).spec)]
    with pytest.raises(ConfigError, match="leaves no features"):
        make_task(dataset, config_with(without=kinds))


def test_without_contexts_is_as_if_measured_without_them(dataset, monkeypatch):
    measured = measure(dataset, n_context_copies=3, cepstra="always").clips
    assert any(clip.contexts and len(clip.copies) for clip in measured)
    light = present(without_contexts(measured, len(measured)))
    for left, expected in zip(light, measure(dataset, n_context_copies=0, cepstra="never").clips, strict=True):
        assert_equal(left, expected)
        assert np.array_equal(present(left.votes), present(expected.votes))
        assert (left.cepstra, left.contexts) == (expected.cepstra, expected.contexts)
    # Where windows were left out at random, nobody knows which are left.
    longest = max(len(clip.copies) for clip in measured)
    monkeypatch.setattr(room, "MAX_EXTRACTED_WINDOWS", longest * len(measured))
    assert without_contexts(measured, len(measured)) is None


def test_of_very_many_clips_each_keeps_an_equal_share_of_windows_with_their_own_frames(dataset, monkeypatch):
    whole = measure(dataset, cepstra="always")
    n = len(dataset.clips)
    monkeypatch.setattr(room, "MAX_EXTRACTED_WINDOWS", 4 * n)
    monkeypatch.setattr(room, "MAX_EXTRACTED_FRAMES", 9 * n)
    kept = measure(dataset, cepstra="always")
    for clip, every in zip(kept.clips, whole.clips, strict=True):
        assert (len(clip.vectors), len(clip.copies), len(clip.cepstra.copies)) == (4, 4, 9)
        places = [every.vectors.tolist().index(row) for row in clip.vectors.tolist()]
        assert places == sorted(set(places))
        assert np.array_equal(clip.votes, every.votes[places])
        for span, place in zip(clip.cepstra.spans, places, strict=True):
            assert np.array_equal(
                clip.cepstra.vectors[slice(*span)], every.cepstra.vectors[slice(*every.cepstra.spans[place])]
            )
    for clip, again in zip(kept.clips, measure(dataset, cepstra="always", n_jobs=2).clips, strict=True):
        assert_equal(clip, again)
