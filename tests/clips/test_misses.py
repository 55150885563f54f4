"""Near misses and unknown sounds, from scores drawn hop by hop."""

from __future__ import annotations

import numpy as np
import pytest

from streamgmm.clips.misses import Miss, Misses
from streamgmm.decision.events import LabelRule
from streamgmm.decision.judge import Judgement
from streamgmm.decision.rejection import Verdict
from streamgmm.settings.clips import ClipsSection

HOP = 10
RULE = LabelRule(
    0.7, 0.4, min_duration_samples=2 * HOP, hangover_samples=HOP, refractory_samples=0, max_duration_samples=0
)
NEAR = ClipsSection(near_miss_margin=0.2)


def judgement(score: float, other: float = 0.0, *, is_unknown: bool = False) -> Judgement:
    verdict = Verdict("unknown" if is_unknown else "dog", 0.6, 1.0, "unknown" if is_unknown else None)
    return Judgement(verdict, np.array([0.3, 0.6]), np.array([score, other]))


def follow(misses: Misses, picture: str) -> list[Miss]:
    """The misses of a picture, a hop a letter: `.` low, `n` near, `E` near in an event, `e` low in one, `u` unknown."""
    over: list[Miss] = []
    for n, letter in enumerate(picture, 1):
        hop = judgement(0.6 if letter in "nE" else 0.1, is_unknown=letter == "u")
        found = misses.update(hop, n * HOP, ["dog"] if letter in "eE" else [])
        over += [miss for miss in found if miss.is_over]
    return over + misses.end()


def make_misses(section: ClipsSection) -> Misses:
    return Misses(section, ("dog", "glass"), (RULE, RULE), HOP)


@pytest.mark.parametrize(
    ("picture", "spans"),
    [
        ("......", []),
        ("..n...", [(2, 3)]),
        ("..nnn....", [(2, 5)]),
        ("..n.n....", [(2, 5)]),  # the hangover bridges it
        ("..n...n...", [(2, 3), (6, 7)]),
        ("..nn", [(2, 4)]),  # the end of the stream
        ("..nnEEE...", []),  # it became an event
        ("..EEEnn...", []),  # the rest of the event
        ("..Eee.n...", [(6, 7)]),
        ("..EEn.n...", [(6, 7)]),
    ],
)
def test_a_near_miss_is_a_score_close_to_the_threshold_without_an_event(
    picture: str, spans: list[tuple[int, int]]
) -> None:
    over = follow(make_misses(NEAR), picture)
    assert [(miss.onset_sample // HOP, miss.offset_sample // HOP) for miss in over] == spans
    assert all((miss.kind, miss.label, miss.max_score) == ("near_miss", "dog", 0.6) for miss in over)


@pytest.mark.parametrize(
    ("picture", "spans"),
    [
        ("..u...", []),  # a click
        ("..uu...", [(2, 4)]),
        ("..u.u...", [(2, 5)]),
        ("..uueeuu", [(6, 8)]),
        ("..uuuuu", [(2, 7)]),
    ],
)
def test_an_unknown_sound_fits_no_label_and_lasts(picture: str, spans: list[tuple[int, int]]) -> None:
    over = follow(make_misses(ClipsSection(unknown=True)), picture)
    assert [(miss.onset_sample // HOP, miss.offset_sample // HOP) for miss in over] == spans
    assert all((miss.kind, miss.label) == ("unknown", "glass") for miss in over)


def test_nothing_is_found_that_was_not_asked_for() -> None:
    assert follow(make_misses(ClipsSection()), "..nn..uuu") == []
    assert follow(make_misses(ClipsSection(near_miss_margin=0.2, labels=["glass"])), "..nn..") == []


def test_a_rejected_label_never_comes_close_even_with_the_widest_margin() -> None:
    misses = make_misses(ClipsSection(near_miss_margin=1.0))
    assert misses.update(judgement(0.0), HOP, []) == []
    assert misses.end() == []


def test_each_label_by_itself() -> None:
    misses = make_misses(NEAR)
    misses.update(judgement(0.6, 0.55), HOP, [])
    misses.update(judgement(0.6, 0.55), 2 * HOP, ["dog"])
    assert [miss.label for miss in misses.end()] == ["glass"]
