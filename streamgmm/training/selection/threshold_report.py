"""What a training tells of the thresholds that it has chosen: in the model, in its card, and in notes."""

from __future__ import annotations

from streamgmm.model.room_card import RoomCard
from streamgmm.settings.decision import LabelSection
from streamgmm.training.selection.thresholds import CLEAR_SNR_DB, DEAF_RECALL, MAX_BUDGET_PER_HOUR, LabelThreshold


def as_sections(thresholds: dict[str, LabelThreshold]) -> dict[str, LabelSection]:
    """Return the decision settings of a model with these thresholds."""
    return {label: LabelSection(onset_threshold=found.onset_threshold) for label, found in thresholds.items()}


def deaf_notes(thresholds: dict[str, LabelThreshold], budget_per_hour: float) -> list[str]:
    """Return a note on each label of which its threshold leaves little."""
    return [
        f"'{label}': only {recall:.0%} of its sounds are found {CLEAR_SNR_DB:g} dB or more above the room with a "
        f"budget of {budget_per_hour:g} false alarms an hour; {_enough(label, found)}: add recordings of it, or of the "
        "room as background"
        for label, found in thresholds.items()
        if (recall := found.clear_recall) is not None and recall < DEAF_RECALL
    ]


def _enough(label: str, found: LabelThreshold) -> str:
    if found.enough_per_hour is None:
        return f"no budget up to {MAX_BUDGET_PER_HOUR:g} an hour leaves '{label}' a recall of {DEAF_RECALL:.0%}"
    budget = f"a budget of {found.enough_per_hour:g} an hour"
    return f"{budget} is the smallest that leaves '{label}' a recall of {DEAF_RECALL:.0%}"


def thresholds_in_card(thresholds: dict[str, LabelThreshold], budget_per_hour: float) -> RoomCard:
    """Return what the card of a model tells of its thresholds; the thresholds themselves are in its decision."""
    return RoomCard(
        max_false_alarms_per_hour=budget_per_hour,
        recalls={
            label: {f"{snr_db:g}": recall for snr_db, recall in found.recalls.items()}
            for label, found in thresholds.items()
        },
        n_copies={label: found.n_copies for label, found in thresholds.items()},
        peaks={label: list(found.clear_peaks) for label, found in thresholds.items()},
    )
