"""Real recordings, in the folder that STREAMGMM_DATA names."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from streamgmm.dataset.dataset import read_dataset
from streamgmm.evaluation.evaluation import cross_validate, score_model
from streamgmm.evaluation.scores import score_trial
from streamgmm.training.trainer import train
from tests.required import corpus
from tests.training.training_rig import config_with


def subset(folder: Path, target: Path, is_wanted) -> Path:
    """A manifest of those rows of the manifest in `folder` that are wanted."""
    with (folder / "manifest.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if is_wanted(row)]
    with target.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "label", "fold", "source_id"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows({**row, "path": folder / row["path"]} for row in rows)
    return target


@pytest.mark.slow
def test_three_sounds_of_esc10_are_distinguished_across_folds(tmp_path):
    labels = {"rain", "dog_bark", "rooster"}
    manifest = subset(
        corpus("esc10"), tmp_path / "esc3.csv", lambda row: row["label"] in labels and row["fold"] in ("1", "2")
    )
    dataset = read_dataset(manifest)
    assert (len(dataset.clips), set(dataset.labels)) == (48, labels)
    # Without the sounds of the world, which take longer to measure than all else.
    result = score_trial(cross_validate(dataset, config_with(n_jobs=0, search=False, world=False)))
    assert (result.division, [fold.fold for fold in result.folds]) == ("fold", ["1", "2"])
    assert result.accuracy > 0.8


def test_spoken_digits_of_two_speakers_are_learnt_and_distinguished(tmp_path):
    def is_wanted(row):
        repetition = int(Path(row["path"]).stem.split("_")[-1])
        return row["source_id"] in ("jackson", "theo") and row["label"] in "0123" and repetition < 6

    dataset = read_dataset(subset(corpus("fsdd"), tmp_path / "fsdd.csv", is_wanted))
    assert (len(dataset.clips), dataset.labels) == (48, list("0123"))
    training = train(dataset, config_with(n_jobs=0, search=False), name="digits")
    assert training.model.spec.sample_rate_hz == 8000
    assert score_trial(score_model(dataset, training.model, config_with(n_jobs=0, search=False))).accuracy > 0.9
