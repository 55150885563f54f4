from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgmm.training.enrolment import training_cache as room
from streamgmm.training.enrolment.training_cache import make_cache
from tests.narrowing import present
from tests.training.enrolment.cache_rig import TASK, arrays_of, assert_same_cache, small_cache, wide_clip, wide_clips


@pytest.fixture
def little_room(monkeypatch):
    """Limits that a clip or two exceed."""
    monkeypatch.setattr(room, "WINDOWS_PER_LABEL", 10)
    monkeypatch.setattr(room, "COPIES_PER_LABEL", 7)
    monkeypatch.setattr(room, "FRAME_COPIES_PER_LABEL", 11)


def rows(label, cache, part):
    return sum(len(getattr(clip, part)) for clip in cache.clips if clip.clip.label == label)


@pytest.mark.parametrize("has_cepstra", [False, True])
def test_where_there_is_room_everything_is_kept_to_a_few_bits(has_cepstra):
    clips = wide_clips(has_cepstra=has_cepstra)
    cache = make_cache(clips, TASK, has_cepstra=has_cepstra)
    for clip, kept in zip(clips, cache.clips, strict=True):
        assert np.allclose(kept.vectors, clip.vectors, rtol=2**-11, atol=1e-7)
        assert np.allclose(kept.copies, clip.copies, rtol=2**-11, atol=1e-7)
        assert np.array_equal(present(kept.votes), present(clip.votes))
        assert (kept.cepstra is not None) == has_cepstra


def test_frames_that_are_not_wanted_are_not_kept():
    assert not make_cache(wide_clips(has_cepstra=True), TASK, has_cepstra=False).has_cepstra


def test_no_name_of_a_file_or_source_is_kept_and_sources_stay_apart():
    clips = wide_clips()
    shared = [clip._replace(clip=msgspec.structs.replace(clip.clip, source_id="anna", fold="2")) for clip in clips[:2]]
    kept = [clip.clip for clip in make_cache([*shared, *clips[2:]], TASK, has_cepstra=False).clips]
    assert kept[0].source_id == kept[1].source_id
    assert len({clip.source_id for clip in kept}) == len(clips) - 1
    for clip, original in zip(kept, clips, strict=True):
        assert str(clip.path) == clip.content_sha256 == original.clip.content_sha256
        assert "anna" not in clip.source_id
        assert original.clip.path.stem not in clip.source_id.split("/")
        assert clip.fold is None


@pytest.mark.parametrize("has_cepstra", [False, True])
def test_to_keep_what_was_kept_changes_nothing(little_room, has_cepstra):
    cache = small_cache(has_cepstra=has_cepstra)
    assert_same_cache(make_cache(cache.clips, cache.task, has_cepstra=has_cepstra), cache)


def test_each_label_keeps_as_much_as_the_limits_say_and_each_clip_a_window(little_room):
    cache = make_cache(
        [*wide_clips(has_cepstra=True), wide_clip("frog", 0, n_windows=3, has_cepstra=True)], TASK, has_cepstra=True
    )
    assert len(cache.clips) == 13
    for label in ("dog", "owl", "siren"):
        assert rows(label, cache, "vectors") == 8  # two of each of four clips, as three would be twelve
        assert rows(label, cache, "copies") == 4
        assert sum(len(present(clip.cepstra).copies) for clip in cache.clips if clip.clip.label == label) == 8
    assert rows("frog", cache, "vectors") == 3
    crowd = make_cache(wide_clips(["ant"], n_clips=15), TASK, has_cepstra=False)
    assert rows("ant", crowd, "vectors") == 15


def test_the_frames_of_a_kept_window_are_those_it_had(little_room):
    clips = wide_clips(has_cepstra=True)
    for clip, kept in zip(clips, make_cache(clips, TASK, has_cepstra=True).clips, strict=True):
        votes, cepstra, kept_cepstra = present(clip.votes), present(clip.cepstra), present(kept.cepstra)
        for window, share, (first, end) in zip(kept.vectors, present(kept.votes), kept_cepstra.spans, strict=True):
            (place,) = np.flatnonzero(np.isclose(clip.vectors, window, rtol=1e-3, atol=1e-6).all(axis=1))
            assert votes[place] == share
            held = slice(*cepstra.spans[place])
            assert np.allclose(kept_cepstra.vectors[first:end], cepstra.vectors[held], rtol=2**-11, atol=1e-7)
        assert len(kept_cepstra.vectors) <= 14  # none that no kept window holds


def test_the_draw_depends_on_sound_and_seed_alone(little_room):
    clips = wide_clips()
    first = {kept.clip.content_sha256: kept for kept in make_cache(clips, TASK, has_cepstra=False).clips}
    for kept in make_cache(clips[::-1], TASK, has_cepstra=False).clips:
        pairs = zip(arrays_of(kept), arrays_of(first[kept.clip.content_sha256]), strict=True)
        assert all(np.array_equal(own, other) for own, other in pairs)
    reseeded = msgspec.structs.replace(TASK, training=msgspec.structs.replace(TASK.training, seed=1))
    others = make_cache(clips, reseeded, has_cepstra=False).clips
    assert any(not np.array_equal(kept.vectors, first[kept.clip.content_sha256].vectors) for kept in others)


def test_the_number_of_processes_is_no_part_of_it():
    busy = msgspec.structs.replace(TASK, training=msgspec.structs.replace(TASK.training, n_jobs=7))
    assert_same_cache(make_cache(wide_clips(), busy, has_cepstra=False), small_cache())


def test_numbers_too_large_for_half_precision_stay_finite():
    clip = wide_clip("dog", 0)
    clip.vectors[0, :2] = (1e9, -1e9)
    (kept,) = make_cache([clip], TASK, has_cepstra=False).clips
    assert kept.vectors[0, :2].tolist() == [65504.0, -65504.0]


@given(st.lists(st.integers(0, 40), max_size=12), st.integers(0, 200))
def test_a_share_is_the_largest_that_fits(sizes, total):
    share = room._equal_share(sizes, total)
    fits = [k for k in range(max(sizes, default=0) + 1) if sum(min(size, k) for size in sizes) <= total]
    assert share == max(fits)


def test_copies_in_context_are_kept_whole_of_as_many_clips_as_there_is_room_for(monkeypatch):
    clips = wide_clips(n_contexts=2)
    n_hops = len(clips[0].contexts[0].vectors)
    monkeypatch.setattr(room, "CONTEXT_HOPS_PER_LABEL", 5 * n_hops)
    cache = make_cache(clips, TASK, has_cepstra=False)
    for label in ("dog", "owl", "siren"):
        assert sorted(len(clip.contexts) for clip in cache.clips if clip.clip.label == label) == [0, 0, 2, 2]
    assert_same_cache(make_cache(cache.clips, cache.task, has_cepstra=False), cache)
    more = make_cache([*cache.clips, *wide_clips(["frog"], n_contexts=2)], TASK, has_cepstra=False)
    assert [clip.contexts for clip in more.clips[:12]] != [()] * 12
