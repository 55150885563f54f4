"""The pace of a stream against the clock."""

from __future__ import annotations

import pytest

from streamgmm.audio.streams.pace import BURST_S, Pace


def play(pace, duration_s, *, speed=1.0, start_s=0.0, step_s=0.1):
    """Push sound at a speed; the wait that the last block asks for."""
    delay_s = 0.0
    for i in range(round(duration_s / step_s)):
        delay_s = pace.advance(start_s + i * step_s, speed * step_s)
    return delay_s


@pytest.mark.parametrize("drift", [-0.001, 0.0, 0.001])
def test_a_sound_card_is_never_held_back_nor_missed(drift):
    pace = Pace(10.0)
    assert play(pace, 86400.0, speed=1.0 + drift, step_s=1.0) == 0.0
    assert not pace.is_starved
    assert pace.behind_s < 0.1


def test_A42_a_flood_is_held_back_beyond_a_burst():
    pace = Pace(10.0)
    assert pace.advance(0.0, BURST_S) == 0.0
    assert pace.advance(0.0, 1.0) == pytest.approx(1.0, rel=0.02)


def test_A43_half_of_the_sound_is_too_little():
    pace = Pace(2.0)
    play(pace, 3.0, speed=0.5)
    assert not pace.is_starved
    play(pace, 7.0, speed=0.5, start_s=3.0)
    assert pace.is_starved
    assert pace.heard_until_s == pytest.approx(10.0 - 5.0, abs=0.5)


def test_A22_sound_that_comes_late_but_comes_is_no_loss():
    pace = Pace(2.0)
    play(pace, 5.0)
    pace.advance(65.0, 0.1)  # the machine was stopped for a minute
    assert not pace.is_starved
    for i in range(600):
        pace.advance(65.0 + i / 1000, 0.1)
    assert not pace.is_starved
    assert pace.behind_s < 1.0


def test_nothing_is_known_before_the_first_sound():
    assert Pace(1.0).heard_until_s is None
