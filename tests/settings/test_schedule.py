"""The schedule: which moments of local time it covers."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from streamgmm.errors import ConfigError
from streamgmm.settings.loading import load_config
from streamgmm.settings.schedule import DAYS, OffSection, off_at

BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = 5  # of January 2026


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 1, day, hour, minute, tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("time", "hour", "minute", "is_off"),
    [
        ("09:00-17:30", 8, 59, False),
        ("09:00-17:30", 9, 0, True),
        ("09:00-17:30", 17, 29, True),
        ("09:00-17:30", 17, 30, False),
        ("22:00-07:00", 21, 59, False),
        ("22:00-07:00", 22, 0, True),
        ("22:00-07:00", 0, 0, True),
        ("22:00-07:00", 6, 59, True),
        ("22:00-07:00", 7, 0, False),
        ("00:00-24:00", 0, 0, True),
        ("00:00-24:00", 23, 59, True),
    ],
)
def test_a_time_covers_its_begin_and_not_its_end(time: str, hour: int, minute: int, is_off: bool) -> None:
    assert OffSection(time=time).covers(at(MONDAY, hour, minute)) is is_off


def test_days_are_those_on_which_it_begins() -> None:
    night = OffSection(time="22:00-07:00", days=["mon"])
    assert night.covers(at(MONDAY, 23))
    assert night.covers(at(MONDAY + 1, 6))
    assert not night.covers(at(MONDAY, 6))
    assert not night.covers(at(MONDAY + 1, 23))
    assert DAYS[at(MONDAY, 0).weekday()] == "mon"


@pytest.mark.parametrize(
    ("utc", "is_off"),
    [
        ("2026-03-29T00:59", False),  # 01:59; the clocks go from 02:00 to 03:00
        ("2026-03-29T01:00", False),  # 03:00
        ("2026-10-25T00:30", True),  # 02:30, for the first time
        ("2026-10-25T01:30", True),  # 02:30, for the second
        ("2026-10-25T02:00", False),  # 03:00
    ],
)
def test_the_clock_on_the_wall_decides_when_it_is_changed(utc: str, is_off: bool) -> None:
    local = datetime.fromisoformat(utc).replace(tzinfo=UTC).astimezone(BERLIN)
    assert OffSection(time="02:15-03:00").covers(local) is is_off


def test_items_add_up() -> None:
    schedule = [OffSection(time="08:00-12:00", labels=["door"]), OffSection(time="10:00-14:00", labels=["bark"])]
    assert off_at(schedule, at(MONDAY, 11)) == (False, frozenset({"door", "bark"}))
    assert off_at([*schedule, OffSection(time="11:00-12:00")], at(MONDAY, 11)) == (True, frozenset({"door", "bark"}))
    assert off_at(schedule, at(MONDAY, 15)) == (False, frozenset())


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        ("{time: 25:00-07:00}", "such as 22:00-07:00"),
        ("{time: 7-8}", "such as 22:00-07:00"),
        ("{time: 07:00-07:00}", "begins and ends at the same time"),
        ("{time: 07:00-08:00, days: [monday]}", "got 'monday', wanted"),
        ("{days: [mon]}", "time is missing"),
        ("night", "wanted a mapping"),
    ],
)
def test_a_mistake_is_reported_with_its_line(tmp_path: Path, item: str, problem: str) -> None:
    (tmp_path / "c.yaml").write_text(f"schedule:\n  - {item}\n")
    with pytest.raises(ConfigError, match=rf"c\.yaml:2:\d+: schedule\[0\].*{problem}"):
        load_config(tmp_path / "c.yaml")
