"""What is kept of a take, and what is said of it."""

from __future__ import annotations

import numpy as np
import pytest

from streamgmm.recording.quality import LEAD_S, TAIL_S, propose_trim, trimmed, warnings_of
from streamgmm.recording.takes import Take
from tests.narrowing import present
from tests.recording.recording_rig import RATE_HZ, beep, room, scene

FLOOR_DBFS = -70.0


def take_of(*parts: np.ndarray, lost_samples: int = 0) -> Take:
    return Take(scene(*parts), RATE_HZ, FLOOR_DBFS, lost_samples)


def test_silence_around_a_sound_is_trimmed_with_room_to_spare() -> None:
    take = take_of(room(2.0), beep(0.5), room(0.3), beep(0.5), room(3.0))
    trim = present(propose_trim(take))
    kept = trimmed(take, trim)
    assert trim.begin_sample / RATE_HZ == pytest.approx(2.0 - LEAD_S, abs=0.021)
    assert kept.duration_s == pytest.approx(LEAD_S + 1.3 + TAIL_S, abs=0.041)
    assert trim.describe(take) == "1.80 to 3.70 s of 6.30 s"


@pytest.mark.parametrize("parts", [[room(2.0)], [beep(2.0)], [room(0.1), beep(2.0), room(0.3)], [room(0.001)]])
def test_what_is_all_sound_or_none_is_kept_as_it_is(parts: list[np.ndarray]) -> None:
    take = take_of(*parts)
    assert propose_trim(take) is None
    assert trimmed(take, None) is take


@pytest.mark.parametrize(
    ("take", "words"),
    [
        (take_of(room(1.0), beep(0.5), room(1.0)), ""),
        (take_of(room(1.0), beep(0.5, amplitude=1.0), room(1.0)), "clipping"),
        (take_of(room(1.0), beep(0.5, amplitude=2e-3), room(1.0)), "too quiet: only 13 dB"),
        (take_of(np.zeros(8000, np.float32)), "exact silence"),
        (take_of(room(1.0), beep(0.5), lost_samples=4000), "lost 0.50 s"),
    ],
)
def test_a_take_that_is_no_good_is_said_to_be(take: Take, words: str) -> None:
    found = list(warnings_of(take))
    assert len(found) == bool(words)
    assert words in "".join(found)


def test_nothing_has_to_stand_out_from_the_room_itself() -> None:
    assert list(warnings_of(take_of(room(2.0)), is_room=True)) == []
