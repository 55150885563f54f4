"""Names of clips: safe for any label and id, and readable again."""

from __future__ import annotations

import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgmm.clips.naming import folder_of, folder_of_label, label_of_folder, score_of, stem_of
from streamgmm.labels import can_be_label
from tests.sinks.sink_rig import end

RECORD = end(0)


@given(label=st.text(min_size=1, max_size=64))
def test_F38_a_label_of_any_letters_is_one_visible_folder(label: str) -> None:
    label = unicodedata.normalize("NFC", label)
    if not can_be_label(label):
        return
    name = folder_of_label(label)
    assert "/" not in name
    assert not name.startswith(".")
    assert len(name.encode()) <= 255
    assert name.casefold() not in ("near_misses", "accepted")
    assert label_of_folder(name) in (label, None)


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("dog", "dog"),
        ("smoke alarm", "smoke alarm"),
        (".", "_."),
        ("..", "_.."),
        (".ssh", "_.ssh"),
        ("Accepted", "_Accepted"),
        ("near_misses", "_near_misses"),
        ("_accepted", "__accepted"),
        ("_..", "__.."),
        ("_dog", "_dog"),
    ],
)
def test_F38_labels_that_mean_something_to_a_file_system(label: str, name: str) -> None:
    assert folder_of_label(label) == name
    assert label_of_folder(name) == label


def test_long_labels_that_begin_alike_have_folders_of_their_own() -> None:
    letter = "\U00020000"
    names = {folder_of_label(letter * 63 + end) for end in "ab"}
    assert len(names) == 2
    assert max(len(name.encode()) for name in names) <= 255
    assert {label_of_folder(name) for name in names} == {None}


def test_each_kind_has_a_place_of_its_own() -> None:
    assert folder_of("event", "dog") == "dog"
    assert folder_of("near_miss", "dog") == "near_misses/dog"
    assert folder_of("unknown", "dog") == "unknown"


@given(event_id=st.text(min_size=1, max_size=40), score=st.floats(0.0, 1.0))
def test_F38_a_name_gives_its_score_back_and_holds_no_separator(event_id: str, score: float) -> None:
    stem = stem_of(msgspec.structs.replace(RECORD, id=event_id, max_score=score))
    assert score_of(stem) == pytest.approx(score, abs=1e-4)
    assert "/" not in stem
    assert not stem.startswith(".")


def test_a_name_begins_with_the_date_or_with_the_time_in_the_stream() -> None:
    dated = msgspec.structs.replace(RECORD, start_time="2026-01-31T12:00:04.061Z", max_score=0.94)
    assert stem_of(dated) == "20260131T120004.061Z_0.9400_e1"
    assert stem_of(RECORD) == "t000001.500_0.9000_e1"


@pytest.mark.parametrize("name", ["", "notes", "a_0.5000_b", "t000001.500_2.0000_e1", "20260131T120004.061Z_0.94_e1"])
def test_files_of_others_have_no_score(name: str) -> None:
    assert score_of(name) is None
