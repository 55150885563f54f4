from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest

from streamgmm.dataset.clips import Clip
from streamgmm.dataset.dataset import read_dataset
from streamgmm.training import trainer
from streamgmm.training.extraction.clip_vectors import ClipVectors
from streamgmm.training.extraction.extraction import Extraction, extract_clips
from streamgmm.training.extraction.world_clips import WorldClips
from streamgmm.training.selection import window_length
from streamgmm.training.selection.window_length import WindowLengths
from streamgmm.training.trainer import make_task, train
from tests.training.training_rig import config_with, make_clip, make_dataset, quick_config, vectors_of, write_sounds

LABELS = ["cat", "horse"]
CLIPS = [make_clip(label, number) for label in LABELS for number in range(20)]


def task_with(window_s: float = 1.0, **training):
    config = config_with(**{"search": True, **training})
    config = msgspec.structs.replace(config, features=msgspec.structs.replace(config.features, window_s=window_s))
    return make_task(make_dataset(CLIPS), config)


@pytest.fixture
def too_short() -> set[tuple[float, Clip]]:
    """Lengths of windows with the clips that have none of that length."""
    return set()


@pytest.fixture
def measuring(monkeypatch, too_short):
    """Clips without recordings: how far their labels lie apart depends on the length of the windows."""
    apart: dict[float, float] = {}
    measured: list[Any] = []

    def extract(clips, task, track):
        window_s = task.spec.window_s
        training = task.training
        is_light = not training.n_context_copies and training.cepstra == "never"
        measured.append((window_s, len(clips), "compared" if is_light else "whole"))
        vectors = [vectors_of(clip, apart.get(window_s, 0.5)) for clip in clips if (window_s, clip) not in too_short]
        return Extraction(list(track(vectors, "measuring", len(vectors))), [])

    monkeypatch.setattr(window_length, "extract_clips", extract)
    return apart, measured


def test_a_length_that_is_clearly_better_is_chosen_and_said(measuring):
    apart, measured = measuring
    apart.update({0.5: 3.0, 2.0: 1.0})
    chosen = WindowLengths(CLIPS, task_with()).choose(CLIPS, LABELS)
    assert chosen.task.spec.window_s == 0.5
    assert chosen.task.training == task_with().training
    assert [clip.clip for clip in chosen.clips] == CLIPS
    assert np.array_equal(chosen.clips[0].vectors, vectors_of(CLIPS[0], 3.0).vectors)
    (note,) = chosen.notes
    assert note.startswith("windows of 0.5 s: held-out log loss of clips ")
    assert "with 1 s" in note
    compared = [(window_s, 40, "compared") for window_s in (0.5, 2.0)]
    assert measured == [(1.0, 40, "whole"), *compared, (0.5, 40, "whole")]


def test_windows_of_five_seconds_are_tried_where_two_are_better(measuring):
    apart, measured = measuring
    apart.update({2.0: 0.7, 5.0: 3.0})
    chosen = WindowLengths(CLIPS, task_with()).choose(CLIPS, LABELS)
    assert chosen.task.spec.window_s == 5.0
    assert chosen.notes[0].startswith("windows of 5 s: ")
    apart.update({2.0: 3.0, 5.0: 3.0})
    assert WindowLengths(CLIPS, task_with()).choose(CLIPS, LABELS).task.spec.window_s == 2.0
    compared = [window_s for window_s, _, how in measured if how == "compared"]
    assert compared == 2 * [0.5, 2.0, 5.0]


def test_a_clip_that_has_no_window_of_five_seconds_leaves_two(measuring, too_short):
    apart, _ = measuring
    apart.update({2.0: 0.7, 5.0: 3.0})
    too_short.add((5.0, CLIPS[0]))
    assert WindowLengths(CLIPS, task_with()).choose(CLIPS, LABELS).task.spec.window_s == 2.0


def test_one_that_is_as_good_is_not_chosen(measuring):
    chosen = WindowLengths(CLIPS, task_with()).choose(CLIPS, LABELS)
    assert chosen.task.spec.window_s == 1.0
    (note,) = chosen.notes
    assert note.startswith("windows of 1 s kept, as no others are surely better: ")


@pytest.mark.parametrize(
    "task", [task_with(window_s=1.5), task_with(search=False)], ids=["chosen by the user", "without a search"]
)
def test_nothing_else_is_measured_where_nothing_is_to_be_chosen(measuring, task):
    _, measured = measuring
    chosen = WindowLengths(CLIPS, task).choose(CLIPS, LABELS)
    assert (chosen.task, chosen.notes) == (task, ())
    assert measured == [(task.spec.window_s, 40, "whole")]


def test_a_window_is_never_shorter_than_its_stride(measuring):
    _, measured = measuring
    task = task_with()
    wide = msgspec.structs.replace(task, spec=msgspec.structs.replace(task.spec, hop_s=0.8))
    WindowLengths(CLIPS, wide).choose(CLIPS, LABELS)
    assert [window_s for window_s, _, how in measured if how == "compared"] == [2.0]


def test_one_label_or_clips_that_cannot_be_held_out_keep_the_default(measuring):
    cats = CLIPS[:20]
    assert WindowLengths(cats, task_with()).choose(cats, ["cat"]).notes == ()
    few = [CLIPS[0], CLIPS[20]]
    assert WindowLengths(few, task_with()).choose(few, LABELS).notes == ()


def test_clips_that_are_not_taught_say_nothing_and_are_measured_once_for_all_folds(measuring):
    apart, measured = measuring
    apart.update({2.0: 3.0})
    lengths = WindowLengths(CLIPS, task_with())
    for first in (0, 1, 2):
        usable = CLIPS[first::3]
        chosen = lengths.choose(usable, LABELS)
        assert [clip.clip for clip in chosen.clips] == usable
        assert chosen.notes == WindowLengths(usable, task_with()).choose(usable, LABELS).notes
    assert measured.count((2.0, 40, "whole")) == measured.count((2.0, 40, "compared")) == 1


def test_of_a_large_set_a_share_of_each_label_is_tried_and_all_of_it_measured_as_chosen(measuring, monkeypatch):
    apart, measured = measuring
    apart.update({0.5: 3.0})
    monkeypatch.setattr(window_length, "MAX_TRIED_CLIPS", 30)
    lengths = WindowLengths(CLIPS, task_with())
    chosen = lengths.choose(CLIPS, LABELS)
    assert [clip.clip for clip in chosen.clips] == CLIPS
    compared = [(window_s, 30, "compared") for window_s in (0.5, 2.0)]
    assert measured == [(1.0, 40, "whole"), *compared, (0.5, 40, "whole")]
    tried = lengths._tried
    assert Counter(clip.label for clip in tried) == {"cat": 15, "horse": 15}
    assert WindowLengths(CLIPS, task_with())._tried == tried


def test_a_clip_that_has_no_window_of_some_length_is_compared_under_none(measuring, too_short):
    apart, _ = measuring
    apart.update({0.5: 3.0})
    too_short.add((0.5, CLIPS[0]))
    chosen = WindowLengths(CLIPS, task_with()).choose(CLIPS, LABELS)
    assert [clip.clip for clip in chosen.clips] == CLIPS[1:]


def test_a_model_has_the_length_that_was_chosen(tmp_path, monkeypatch):
    def extract(clips, task, track):
        measured = extract_clips(clips, task, track)
        if task.spec.window_s == 2.0:
            return measured
        # Without a sense in them, windows of other lengths are no better than chance.
        rng = np.random.default_rng(0)
        noise = [
            ClipVectors(
                one.clip,
                rng.standard_normal(one.vectors.shape).astype(np.float32),
                rng.standard_normal(one.copies.shape).astype(np.float32),
            )
            for one in measured.clips
        ]
        return Extraction(noise, measured.skipped)

    def world(task, labels, track):
        lengths_of_world.append(task.spec.window_s)
        return WorldClips([])

    lengths_of_world: list[float] = []
    monkeypatch.setattr(window_length, "extract_clips", extract)
    monkeypatch.setattr(trainer, "world_clips", world)
    dataset = read_dataset(write_sounds(tmp_path / "data", n_clips=6))
    config = quick_config(search=True, cepstra="never", n_noise_copies=0)
    training = train(dataset, config, name="yard")
    assert training.model.spec.window_s == training.task.spec.window_s == 2.0
    assert training.model.card["settings"]["features"]["window_s"] == 2.0
    assert any(note.startswith("windows of 2 s") for note in training.notes)
    assert training.validation.accuracy == 1.0
    assert lengths_of_world == [2.0]
