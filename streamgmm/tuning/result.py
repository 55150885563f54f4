"""What a tuning comes to: its fields are the keys of the JSON report."""

from __future__ import annotations

import msgspec


class LabelTuning(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided on one label, and what changed by it.

    Attributes:
        onset_threshold: the new one.
        min_duration_s: the new one (s); None: that of the settings stays.
        is_changed: False if the settings' own decision was kept.
        n_alarms_before: on the background, with the settings' own decision.
        n_alarms: with the new one.
        expected_per_hour: alarms per hour to be expected with the new one.
        recall_before: share of the true events found with the settings' own; None if none are known.
        recall: with the new one.
        n_events: true events of the label.
        latency_before_s: median time from onset to report (s); None if none was found or known.
        latency_s: with the new one.
    """

    onset_threshold: float
    min_duration_s: float | None
    is_changed: bool
    n_alarms_before: int
    n_alarms: int
    expected_per_hour: float
    recall_before: float | None
    recall: float | None
    n_events: int
    latency_before_s: float | None
    latency_s: float | None


class HeldOut(msgspec.Struct, frozen=True, kw_only=True):
    """Recordings judged by decisions that were tuned on the others.

    Attributes:
        n_alarms: on all recordings together, each held out once.
        hours: how long they are.
        upper_per_hour: limit of the rate, at the same confidence.
    """

    n_alarms: int
    hours: float
    upper_per_hour: float


class Sweep(msgspec.Struct, frozen=True, kw_only=True):
    """What another budget would cost: alarms per hour asked for and expected, mean recall over labels."""

    budget_per_hour: float
    expected_per_hour: float
    recall: float | None


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a tuning; its fields are the keys of the JSON report.

    Attributes:
        budget_per_hour: false alarms per hour that were asked for, of all labels together.
        hours: how long the background is.
        n_recordings: in how many recordings.
        n_alarms_before: alarms on it with the settings' own decisions.
        n_alarms: with the new ones; exactly those that `run` gives.
        upper_per_hour: highest rate that `n_alarms` in these hours are compatible with.
        confidence: with which that limit holds.
        is_proven: whether the limit is within the budget.
        expected_per_hour: rate to be expected, extrapolated where the background is short.
        recall_before: mean over labels of the true events found; None if none are known.
        recall: with the new decisions.
        n_events: true events.
        held_out: None with a single recording.
        labels: by label.
        sweep: what other budgets would cost, rising; those that cannot be met are left out.
    """

    budget_per_hour: float
    hours: float
    n_recordings: int
    n_alarms_before: int
    n_alarms: int
    upper_per_hour: float
    confidence: float
    is_proven: bool
    expected_per_hour: float
    recall_before: float | None
    recall: float | None
    n_events: int
    held_out: HeldOut | None
    labels: dict[str, LabelTuning]
    sweep: list[Sweep]
