"""One user: teach the model, let it hear, count."""

from __future__ import annotations

import csv
import tempfile
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from streamgmm.analyser import Analyser
from streamgmm.dataset.dataset import read_dataset
from streamgmm.decision.assembly import make_judge
from streamgmm.labels import BACKGROUND
from streamgmm.listening.tracks import keep_scores
from streamgmm.model.model import Model
from streamgmm.settings.config import Config
from streamgmm.training.selection.threshold_report import as_sections
from streamgmm.training.selection.thresholds import choose_thresholds
from streamgmm.training.trainer import Training, train
from streamgmm.tuning.operating_points import Material, lowest_score
from streamgmm.tuning.refusals import BudgetError
from streamgmm.tuning.tuning import tune
from tests.benchmarks.room.hearing import Ears
from tests.benchmarks.room.scoring import SHIFTS, Hit, Outcome, Take, judge, rules_of, take_scores
from tests.benchmarks.room.streams import Plan
from tests.benchmarks.room.users import SNRS_DB, Lesson

AUDIBLE_DB = tuple(snr_db for snr_db in SNRS_DB if snr_db >= 6.0)
BUDGETS_PER_HOUR = (0.5, 1.0, 5.0)
OTHER_BUDGETS_PER_HOUR = (1.0, 20.0)
"""Budgets of false alarms that are tried beside the default."""

TUNED_TO_PER_HOUR = 1.0
ROOM_USES = ("train", "tune")
"""What the recording of the room can be given to."""


class Point(NamedTuple):
    """Recall of targets at 6 dB and above, and false alarms per hour, with `shift` added to all thresholds (logit)."""

    shift: float
    recall: float
    alarms_per_hour: float


class Result(NamedTuple):
    """What came of one user.

    Attributes:
        hours: in which false alarms are counted.
        default: at the model's own thresholds.
        others: at those of other budgets.
        curve: at others, which all move together.
        remarks: of the trial with a room.
    """

    lesson: Lesson
    hours: float
    default: Outcome
    others: dict[float, Outcome]
    curve: list[Point]
    training_s: float
    scoring_s: float
    remarks: list[str]

    @property
    def alarms_per_hour(self) -> float:
        return self.default.n_alarms / self.hours

    @property
    def recall(self) -> float:
        return self.default.recall(*AUDIBLE_DB)

    def recall_within(self, budget_per_hour: float) -> float:
        """Highest recall, in hindsight, with at most so many false alarms per hour."""
        return max((p.recall for p in self.curve if p.alarms_per_hour <= budget_per_hour), default=0.0)

    @property
    def alarms_at_half_recall(self) -> float:
        """Fewest false alarms per hour with at least half of the targets; NaN if no threshold gives these."""
        return min((p.alarms_per_hour for p in self.curve if p.recall >= 0.5), default=float("nan"))

    @property
    def latency_s(self) -> float:
        """Median of the time from an onset to its report; NaN without reports."""
        return float(np.median(reported)) if (reported := _latencies_s(self.default.hits)) else float("nan")


def _latencies_s(hits: Sequence[Hit]) -> list[float]:
    return [hit.latency_s for hit in hits if hit.latency_s is not None]


def teach(lesson: Lesson, root: Path, config: Config, backgrounds: Sequence[Path] = ()) -> Training:
    """Train on the clips of a user, as if each were a recording of its own."""
    with tempfile.TemporaryDirectory() as folder:
        with (Path(folder) / "manifest.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "label"])
            writer.writerows([root / clip.path, clip.label] for clip in lesson.trained)
        dataset = read_dataset(Path(folder), backgrounds=backgrounds)
        return train(dataset, config, name=lesson.user.name)


def with_budget(training: Training, config: Config, budget_per_hour: float) -> Model:
    """The model with the thresholds that training would have chosen for another budget."""
    assert training.validation.held_out is not None
    section = msgspec.structs.replace(config.decision, max_false_alarms_per_hour=budget_per_hour)
    model = training.model
    thresholds = choose_thresholds(
        training.validation.held_out,
        model.classifier,
        section,
        model.spec,
        ambiences=training.validation.ambiences,
        is_over_background=BACKGROUND in model.labels,
    )
    return replace(model, decision=as_sections(thresholds))


def tuned_to_room(model: Model, config: Config, ears: Ears, room: Plan) -> Model:
    """The model with thresholds that keep the room to a false alarm per hour.

    Raises:
        BudgetError: none do.
    """
    hops = Analyser(model).score_all(ears.listen(room, model.spec).hops)
    judge_of_hops, n_labels = make_judge(model, config), len(model.labels)
    scored = keep_scores(
        ears.recording(room, model.spec.sample_rate_hz), hops, judge_of_hops, n_labels, lowest_score(config)
    )
    material = Material([scored], [])
    # The room holds no taught sound.
    return tune(
        material, model, config, budget_per_hour=TUNED_TO_PER_HOUR, accepts_events=True, accepts_loss=True
    ).model


def try_user(
    lesson: Lesson,
    plans: Sequence[Plan],
    room: Plan,
    room_uses: Collection[str],
    ears: Ears,
    root: Path,
    config: Config,
) -> Result:
    """Teach the sounds of a user, and count what is reported in streams.

    Args:
        lesson: the clips of the user.
        plans: streams to listen to.
        room: recording of the room.
        room_uses: what it is given to, of `ROOM_USES`.
        ears: measures streams.
        root: folder of all corpora.
        config: of training and decision.
    """
    started_s = time.monotonic()
    remarks = []
    training = teach(
        lesson, root, config, [ears.recording(room, config.features.sample_rate_hz)] if "train" in room_uses else []
    )
    model = training.model
    if "tune" in room_uses:
        try:
            model = tuned_to_room(model, config, ears, room)
        except BudgetError as error:
            remarks.append(f"{lesson.user.name} is not tuned: {error}")
    trained_s = time.monotonic()
    takes = [take for plan in plans for take in take_scores(ears.listen(plan, model.spec), lesson, model, config)]
    hours = sum(take.duration_s for take in takes) / 3600.0
    default, curve = judge(takes, model, rules_of(model, config)), curve_of(takes, model, config, hours)
    at_budgets = {budget: with_budget(training, config, budget) for budget in OTHER_BUDGETS_PER_HOUR}
    others = {budget: judge(takes, other, rules_of(other, config)) for budget, other in at_budgets.items()}
    times_s = (trained_s - started_s, time.monotonic() - trained_s)
    return Result(lesson, hours, default, others, curve, *times_s, remarks)


def curve_of(takes: Sequence[Take], model: Model, config: Config, hours: float) -> list[Point]:
    outcomes = ((shift, judge(takes, model, rules_of(model, config, shift))) for shift in SHIFTS)
    return [Point(shift, own.recall(*AUDIBLE_DB), own.n_alarms / hours) for shift, own in outcomes]
