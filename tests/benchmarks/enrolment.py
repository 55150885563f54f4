"""Prints what it costs to enrol a tenth class, and what it is worth against a training on the very same clips.

Needs `STREAMGMM_DATA`, a folder that holds `esc10`. Of folds 1 to 4 nine classes are trained; five clips of the tenth
are enrolled by the command itself, as a process; fold 5 tests all ten through the path that runs live.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from streamgmm.dataset.clips import Clip
from streamgmm.dataset.dataset import read_dataset
from streamgmm.evaluation.answering import answer_clips
from streamgmm.model.file import load_model
from streamgmm.model.model import Model
from streamgmm.settings.config import Config
from streamgmm.settings.training import TrainingSection
from streamgmm.training.enrolment.cache_file import cache_path, save_with_cache
from streamgmm.training.enrolment.training_cache import make_cache
from streamgmm.training.extraction.clip_vectors import ClipVectors
from streamgmm.training.extraction.extraction import extract_clips
from streamgmm.training.extraction.task import ExtractionTask
from streamgmm.training.selection.calibration import calibrated
from streamgmm.training.trainer import fit_calibrated, make_card, make_task

LABELS = ("rooster", "rain", "dog_bark")
N_ENROLLED = 5
TEST_FOLD = "5"


class Trial(NamedTuple):
    """One choice of the tenth class.

    Attributes:
        enrolled: accuracy of the model that it was added to, on all ten classes.
        retrained: the same for a training on the same clips.
        enrolled_recall: of the tenth class alone.
        retrained_recall: the same for the training.
        seconds: that `enrol` took, as a process.
        memory_mib: size of the memory of nine classes.
    """

    enrolled: float
    retrained: float
    enrolled_recall: float
    retrained_recall: float
    seconds: float
    memory_mib: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.enrolment", description=__doc__)
    parser.add_argument("--label", action="append", metavar="LABEL", help=f"tenth class (default: {', '.join(LABELS)})")
    labels = parser.parse_args().label or LABELS
    root = Path(os.environ["STREAMGMM_DATA"]) / "esc10"
    known, tested = (read_dataset(root, folds=folds) for folds in (["1", "2", "3", "4"], [TEST_FOLD]))
    task = make_task(known, Config(training=TrainingSection(search=False)))
    clips = extract_clips(known.clips, task).clips
    table = Table("tenth class", title=f"Accuracy on {len(tested.clips)} clips of ten classes")
    for heading in ("enrolled", "retrained", "recall enrolled", "retrained", "enrol, s", "memory, MiB"):
        table.add_column(heading, justify="right")
    trials = [try_label(label, clips, tested.clips, task) for label in labels]
    for label, trial in zip(labels, trials, strict=True):
        table.add_row(label, *_cells(trial))
    table.add_section()
    table.add_row("median", *_cells(Trial(*map(median, zip(*trials, strict=True)))))
    Console(width=100).print(table)


def try_label(label: str, clips: Sequence[ClipVectors], tested: Sequence[Clip], task: ExtractionTask) -> Trial:
    """Train without `label`, enrol it; train with it."""
    nine = [clip for clip in clips if clip.clip.label != label]
    added = [clip for clip in clips if clip.clip.label == label][:N_ENROLLED]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "nine.sgm"
        before = fitted(nine, task)
        save_with_cache(before, make_cache(nine, task, has_cepstra=before.classifier.cepstra is not None), path)
        memory_mib = cache_path(path).stat().st_size / 2**20
        command = [sys.executable, "-m", "streamgmm", "enrol", label, *(str(clip.clip.path) for clip in added)]
        started_s = time.monotonic()
        subprocess.run([*command, "--model", str(path), "--force"], check=True, capture_output=True)
        seconds = time.monotonic() - started_s
        enrolled = load_model(path)
    shares = [right(model, tested, label) for model in (enrolled, fitted([*nine, *added], task))]
    (enrolled_all, enrolled_own), (retrained_all, retrained_own) = shares
    return Trial(enrolled_all, retrained_all, enrolled_own, retrained_own, seconds, memory_mib)


def fitted(clips: Sequence[ClipVectors], task: ExtractionTask) -> Model:
    """What `train` makes of clips that were measured already."""
    labels = sorted({clip.clip.label for clip in clips})
    fit, validation = fit_calibrated(clips, labels, task)
    card = make_card(labels, task, clips, validation)
    return Model(name="esc10", spec=task.spec, classifier=calibrated(fit, validation.calibration), card=card)


def right(model: Model, clips: Sequence[Clip], label: str) -> tuple[float, float]:
    """Share of all clips that are recognised, and of those of `label`."""
    is_right = [
        (answer.clip.label, answer.decision.label == answer.clip.label)
        for answer in answer_clips(clips, model, Config())
    ]
    own = [hit for true, hit in is_right if true == label]
    return sum(hit for _, hit in is_right) / len(is_right), sum(own) / len(own)


def _cells(trial: Trial) -> list[str]:
    shares = [f"{share:.1%}" for share in trial[:4]]
    return [*shares, f"{trial.seconds:.1f}", f"{trial.memory_mib:.1f}"]


if __name__ == "__main__":
    main()
