"""`streamgmm review`: what a person answers, and what a script does."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamgmm.cli.review import Review
from streamgmm.clips.reviewing import list_candidates
from streamgmm.dataset.dataset import read_dataset
from tests.cli.cli_rig import command_of, run_cli
from tests.clips.clip_rig import clips_in
from tests.clips.test_reviewing import write_clips

ORDER = ["r-1", "r-0", "r-10", "r-11", "r-20"]
"""Ids of the clips in the order of a review."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_clips(tmp_path / "clips")
    return tmp_path / "clips"


def answer(folder: Path, *answers: str) -> dict[str, int]:
    lines: Iterator[str] = iter(answers)

    def ask(prompt: str) -> str:
        try:
            return next(lines)
        except StopIteration:
            raise EOFError from None

    return dict(Review(folder, ask).run(list_candidates(folder)))


def where(folder: Path) -> dict[str, str]:
    """The folder of each clip by its id."""
    return {path.stem.rpartition("_")[2]: str(path.parent.relative_to(folder)) for path in folder.rglob("*.flac")}


def test_each_answer_has_its_place(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moved = answer(folder, "a", "r", "n", "l", "door bell", "accept", "cat")
    assert moved == {"as dog": 1, "as background": 1, "not mine": 1, "as door bell": 1, "as cat": 1}
    places = ["accepted/dog", "accepted/background", "not_mine/glass", "accepted/door bell", "accepted/cat"]
    assert where(folder) == dict(zip(ORDER, places, strict=True))
    assert len(clips_in(folder)) == 5
    assert "1 of 5  event  dog  score 0.70" in capsys.readouterr().out


def test_a_clip_that_was_reviewed_is_told_with_its_place(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = str(list_candidates(folder)[0].path.relative_to(folder))
    assert run_cli(capsys, "review", folder, name, "--as", "cat").code == 0
    outcome = run_cli(capsys, "review", folder, name, "--as", "dog")
    assert outcome.code == 66
    assert f"it was reviewed, and is now {folder / 'accepted' / 'cat'}/" in outcome.err


def test_what_is_skipped_stays_and_quitting_leaves_the_rest(folder: Path) -> None:
    before = where(folder)
    assert answer(folder, "s", "", "?", "x", "q") == {}
    assert where(folder) == before


def test_the_end_of_the_input_ends_the_review(folder: Path) -> None:
    assert answer(folder, "a") == {"as dog": 1}
    assert answer(folder, "l") == {}


def test_a_label_that_is_none_is_asked_for_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(folder, "l", "a/b", "l", "", "l", "..", "a", "q") == {"as dog": 1}
    assert "SOLIDUS" in capsys.readouterr().out


def test_a_clip_that_is_gone_is_passed_over_with_a_word(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    candidates = list_candidates(folder)
    candidates[0].path.unlink()

    def ask(prompt: str) -> str:
        # Somebody else is faster.
        candidates[1].path.unlink(missing_ok=True)
        return "a"

    assert Review(folder, ask).run(candidates[:3]) == {"as glass": 1}
    out = capsys.readouterr().out
    assert "1 of 3  gone" in out
    assert "gone: somebody else" in out


def test_a_clip_is_played_by_what_is_installed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    answer(folder, "p")
    assert "no player is installed" in capsys.readouterr().out
    (tmp_path / "paplay").write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/played\nexit 3\n')
    (tmp_path / "paplay").chmod(0o755)
    answer(folder, "p")
    assert (tmp_path / "played").read_text() == f"{list_candidates(folder)[0].path}\n"
    assert "paplay could not play it" in capsys.readouterr().out


def test_the_list_is_tab_separated_and_its_names_can_be_given_back(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = run_cli(capsys, "review", folder, "--list")
    head, *rows = [line.split("\t") for line in outcome.out.splitlines()]
    assert head == ["clip", "kind", "label", "score"]
    assert [row[1:] for row in rows[:3]] == [
        ["event", "dog", "0.7000"],
        ["event", "dog", "0.9000"],
        ["near_miss", "glass", "0.4500"],
    ]
    outcome = run_cli(capsys, "review", folder, rows[0][0], folder / rows[4][0], "--as", "cat")
    assert (outcome.code, len(outcome.out.splitlines())) == (0, 2)
    assert clips_in(folder / "accepted" / "cat") == ["r-1", "r-20"]
    assert len(list_candidates(folder)) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["missing"], 66, "is not a folder"),
        (["clips", "--list", "--as", "dog"], 64, "--list moves nothing"),
        (["clips", "--as", "dog"], 64, "--as needs the clips"),
        (["clips", "dog/none.flac", "--as", "dog"], 66, "is not a clip here"),
        (["clips", "../secret.flac", "--as", "dog"], 66, "is not a clip here"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int,
    words: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(folder.parent)
    outcome = run_cli(capsys, "review", *arguments)
    assert (outcome.code, outcome.err.count("\n")) == (code, 1)
    assert words in outcome.err


def test_a_wrong_label_moves_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = list_candidates(folder)[0].path.relative_to(folder)
    assert run_cli(capsys, "review", folder, name, "--as", "a/b").code == 65
    assert not (folder / "accepted").exists()


def test_a_review_by_a_pipe_makes_a_folder_that_train_reads(folder: Path) -> None:
    done = subprocess.run(
        command_of("review", folder), input="a\na\nr\nr\nq\n", capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.endswith(f"2 as dog, 2 as background\nnext: streamgmm retrain MODEL --clips {folder}\n")
    dataset = read_dataset(folder / "accepted")
    assert {clip.label for clip in dataset.clips} == {"dog", "background"}


def test_nothing_to_review_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(capsys, "review", tmp_path).out == "there is nothing to review\n"
