"""Review of clips: every one ends in exactly one place, however many reviewers there are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from streamgmm.clips.reviewing import Candidate, Judgement, accepted_folder, judge, list_candidates, move_clip
from streamgmm.clips.store import ClipStore
from streamgmm.errors import DataError, InputMissingError, OutputError, PermissionDeniedError, UsageError
from streamgmm.label_folders import folder_for
from tests.clips.clip_rig import clips_in, make_clip, section_of
from tests.narrowing import present
from tests.other_user import as_ordinary_user, shared_folder


def write_clips(folder: Path) -> ClipStore:
    """Two events, two near misses and an unknown sound."""
    store = ClipStore(section_of(folder))
    store.create()
    for n, score in enumerate([0.9, 0.7]):
        store.keep(make_clip(n, score=score))
        store.keep(make_clip(10 + n, "glass", score=score / 2, kind="near_miss"))
    store.keep(make_clip(20, kind="unknown"))
    return store


def test_doubtful_clips_come_first_and_files_of_others_are_left_out(tmp_path: Path) -> None:
    write_clips(tmp_path)
    (tmp_path / "dog" / "mine.flac").write_bytes(b"")
    (tmp_path / "near_misses" / "notes.txt").write_text("")
    found = [(clip.kind, clip.label, clip.score) for clip in list_candidates(tmp_path)]
    assert found == [
        ("event", "dog", 0.7),
        ("event", "dog", 0.9),
        ("near_miss", "glass", 0.45),
        ("near_miss", "glass", 0.35),
        ("unknown", "unknown", 0.8),
    ]


def test_a_clip_is_moved_with_its_record_and_is_no_candidate_any_more(tmp_path: Path) -> None:
    store = write_clips(tmp_path)
    for clip in list_candidates(tmp_path):
        assert present(clip.info()).kind == clip.kind
        assert present(move_clip(clip.path, folder_for(accepted_folder(tmp_path), "dog"))).exists()
    assert list_candidates(tmp_path) == []
    assert len(clips_in(tmp_path / "accepted" / "dog")) == 5
    store.forget()
    store.prune()
    assert store.n_bytes == 0
    assert len(clips_in(tmp_path / "accepted" / "dog")) == 5


def test_of_several_reviewers_one_gets_each_clip(tmp_path: Path) -> None:
    store = ClipStore(section_of(tmp_path))
    n_clips, n_reviewers = 40, 4
    for n in range(n_clips):
        store.keep(make_clip(n))
    candidates = list_candidates(tmp_path)
    folders = [folder_for(accepted_folder(tmp_path), f"label {n}") for n in range(n_reviewers)]

    def review(folder: Path) -> int:
        return sum(move_clip(clip.path, folder) is not None for clip in candidates)

    with ThreadPoolExecutor(n_reviewers) as pool:
        assert sum(pool.map(review, folders)) == n_clips
    assert len(clips_in(tmp_path)) == n_clips
    assert list_candidates(tmp_path) == []


def test_a_clip_of_the_same_name_is_not_replaced(tmp_path: Path) -> None:
    folder = folder_for(accepted_folder(tmp_path), "dog")
    for _ in range(3):
        write_clips(tmp_path)
        assert move_clip(list_candidates(tmp_path)[0].path, folder)
    assert len(clips_in(folder)) == 3


def test_a_clip_without_its_record_is_moved_all_the_same(tmp_path: Path) -> None:
    write_clips(tmp_path)
    clip = list_candidates(tmp_path)[0]
    clip.path.with_suffix(".json").write_text("{")
    assert clip.info() is None
    clip.path.with_suffix(".json").unlink()
    assert clip.info() is None
    assert move_clip(clip.path, folder_for(accepted_folder(tmp_path), "dog"))


def test_a_clip_that_is_gone_is_nobodys_mistake_and_a_folder_that_is_gone_is(tmp_path: Path) -> None:
    write_clips(tmp_path)
    clip = list_candidates(tmp_path)[0].path
    with pytest.raises(OutputError, match="vanished"):
        move_clip(clip, tmp_path / "nowhere")
    clip.unlink()
    assert move_clip(clip, folder_for(accepted_folder(tmp_path), "dog")) is None


def test_what_may_not_be_moved_stays_where_it_is() -> None:
    with shared_folder() as folder:
        write_clips(folder)
        for path in (folder, folder / "dog"):
            path.chmod(0o755)
        clip = next(clip for clip in list_candidates(folder) if clip.kind == "event")
        target = folder_for(accepted_folder(folder), "dog")
        with as_ordinary_user(), pytest.raises(PermissionDeniedError):
            move_clip(clip.path, target)
        assert clip.path.exists()


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputMissingError, match="is not a folder"):
        list_candidates(tmp_path / "missing")


def test_a_label_named_like_a_kind_is_an_event(tmp_path: Path) -> None:
    store = ClipStore(section_of(tmp_path))
    store.keep(make_clip(0, "near_misses"))
    assert [type(clip) for clip in list_candidates(tmp_path)] == [Candidate]
    assert list_candidates(tmp_path)[0].kind == "event"


@pytest.mark.parametrize("label", ["accepted", "Near_Misses", "not_mine", "_accepted", "\U00020000" * 63 + "a"])
def test_a_clip_is_accepted_as_its_label_whatever_the_name_of_its_folder(tmp_path: Path, label: str) -> None:
    store = ClipStore(section_of(tmp_path))
    store.create()
    store.keep(make_clip(0, label))
    store.keep(make_clip(1, label, kind="near_miss"))
    found = list_candidates(tmp_path)
    assert [clip.label for clip in found] == [label, label]
    if len(label.encode()) > 255:
        return  # No folder can have this name, and so no training either.
    for clip in found:
        assert present(judge(tmp_path, clip.path, clip.label, Judgement("accept"))).parent.name == label


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("unknown", "'unknown' is an answer and not a class"),
        ("silence", "'silence' is an answer and not a class"),
        ("Dog", "labels 'dog' and 'Dog' differ only by case"),
        ("GLASS", "labels 'glass' and 'GLASS' differ only by case"),
        ("ｄｏｇ", "differ only by case or Unicode form"),
        ("Bell", "labels 'bell' and 'Bell' differ only by case"),
        ("Background", "differs from the reserved 'background'"),
        (".dog", "cannot begin with a dot"),
    ],
)
def test_what_no_training_could_learn_is_not_accepted(tmp_path: Path, label: str, message: str) -> None:
    write_clips(tmp_path)
    clips = list_candidates(tmp_path)
    assert judge(tmp_path, clips[0].path, clips[0].label, Judgement("accept", "bell")) is not None
    for clip in clips[1:]:
        with pytest.raises((DataError, UsageError), match=message):
            judge(tmp_path, clip.path, clip.label, Judgement("accept", label))
        assert clip.path.exists()


def test_what_is_rejected_has_no_label(tmp_path: Path) -> None:
    write_clips(tmp_path)
    clip, other, *_ = list_candidates(tmp_path)
    with pytest.raises(UsageError, match="a clip that is rejected has no label, but 'dog' is given"):
        judge(tmp_path, clip.path, clip.label, Judgement("reject", "dog"))
    for one, label in ((clip, ""), (other, "background")):
        assert present(judge(tmp_path, one.path, one.label, Judgement("reject", label))).parent.name == "background"
