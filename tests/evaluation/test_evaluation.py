from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile

from streamgmm.dataset.dataset import read_dataset
from streamgmm.dataset.listing import Skipped
from streamgmm.errors import DataError
from streamgmm.evaluation import evaluation
from streamgmm.evaluation.evaluation import cross_validate, divide, score_model
from streamgmm.evaluation.scores import Evaluation, score_trial
from streamgmm.settings.config import Config
from streamgmm.training.trainer import fit_calibrated, train
from tests.training.training_rig import (
    RATE_HZ,
    SOUND_LABELS,
    answered_as,
    make_clip,
    make_dataset,
    quick_config,
    with_folds,
    write_sounds,
)

KEYS = {
    *("accuracy", "accuracy_sd", "balanced_accuracy", "folds", "per_class", "confusion", "labels", "answers"),
    *("n_clips", "n_seeds", "division", "skipped", "accuracy_se", "log_loss", "log_loss_se", "conditions"),
    *("ece", "ece_uncalibrated", "auroc_unknown", "auroc_unknown_se", "accepted_unknown_at_90"),
}


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    return read_dataset(write_sounds(tmp_path_factory.mktemp("sounds")))


@pytest.fixture(scope="module")
def model(sounds):
    return train(sounds, quick_config(), name="yard").model


def answered(monkeypatch: pytest.MonkeyPatch, answers: Mapping[str, Sequence[str]]):
    """A data set of made clips, and an evaluation that gives them these answers, by true label."""
    clips = [make_clip(label, n) for label, given in answers.items() for n in range(len(given))]
    given = dict(zip(clips, [a for v in answers.values() for a in v], strict=True))

    def answer(some, model, config, conditions):
        return (answered_as(clip, given[clip]) for clip in some)

    monkeypatch.setattr(evaluation, "answer_clips", answer)
    return make_dataset(clips)


ANSWERS = {
    "bird_song": ["bird_song", "bird_song", "footsteps", "unknown"],
    "footsteps": ["footsteps"] * 5 + ["silence"],
    "phone_ring": ["bird_song", "phone_ring"],
}


def test_scores_against_plain_loops(monkeypatch, model):
    result = score_trial(score_model(answered(monkeypatch, ANSWERS), model, Config()))
    pairs = [(label, answer) for label, given in ANSWERS.items() for answer in given]
    assert result.accuracy == pytest.approx(sum(a == b for a, b in pairs) / len(pairs))
    assert result.labels == list(SOUND_LABELS)
    assert result.answers == [*SOUND_LABELS, "silence", "unknown"]
    for row, label in zip(result.confusion, result.labels, strict=True):
        assert row == [sum(pair == (label, answer) for pair in pairs) for answer in result.answers]
    recalls = []
    for label, scores in result.per_class.items():
        n_true, n_said = sum(a == label for a, _ in pairs), sum(b == label for _, b in pairs)
        n_right = sum(pair == (label, label) for pair in pairs)
        recalls.append(n_right / n_true)
        precision = n_right / n_said
        assert scores.n_clips == n_true
        assert scores.recall == pytest.approx(recalls[-1])
        assert scores.precision == pytest.approx(precision)
        assert scores.f1 == pytest.approx(2 * precision * recalls[-1] / (precision + recalls[-1]))
    assert result.balanced_accuracy == pytest.approx(np.mean(recalls))
    assert (result.n_clips, result.accuracy_sd, result.division) == (12, 0.0, "none")


def test_a_label_that_is_never_answered_has_a_precision_of_0(monkeypatch, model):
    dataset = answered(monkeypatch, {"bird_song": ["footsteps"] * 2, "footsteps": ["footsteps"] * 2})
    scores = score_trial(score_model(dataset, model, Config())).per_class["bird_song"]
    assert (scores.recall, scores.precision, scores.f1) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("reserved", ["unknown", "silence"])
def test_reserved_labels_need_not_be_in_the_model(monkeypatch, model, reserved):
    dataset = answered(monkeypatch, {"bird_song": ["bird_song", reserved], reserved: [reserved, "footsteps"]})
    result = score_trial(score_model(dataset, model, Config()))
    assert result.per_class[reserved].recall == 0.5
    assert result.accuracy == 0.5
    assert result.answers == ["bird_song", reserved, "footsteps"]


def test_unknown_labels_are_rejected_by_name(model):
    dataset = make_dataset([make_clip(label, 0) for label in ("bird_song", "owl", "zebra")])
    with pytest.raises(DataError, match="labels that the model does not have: 'owl', 'zebra'"):
        score_model(dataset, model, Config())


def test_a_model_answers_the_recordings_that_it_was_trained_on(sounds, model):
    result = score_trial(score_model(sounds, model, quick_config()))
    assert result.accuracy == 1.0
    assert [fold.fold for fold in result.folds] == ["all"]
    assert result.confusion == np.diag([4, 4, 4]).tolist()


@pytest.fixture
def spied(monkeypatch):
    """What each fold was trained and tested on."""
    seen: dict[str, list[Any]] = {"trained": [], "tested": []}

    def fit(clips, *arguments):
        seen["trained"].append([clip.clip for clip in clips])
        return fit_calibrated(clips, *arguments)

    def answer(clips, models, config, conditions):
        seen["tested"].append(list(clips))
        return ((answered_as(clip, clip.label),) * len(models) for clip in clips)

    monkeypatch.setattr(evaluation, "fit_calibrated", fit)
    monkeypatch.setattr(evaluation, "answer_with_each", answer)
    return seen


def test_a_reserved_label_of_which_measuring_leaves_too_little_is_dropped(tmp_path):
    root = write_sounds(tmp_path / "sounds")
    (root / "unknown").mkdir()
    rng = np.random.default_rng(0)
    for name, level in {"loud": 0.1, "faint": 1e-5}.items():
        soundfile.write(
            root / "unknown" / f"{name}.wav", level * rng.standard_normal(RATE_HZ), RATE_HZ, subtype="FLOAT"
        )
    result = score_trial(cross_validate(read_dataset(root), quick_config()))
    assert "unknown" not in result.labels
    assert result.n_clips == 4 * len(SOUND_LABELS)


def test_no_source_of_the_test_fold_takes_part_in_training(sounds, spied):
    clips = [msgspec.structs.replace(clip, source_id=f"{clip.path.stem}") for clip in sounds.clips]
    result = score_trial(cross_validate(msgspec.structs.replace(sounds, clips=clips), quick_config()))
    assert result.division == "source"
    assert len(spied["trained"]) == len(spied["tested"]) == len(result.folds) == 4
    for trained, tested in zip(spied["trained"], spied["tested"], strict=True):
        assert not {clip.source_id for clip in trained} & {clip.source_id for clip in tested}
        assert not {clip.content_sha256 for clip in trained} & {clip.content_sha256 for clip in tested}
        assert len(trained) + len(tested) == len(clips)
    assert sorted(clip.path for tested in spied["tested"] for clip in tested) == sorted(clip.path for clip in clips)


def test_folds_of_the_data_set_are_used_unless_sources_are_requested(sounds, spied):
    dataset = with_folds(sounds, ["-1", "2024/01"])
    result = score_trial(cross_validate(dataset, quick_config()))
    assert result.division == "fold"
    assert [fold.fold for fold in result.folds] == ["-1", "2024/01"]
    assert [{clip.fold for clip in tested} for tested in spied["tested"]] == [{"-1"}, {"2024/01"}]
    assert [{clip.fold for clip in trained} for trained in spied["trained"]] == [{"2024/01"}, {"-1"}]
    spied["tested"].clear()
    assert cross_validate(dataset, quick_config(), division="source").division == "source"
    assert any(len({clip.fold for clip in tested}) > 1 for tested in spied["tested"])


def test_accuracy_is_the_mean_over_folds_and_its_deviation_that_of_a_sample(sounds, monkeypatch):
    dataset = with_folds(sounds, ["1", "2", "3"])
    wrong = {clip.path for clip in dataset.clips if clip.fold == "1"} | {dataset.clips[1].path}

    def answer(clips, models, config, conditions):
        return ((answered_as(clip, "unknown" if clip.path in wrong else clip.label),) for clip in clips)

    monkeypatch.setattr(evaluation, "answer_with_each", answer)
    result = score_trial(cross_validate(dataset, quick_config()))
    shares = [0.0, 3 / 4, 1.0]
    assert [fold.accuracy for fold in result.folds] == shares
    assert result.accuracy == pytest.approx(np.mean(shares))
    assert result.accuracy_sd == pytest.approx(np.std(shares, ddof=1))


def test_each_repetition_has_the_next_seed_and_shows_it(sounds, spied):
    seen = []

    def track(items, description, total):
        seen.append(description)
        return items

    dataset = with_folds(sounds, ["a", "b"])
    result = score_trial(cross_validate(dataset, quick_config(seed=7), n_seeds=2, track=track))
    assert [(fold.seed, fold.fold) for fold in result.folds] == [(7, "a"), (7, "b"), (8, "a"), (8, "b")]
    assert (result.n_clips, result.n_seeds) == (12, 2)
    assert sum(map(sum, result.confusion)) == 24
    assert seen == ["seed 7: measuring", "seed 7: folds", "seed 8: measuring", "seed 8: folds"]


def test_a_real_cross_validation_recognises_held_out_clips(sounds):
    result = score_trial(cross_validate(with_folds(sounds, ["a", "b"]), quick_config()))
    assert result.accuracy >= 0.75


def test_the_report_has_its_documented_keys(sounds, spied):
    result = score_trial(cross_validate(with_folds(sounds, ["a", "b"]), quick_config()))
    report = msgspec.json.decode(msgspec.json.encode(result))
    assert set(report) == KEYS
    assert report["folds"][0] == {"fold": "a", "seed": 0, "accuracy": 1.0, "n_clips": 6}
    assert report["per_class"]["footsteps"] == {
        "recall": 1.0,
        "precision": 1.0,
        "f1": 1.0,
        "n_clips": 4,
        "n_answered": 4,
        "n_right": 4,
    }
    assert msgspec.convert(report, Evaluation) == result


def test_what_was_left_out_is_counted_by_reason(sounds, spied):
    skipped = [Skipped(sounds.path / "x.txt", "not_audio"), Skipped(sounds.path / "y.txt", "not_audio")]
    dataset = msgspec.structs.replace(with_folds(sounds, ["a", "b"]), skipped=skipped)
    assert score_trial(cross_validate(dataset, quick_config())).skipped == {"not_audio": 2}


@pytest.mark.parametrize(
    ("folds", "division", "problem"),
    [
        ([None], "fold", "not every recording has a fold"),
        (["1"], "fold", "all recordings are in one fold"),
        (["1"], "auto", "all recordings are in one fold"),
    ],
)
def test_an_impossible_division_is_rejected_before_anything_is_measured(monkeypatch, folds, division, problem):
    monkeypatch.setattr(evaluation, "WindowLengths", lambda *_: pytest.fail("measured"))
    dataset = with_folds(make_dataset([make_clip(label, n) for label in ("cat", "dog") for n in range(3)]), folds)
    with pytest.raises(DataError, match=problem):
        cross_validate(dataset, quick_config(), division=division)


def test_a_class_of_one_source_cannot_be_tested():
    dataset = make_dataset(
        [make_clip("cat", 0, source_id="a"), make_clip("cat", 1, source_id="a"), *[make_clip("dog", n) for n in (0, 1)]]
    )
    with pytest.raises(DataError, match="'cat' has a single source"):
        cross_validate(dataset, quick_config())


def test_a_class_in_one_fold_only_is_rejected_by_name(sounds):
    clips = [msgspec.structs.replace(c, fold="1" if c.label == "footsteps" else c.path.stem) for c in sounds.clips]
    with pytest.raises(DataError, match="class 'footsteps' is in fold '1' only"):
        cross_validate(msgspec.structs.replace(sounds, clips=clips), quick_config())


def test_a_background_of_one_source_is_in_no_fold():
    clips = [make_clip(label, n) for label in ("cat", "dog") for n in range(3)]
    folds = divide([*clips, make_clip("background", 0)], "auto", seed=0)
    assert folds[-1] == evaluation.NO_FOLD
    assert set(folds[:-1]) == {"0", "1", "2"}
