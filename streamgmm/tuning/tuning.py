"""Tuning of a model: decisions that keep false alarms within a budget on recordings of the background."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import msgspec
import numpy as np

from streamgmm import units
from streamgmm.errors import DataError
from streamgmm.listening.taught_sounds import MAX_LENGTHS, TaughtSound, find_taught_sounds
from streamgmm.listening.tracks import ScoredRecording
from streamgmm.model.model import Model
from streamgmm.model.room_card import room_card
from streamgmm.settings.config import Config
from streamgmm.settings.decision import LabelSection
from streamgmm.training.workers import ProgressTracker, untracked
from streamgmm.tuning.choice import choose
from streamgmm.tuning.operating_points import Curve, Levels, Material, make_levels, measure_curves, section_at
from streamgmm.tuning.refusals import BudgetError, budget_error, check_reached, deafened
from streamgmm.tuning.result import Tuning
from streamgmm.tuning.summary import Events, summarise
from streamgmm.tuning.taught_sounds import taught_sound_error, with_likeness


class Tuned(NamedTuple):
    """A tuned model, its report, and the curves that its decisions were chosen from."""

    model: Model
    tuning: Tuning
    curves: list[list[Curve]]
    levels: Levels


def tune(
    material: Material,
    model: Model,
    config: Config,
    *,
    budget_per_hour: float,
    accepts_events: bool = False,
    accepts_loss: bool = False,
    track: ProgressTracker = untracked,
) -> Tuned:
    """Return the model with decisions that keep its alarms on the background within a budget.

    If the background is long enough to prove the budget, as many alarms remain as still prove it. Otherwise none
    remains, and thresholds lie as far above the alarms as the fitted tail requires for the budget.

    Args:
        material: scored recordings, some of them of the background.
        model: what to tune; its decisions are replaced.
        config: the other decisions; runs should have the same.
        budget_per_hour: limit of false alarms per hour of all labels together, positive.
        accepts_events: whether the background may hold sounds of the labels, which then count as false alarms.
        accepts_loss: whether hardly a sound of a label may be found any more.
        track: shows the progress.

    Raises:
        ConfigError: the settings have thresholds of single labels.
        TaughtSoundError: the background seems to hold the sound of a label, and would make the model deaf to it.
        BudgetError: the budget cannot be met, or hardly a sound of a label would be found any more.
    """
    levels = make_levels(config, model)
    check_background(material.backgrounds)
    curves = measure_curves(material, model, config, levels, track)
    hours = np.array([_hours_of_samples(recording.end_sample, model) for recording in material.backgrounds])
    is_used = np.ones(len(hours), dtype=bool)
    points = choose(curves, levels, is_used, hours, budget_per_hour)
    lost = {} if accepts_events else deafened(curves, levels, points)
    sounds_like_lost = partial(_sounds_like, lost, material, model, config)
    if sounds := sounds_like_lost(MAX_LENGTHS):
        raise taught_sound_error(sounds, lost)
    try:
        if points is None:
            raise budget_error(curves, levels, hours, budget_per_hour)
        tuning = summarise(curves, levels, points, hours, _events(material, model), budget_per_hour)
        if not accepts_loss:
            check_reached(tuning, curves, levels, hours, budget_per_hour)
    except BudgetError as error:
        raise with_likeness(error, sounds_like_lost(math.inf)) from None
    decision: dict[str, LabelSection] = {}
    for own, point in zip(curves, points, strict=True):
        section = section_at(own[point.i_curve], point.i_level, levels)
        # Labels for which the settings already decide so get no section, and follow later changes of the settings.
        if section is not None:
            decision[own[0].label] = section
    card = {**model.card, "tuning": _card(tuning, config)}
    if room := room_card(model.card):
        # What the thresholds of the training left is not what these leave.
        card["room"] = msgspec.to_builtins(msgspec.structs.replace(room, recalls={}))
    # Without a hash, which belongs to the file that is not written yet.
    return Tuned(replace(model, decision=decision, card=card, sha256=""), tuning, curves, levels)


def _sounds_like(
    labels: Collection[str], material: Material, model: Model, config: Config, max_lengths: float
) -> list[TaughtSound]:
    """Return what sounds like one of `labels` in the background, for at most `max_lengths` lengths of a clip."""
    found = find_taught_sounds(material.backgrounds, model, config, max_lengths=max_lengths) if labels else []
    return [one for one in found if one.label in labels]


def _events(material: Material, model: Model) -> Events:
    room = room_card(model.card)
    if material.events or room is None:
        return Events(Counter(truth.label for _, truths in material.events for truth in truths), False)
    return Events(Counter({label: len(peaks) for label, peaks in room.peaks.items()}), True)


def check_background(backgrounds: Sequence[ScoredRecording]) -> None:
    """Reject a background without any sound.

    Raises:
        DataError: it is empty, or silent throughout.
    """
    if not any(recording.end_sample > recording.silent_samples for recording in backgrounds):
        raise DataError("the background is silent throughout", hint="record at the place and level of later runs")


def _hours_of_samples(n_samples: int, model: Model) -> float:
    return units.samples_to_seconds(n_samples, model.spec.sample_rate_hz) / 3600.0


def _card(tuning: Tuning, config: Config) -> dict[str, Any]:
    """Return the part of the report that the model keeps, without file names and dates, so that it is reproducible."""
    kept = ("budget_per_hour", "hours", "n_recordings", "n_alarms_before", "n_alarms", "upper_per_hour", "confidence")
    scores = ("expected_per_hour", "recall", "n_events")
    section = msgspec.to_builtins(config.decision)
    del section["labels"]
    return {**{name: getattr(tuning, name) for name in (*kept, *scores)}, "decision": section}
