"""The result of a tuning; its fields are the keys of the JSON report."""

from __future__ import annotations

import msgspec


class LabelTuning(msgspec.Struct, frozen=True, kw_only=True):
    """The decision on one label, and its effect.

    Attributes:
        onset_threshold: new onset threshold.
        min_duration_s: new minimum duration (s); None if that of the settings stays.
        is_changed: False if the decision of the settings was kept.
        n_alarms_before: alarms on the background with the settings.
        n_alarms: alarms on the background with the new decision.
        expected_per_hour: expected alarms per hour with the new decision.
        recall_before: share of the true events found with the settings; None without annotations.
        recall: share of the true events found with the new decision.
        n_events: true events of the label.
        latency_before_s: median time from onset to report with the settings (s); None if none was found.
        latency_s: median time from onset to report with the new decision (s).
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


class HeldOutAlarms(msgspec.Struct, frozen=True, kw_only=True):
    """Alarms on recordings with decisions that were tuned on the others.

    Attributes:
        n_alarms: alarms on all recordings together, each held out once.
        hours: total length of the recordings.
        upper_per_hour: upper limit of the rate, at the same confidence.
    """

    n_alarms: int
    hours: float
    upper_per_hour: float


class Sweep(msgspec.Struct, frozen=True, kw_only=True):
    """The effect of another budget: alarms per hour requested and expected, mean recall over labels."""

    budget_per_hour: float
    expected_per_hour: float
    recall: float | None


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a tuning; its fields are the keys of the JSON report.

    Attributes:
        budget_per_hour: requested limit of false alarms per hour, of all labels together.
        hours: length of the background.
        n_recordings: recordings of the background.
        n_alarms_before: alarms on the background with the settings.
        n_alarms: alarms with the new decisions; exactly those that `run` would report.
        upper_per_hour: upper limit of the rate that `n_alarms` in these hours are compatible with.
        confidence: one-sided probability with which that limit holds.
        is_proven: whether the limit is within the budget.
        expected_per_hour: expected rate, extrapolated where the background is short.
        recall_before: mean over labels of the share of true events found; None without annotations.
        recall: the same with the new decisions.
        n_events: number of true events.
        is_by_copies: whether these are held-out copies of the training clips within other sound, clearly above it, for
            lack of annotated recordings.
        held_out: alarms on held-out recordings; None with a single recording.
        labels: decisions by label.
        sweep: effect of other budgets, rising; those that cannot be met are left out.
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
    is_by_copies: bool = False
    held_out: HeldOutAlarms | None
    labels: dict[str, LabelTuning]
    sweep: list[Sweep]
