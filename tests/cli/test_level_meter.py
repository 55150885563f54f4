from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from streamgmm.arrays import Samples
from streamgmm.audio.microphone.microphone import Microphone
from streamgmm.audio.source import Block, Vitals
from streamgmm.cli.level_meter import METER_RATE_HZ, LevelMeter, show_levels
from streamgmm.units import SILENCE_DBFS
from tests.cli.cli_rig import run_cli

INTERVAL_SAMPLES = METER_RATE_HZ // 10


class ListSource:
    """A source that has a list of blocks."""

    name = "list"
    is_live = False

    def __init__(self, blocks: Iterable[Samples]) -> None:
        self._blocks = iter(blocks)
        self.is_closed = False

    def open(self, sample_rate_hz: int, block_samples: int | None = None) -> None:
        assert sample_rate_hz == METER_RATE_HZ

    def read(self) -> Block | None:
        samples = next(self._blocks, None)
        return None if samples is None else Block(samples)

    def vitals(self) -> Vitals:
        return Vitals(self.name)

    def close(self) -> None:
        self.is_closed = True


def sine(amplitude: float, n_intervals: int = 1) -> Samples:
    phases = 2 * np.pi * 1000 / METER_RATE_HZ * np.arange(n_intervals * INTERVAL_SAMPLES)
    return np.asarray(amplitude * np.sin(phases), np.float32)


def levels_of(meter: LevelMeter, samples: Samples) -> list[tuple[float, float]]:
    return [(meter.level_dbfs, meter.held_peak_dbfs) for _ in meter.push(samples)]


@pytest.mark.parametrize("offset", [0.0005, 0.05, -0.3])
def test_an_offset_is_no_level(offset: float) -> None:
    ((level_dbfs, _),) = levels_of(LevelMeter(), sine(0.001) + np.float32(offset))
    assert level_dbfs == pytest.approx(-63.01, abs=0.01)


def test_the_level_of_a_sine_is_3_db_below_its_peak() -> None:
    ((level_dbfs, peak_dbfs),) = levels_of(LevelMeter(), sine(0.1))
    assert level_dbfs == pytest.approx(-23.01, abs=0.01)
    assert peak_dbfs == pytest.approx(-20.0, abs=0.01)


def test_levels_do_not_depend_on_the_blocks() -> None:
    samples = np.concatenate([sine(amplitude) for amplitude in (0.1, 0.5, 0.01)])
    whole, parts = LevelMeter(), LevelMeter()
    in_parts = [pair for part in np.array_split(samples, 7) for pair in levels_of(parts, part)]
    assert in_parts == levels_of(whole, samples)
    assert whole.n_intervals == 3


def test_a_peak_is_held_for_a_second_and_a_half() -> None:
    held = [peak for _, peak in levels_of(LevelMeter(), np.concatenate([sine(1.0), sine(0.1, 20)]))]
    assert [round(peak) for peak in held[:16]] == [0] * 16
    assert [round(peak) for peak in held[16:]] == [-20] * 5


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        (np.zeros(INTERVAL_SAMPLES, np.float32), "exact silence: muted, or not connected?"),
        (sine(0.5), "  -9.0 dBFS  peak   -6.0"),
        (sine(1.0), "clipping: lower the gain"),
        (np.full(INTERVAL_SAMPLES, np.nan, np.float32), "exact silence"),
    ],
)
def test_it_says_in_words_what_is_wrong(samples: Samples, says: str) -> None:
    (reading,) = LevelMeter().push(samples)
    assert says in reading.describe()


@pytest.mark.parametrize(("amplitude", "n_full"), [(1.0, 48), (10 ** (-42 / 20), 25), (0.0, 0)])
def test_the_bar_reaches_from_minus_90_db_to_full_scale(amplitude: float, n_full: int) -> None:
    (reading,) = LevelMeter().push(sine(amplitude))
    assert len(reading.bar()) == 50
    assert reading.bar().count("█") == n_full
    assert reading.bar().count("┃") == 1


def test_it_stops_after_the_time_asked_for_or_with_the_source() -> None:
    lines: list[str] = []
    show_levels(ListSource([sine(0.1, 20)]), lines.append, 0.5, LevelMeter())
    assert len(lines) == 5
    show_levels(ListSource([sine(0.1, 2), sine(0.1, 1)]), lines.append, None, LevelMeter())
    assert len(lines) == 8


def test_without_a_terminal_it_prints_plain_lines_and_closes_the_device(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ListSource([sine(0.1, 20)])
    for method in ("open", "read", "close"):
        monkeypatch.setattr(Microphone, method, lambda _, *args, method=method: getattr(source, method)(*args))
    code, out, err = run_cli(capsys, "devices", "--test", "--seconds", "0.3", "--device", "2")
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 1
    assert "\x1b" not in out
    assert source.is_closed


@pytest.mark.parametrize(
    ("seconds", "n_lines"), [(None, 10), ("1", 1), ("2", 2), ("3.5", 4), ("12", 12), ("0.3", 1), ("0.05", 1)]
)
def test_without_a_terminal_it_prints_a_line_a_second_and_ends(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, seconds: str | None, n_lines: int
) -> None:
    source = ListSource(sine(0.1) for _ in range(1000))
    for method in ("open", "read", "close"):
        monkeypatch.setattr(Microphone, method, lambda _, *args, method=method: getattr(source, method)(*args))
    options = [] if seconds is None else ["--seconds", seconds]
    code, out, err = run_cli(capsys, "devices", "--test", *options)
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == n_lines
    assert all("dBFS" in line for line in out.splitlines())
    assert source.is_closed


def test_a_source_that_ends_earlier_ends_the_test(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ListSource(sine(0.1) for _ in range(25))
    for method in ("open", "read", "close"):
        monkeypatch.setattr(Microphone, method, lambda _, *args, method=method: getattr(source, method)(*args))
    assert len(run_cli(capsys, "devices", "--test").out.splitlines()) == 2


def test_silence_is_the_floor() -> None:
    assert LevelMeter().level_dbfs == SILENCE_DBFS
