"""`python -m tests.system.fuzz`: damage of every kind ends in one line, soon, and costs nothing."""

from __future__ import annotations

import os

import pytest

from streamgmm.errors import DataError
from tests.system import fuzz

pytestmark = pytest.mark.skipif(os.name != "posix", reason="UNIX sockets and the memory of a process")


def test_B3_B4_C2_D2_E13_damaged_input_is_refused_in_one_line_and_at_once() -> None:
    n_inputs = 10_000
    results = fuzz.fuzz(list(fuzz.KINDS), n_inputs, seed=1)
    assert [result.n_inputs for result in results] == [n_inputs] * 4 + [n_inputs // 20]
    models, recordings, settings, _, _ = results
    # Some of it is harmless, else only the first look would have been tried.
    assert 0 < models.n_refused < n_inputs
    assert 0 < recordings.n_refused < n_inputs
    assert 0 < settings.n_refused < n_inputs


@pytest.mark.parametrize("fault", ["traceback", "hang", "growth"])
def test_the_check_would_notice(fault: str, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(fuzz, "LONGEST_S", 0.0 if fault == "hang" else 1e6)
    monkeypatch.setattr(fuzz, "MAX_GROWTH_BYTES", -1 if fault == "growth" else 1 << 40)

    def read(data: bytes) -> None:
        if fault == "traceback" and data == b"2":
            raise IndexError("oops")
        raise DataError("refused")

    with pytest.raises(fuzz.FoundError, match={"traceback": "IndexError: oops"}.get(fault, "fake: ")):
        fuzz.drive("fake", iter([b"1", b"2", b"3"]), read)
    kept = [path.read_bytes() for path in tmp_path.iterdir()]
    assert kept == {"traceback": [b"2"], "hang": [b"1"], "growth": []}[fault]
