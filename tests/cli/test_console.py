from __future__ import annotations

import io

import pytest
from rich.console import Console

from streamgmm.cli.console import RichTrack, make_progress, stderr_console, stdout_console
from streamgmm.cli.findings import read_with_progress
from tests.dataset.dataset_rig import write_classes


@pytest.mark.parametrize("make_console", [stdout_console, stderr_console])
def test_names_are_shown_as_they_are(capsys, make_console):
    make_console().print("[red]a:cat:.wav 'x' 12")
    shown = capsys.readouterr()
    assert "[red]a:cat:.wav 'x' 12\n" in (shown.out, shown.err)
    assert "" in (shown.out, shown.err)


def test_where_nobody_looks_no_bar_is_drawn(capsys):
    with make_progress(stderr_console()) as progress:
        assert list(RichTrack(progress)(iter("abc"), "measuring", 3)) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


def test_a_terminal_shows_each_piece_of_work_with_its_count():
    screen = io.StringIO()
    with make_progress(Console(file=screen, force_terminal=True, width=100)) as progress:
        track = RichTrack(progress)
        for description in ("measuring", "seed 7: folds"):
            assert list(track(range(12), description, 12)) == list(range(12))
    assert "measuring" in screen.getvalue()
    assert "seed 7: folds" in screen.getvalue()
    assert "12/12" in screen.getvalue()


def test_reading_shows_how_many_recordings_were_read(tmp_path):
    screen = io.StringIO()
    with make_progress(Console(file=screen, force_terminal=True, width=100)) as progress:
        dataset = read_with_progress(write_classes(tmp_path, "cat", "dog"), progress, min_clips=2)
    assert len(dataset.clips) == 4
    assert "4/4" in screen.getvalue()
