"""Real recordings, in the folder that STREAMGMM_DATA names."""

from collections import Counter

import numpy as np
import pytest

from streamgmm.dataset.dataset import common_rate_hz, read_dataset
from streamgmm.dataset.folds import grouped_stratified_folds
from tests.required import corpus


@pytest.fixture(scope="module")
def esc10():
    return read_dataset(corpus("esc10"))


def test_esc10_is_whole(esc10):
    assert (len(esc10.clips), len(esc10.labels), esc10.skipped, esc10.warnings) == (400, 10, [], [])
    assert set(Counter(clip.label for clip in esc10.clips).values()) == {40}
    assert set(Counter(clip.fold for clip in esc10.clips).values()) == {80}
    assert common_rate_hz(esc10) == 44100


def test_folds_of_esc10_are_as_even_as_the_published_ones(esc10):
    labels, sources = [clip.label for clip in esc10.clips], [clip.source_id for clip in esc10.clips]
    folds = grouped_stratified_folds(labels, sources, 5, seed=0)
    counts = np.array(
        [[np.sum(folds[np.array(labels) == label] == fold) for label in esc10.labels] for fold in range(5)]
    )
    assert counts.min() >= 7
    assert counts.max() <= 9


def test_fsdd_has_a_fold_per_speaker():
    dataset = read_dataset(corpus("fsdd"))
    assert (len(dataset.clips), dataset.labels, dataset.skipped) == (3000, list("0123456789"), [])
    assert len({(clip.source_id, clip.fold) for clip in dataset.clips}) == 6
    assert common_rate_hz(dataset) == 8000


def test_ami_has_speech_and_the_rooms_between():
    dataset = read_dataset(corpus("ami_vad"))
    assert dataset.labels == ["background", "speech"]
    assert sum(clip.label == "speech" for clip in dataset.clips) == 54
    assert sum(clip.is_gap for clip in dataset.clips) == sum(clip.label == "background" for clip in dataset.clips) > 20
    assert all(clip.offset_s is not None and clip.duration_s > 0 for clip in dataset.clips)
    assert {clip.fold for clip in dataset.clips} == {"1", "2", "3"}
    assert dataset.warnings == []
