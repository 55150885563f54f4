"""A short benchmark without the other libraries, whose import alone takes seconds."""

from __future__ import annotations

import sys

import pytest

from streamgmm.bench.suite import BenchPlan

OTHERS = ("librosa", "opensmile")
SHORT = BenchPlan(audio_s=1.5, n_rounds=2)


def hide_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the import of the other libraries fail, as if they were not installed."""
    for name in OTHERS:
        monkeypatch.setitem(sys.modules, name, None)
