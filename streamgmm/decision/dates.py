"""Back-dating of the events of one label, to where the level changed."""

from __future__ import annotations

from dataclasses import dataclass

from streamgmm.decision.change_point import LevelHistory
from streamgmm.decision.events import EventClosed, OnsetCrossed, ScoreDipped
from streamgmm.decision.rises import Rises


@dataclass(slots=True)
class Dates:
    """Back-dated positions of one label.

    Attributes:
        onset_sample: onset of the candidate.
        offset_sample: offset at the last dip of the score.
        dipped_at_sample: position of that dip in the automaton. -1 is no position: without a dip, it equals no offset.
        earliest_onset_sample: no onset is dated before it.
    """

    onset_sample: int = 0
    offset_sample: int = 0
    dipped_at_sample: int = -1
    earliest_onset_sample: int = 0

    def date_onset(self, change: OnsetCrossed, rises: Rises, history: LevelHistory) -> None:
        """Back-date the onset of a candidate."""
        # At the crossing, not when the event opens: by then, the onset may have left the history.
        risen_sample = rises.onset_before(change.i_label, change.onset_sample)
        if risen_sample is None:
            risen_sample = history.last_rise_sample()
        onset_sample = change.onset_sample if risen_sample is None else risen_sample
        # Back-dating must not reach into the refractory time, which an event cut by its length does not have.
        self.onset_sample = max(onset_sample, min(self.earliest_onset_sample, change.onset_sample))

    def date_offset(self, change: ScoreDipped, onset_sample: int, history: LevelHistory) -> None:
        """Back-date the offset of an event that began at `onset_sample`."""
        # At the dip, not when the event closes: a long hangover outlasts the history.
        fallen_sample = history.last_fall_sample(onset_sample)
        self.dipped_at_sample = change.offset_sample
        self.offset_sample = change.offset_sample if fallen_sample is None else fallen_sample

    def end_of(self, change: EventClosed) -> int:
        """Return the end of the sound: the fall of the level at the last dip, else the last hop above the threshold."""
        # An event that did not end with its last dip, e.g. one ended by a gap, was still sounding.
        if self.dipped_at_sample != change.offset_sample:
            return change.offset_sample
        # A later fall is ignored: the event does not last longer than its score was above the threshold.
        return min(self.offset_sample, change.offset_sample)
