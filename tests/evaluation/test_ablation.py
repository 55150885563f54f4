from __future__ import annotations

import numpy as np

from streamgmm.dataset.dataset import read_dataset
from streamgmm.evaluation.ablation import WITHOUT, ablate
from streamgmm.evaluation.evaluation import cross_validate
from streamgmm.features.window import window_layout
from streamgmm.training.extraction.clip_vectors import ClipVectors
from streamgmm.training.trainer import make_task
from tests.training.training_rig import make_clip, make_dataset, quick_config, write_sounds


def task_with(**training):
    return make_task(make_dataset([make_clip("loud", 0)]), quick_config(**training))


def measured(label, number, place, task):
    """A clip whose windows are noise except for one feature, which separates the labels."""
    rng = np.random.default_rng((label == "loud", number))
    n_features = sum(len(block.bands) for block in window_layout(task.spec))
    vectors = rng.standard_normal((12, n_features)).astype("float32")
    vectors[:, place] += {"loud": 6.0, "soft": -6.0}[label]
    return ClipVectors(make_clip(label, number), vectors, vectors[:0])


def test_only_the_kind_of_feature_that_separates_the_labels_matters():
    task = task_with(cepstra="never")
    told_by = window_layout(task.spec)[-1]
    clips = [measured(label, number, -1, task) for label in ("loud", "soft") for number in range(10)]
    parts = {part.name: part for part in ablate(clips, ["loud", "soft"], task)}
    assert parts[""].accuracy == 1.0
    assert parts[told_by.kind].accuracy < 0.8
    assert all(part.accuracy == 1.0 for name, part in parts.items() if name not in (told_by.kind, "altered copies"))


def test_each_setting_and_each_kind_of_features_is_left_out_once_unless_it_is_out_already():
    task = task_with(cepstra="never", copies=False, without=["kurtosis"])
    clips = [measured(label, number, 0, task) for label in ("loud", "soft") for number in range(2)]
    names = [part.name for part in ablate(clips, ["loud", "soft"], task)]
    kinds = dict.fromkeys(block.kind for block in window_layout(task.spec))
    assert names == [
        "",
        *(set_ for set_ in WITHOUT if set_ not in ("cepstral frames", "altered copies")),
        *(kind for kind in kinds if kind != "kurtosis"),
    ]


def test_the_result_is_empty_where_no_clip_can_be_held_out():
    task = task_with()
    clips = [measured(label, 0, 0, task) for label in ("loud", "soft")]
    assert ablate(clips, ["loud", "soft"], task, max_parts=2) == []


def test_an_evaluation_includes_an_ablation_on_request(tmp_path, monkeypatch):
    dataset = read_dataset(write_sounds(tmp_path / "data", n_clips=2))
    config = quick_config(without=[])
    monkeypatch.setattr(
        "streamgmm.evaluation.evaluation.ablate", lambda clips, labels, task, track: [labels, len(clips)]
    )
    assert cross_validate(dataset, config, is_ablated=True, n_seeds=2).ablation == [dataset.labels, len(dataset.clips)]
    assert cross_validate(dataset, config).ablation == []
