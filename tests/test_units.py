from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from streamgmm import units


def test_seconds_and_samples() -> None:
    assert units.seconds_to_samples(0.5, 16000) == 8000
    assert units.samples_to_seconds(1, 3) == 0.333333
    assert units.seconds_to_samples(units.samples_to_seconds(12345, 44100), 44100) == 12345


def test_A19_silence_has_a_finite_level() -> None:
    assert units.power_to_dbfs(0.0) == units.SILENCE_DBFS
    assert units.power_to_dbfs(1e-300) == units.SILENCE_DBFS
    assert units.power_to_dbfs(1.0) == 0.0
    assert units.power_to_dbfs(0.01) == pytest.approx(-20.0)


def test_decibels_of_amplitudes() -> None:
    assert units.db_to_amplitude(20.0) == pytest.approx(10.0)
    assert units.db_to_amplitude(-6.0206) == pytest.approx(0.5, abs=1e-5)


def test_times_are_utc_with_milliseconds() -> None:
    moment = datetime(2026, 1, 31, 12, 0, 0, 250999, tzinfo=UTC)
    assert units.rfc3339(moment) == "2026-01-31T12:00:00.250Z"
    assert units.rfc3339(moment.astimezone(timezone(timedelta(hours=5)))) == "2026-01-31T12:00:00.250Z"
