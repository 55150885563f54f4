from __future__ import annotations

import pytest

from streamgmm.listening.events import Annotation, Detection, detections_of, is_same_sound
from streamgmm.records import End, Start, Status


def start(identity: str, t: float) -> Start:
    return Start(t=t, id=identity, label="bell", score=0.9, llr=3.0, threshold=0.6, start_t=t - 0.5)


def end(identity: str, t: float) -> End:
    return End(
        t=t, id=identity, label="bell", start_t=1.5, end_t=t - 0.25, duration_s=1.0, max_score=1.0, mean_score=1.0,
        reason="offset",
    )  # fmt: skip


def test_records_become_events_with_the_time_of_their_start_record():
    records = [Status(t=0.0, state="ok", detail=""), start("x", 2.0), start("y", 2.5), end("x", 3.0)]
    assert detections_of(records) == [Detection("bell", 1.5, 2.75, 2.0, 1.0)]


def test_an_end_without_a_start_is_ignored():
    assert detections_of([end("x", 3.0)]) == []


@pytest.mark.parametrize(
    ("label", "onset_s", "offset_s", "is_same"),
    [
        ("bell", 3.4, 4.0, True),
        ("bell", 3.5, 4.0, False),
        ("bell", 0.0, 0.6, True),
        ("bell", 0.0, 0.5, False),
        ("bell", 0.0, 9.0, True),
        ("dog", 1.0, 3.0, False),
    ],
)
def test_one_sound_overlaps_within_the_collar_and_has_one_label(label, onset_s, offset_s, is_same):
    assert is_same_sound(Annotation("bell", 1.0, 3.0), Detection(label, onset_s, offset_s, 5.0, 0.9), 0.5) is is_same
