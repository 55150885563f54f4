from __future__ import annotations

from pathlib import Path

import pytest

from streamgmm.bench.result import BenchResult
from streamgmm.bench.suite import run_bench
from streamgmm.errors import OutputError
from streamgmm.report.bench_picture import draw_bench
from tests.bench.bench_rig import SHORT, hide_others


@pytest.fixture(scope="module")
def result() -> BenchResult:
    with pytest.MonkeyPatch.context() as patch:
        hide_others(patch)
        return run_bench(SHORT)


def test_every_figure_and_peer_is_on_the_picture(result: BenchResult, tmp_path: Path) -> None:
    draw_bench(tmp_path / "b.svg", result)
    text = (tmp_path / "b.svg").read_text()
    for figure in (*result.features, *result.pipelines):
        # Matplotlib draws letters as paths, and keeps each text in a comment.
        assert figure.name in text
        assert all(peer in text for peer in figure.faster_than)


def test_a_picture_that_cannot_be_written_is_an_error(result: BenchResult, tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        draw_bench(tmp_path / "none" / "b.png", result)
