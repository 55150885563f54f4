from __future__ import annotations

from datetime import UTC, datetime

import pytest

from streamgmm.archive.times import time_in_name

NOON = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "name",
    [
        "20260131_120000.wav",
        "yard_20260131_120000.flac",
        "SMM01234_20260131_120000.wav",  # Song Meter
        "20260131T120000Z.wav",
        "20260131-120000.wav",
        "20260131120000.wav",
        "2026-01-31T12-00-00.wav",
        "rec 2026-01-31 12.00.00 left.wav",
        "2026-01-31T12:00:00.ogg",
        "99999999_999999 20260131_120000.wav",
    ],
)
def test_a_time_in_a_name_is_found(name):
    assert time_in_name(name) == NOON


@pytest.mark.parametrize(
    "name",
    [
        "99991231_235957.wav",
        "00010101_000000.wav",
        "1-137-A-32.wav",
        "20260131.wav",
        "20261331_120000.wav",
        "120260131_120000.wav",
        "20260131_1200001.wav",
        "",
    ],
)
def test_other_digits_are_no_time(name):
    assert time_in_name(name) is None
