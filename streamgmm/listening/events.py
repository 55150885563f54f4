"""Events of a recording: annotations, which are true, and detections, which a stream reported."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from streamgmm.records import End, Record, Start


class Annotation(NamedTuple):
    """A true event: `label` sounds from `onset_s` to `offset_s`, in seconds from the start of its recording."""

    label: str
    onset_s: float
    offset_s: float


class Detection(NamedTuple):
    """An event that was detected, in the same seconds.

    Attributes:
        label: a label of the model.
        onset_s: start of the event (s).
        offset_s: end of the event (s).
        reported_s: end of the hop at which its start was reported (s).
        score: highest smoothed posterior within the event, 0 to 1.
    """

    label: str
    onset_s: float
    offset_s: float
    reported_s: float
    score: float


def detections_of(records: Iterable[Record]) -> list[Detection]:
    """Return the events of a stream of records in the order of their ends.

    An event without an end is left out; a stream that was flushed has none.
    """
    reported_s: dict[str, float] = {}
    detections = []
    for record in records:
        if isinstance(record, Start):
            reported_s[record.id] = record.t
        elif isinstance(record, End) and record.id in reported_s:
            times_s = (record.start_t, record.end_t, reported_s.pop(record.id))
            detections.append(Detection(record.label, *times_s, record.max_score))
    return detections


def is_same_sound(truth: Annotation, found: Detection, collar_s: float) -> bool:
    """Return whether both have one label and overlap once `truth` is widened by `collar_s` (s) at both ends."""
    return (
        truth.label == found.label
        and found.onset_s < truth.offset_s + collar_s
        and found.offset_s > truth.onset_s - collar_s
    )
