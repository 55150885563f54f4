"""The folder of the clips: never over its limits, and what is removed is the worst."""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamgmm.clips.naming import stem_of
from streamgmm.clips.store import DAY_S, RECORD_BYTES, STEADY_S, ClipStore
from streamgmm.errors import CannotCreateError
from tests.clips.clip_rig import clips_in, make_clip, section_of, size_of
from tests.sinks.sink_rig import FakeClock

START_LIMIT_S = 2.0


def store_of(folder: Path, **settings: object) -> ClipStore:
    store = ClipStore(section_of(folder, **settings))
    store.create()
    return store


def test_of_each_label_the_best_and_the_latest_stay(tmp_path: Path) -> None:
    store = store_of(tmp_path, max_per_label=3)
    for n, score in enumerate([0.9, 0.7, 0.95, 0.8, 0.75]):
        store.keep(make_clip(n, score=score))
        store.keep(make_clip(n, "glass", score=score, kind="near_miss"))
    assert clips_in(tmp_path / "dog") == ["r-0", "r-2", "r-4"]
    assert clips_in(tmp_path / "near_misses" / "glass") == ["r-0", "r-2", "r-4"]


def test_the_size_is_never_exceeded_and_the_lowest_scores_of_all_go(tmp_path: Path) -> None:
    store = store_of(tmp_path, max_mib=1)
    n_clips = 30
    for n in range(n_clips):
        label = "dog" if n % 2 else "glass"
        store.keep(make_clip(n, label, score=0.5 + n % 7 / 20, duration_s=8.0))
        assert size_of(tmp_path) <= 2**20
        assert 0 <= store.n_bytes - size_of(tmp_path) <= RECORD_BYTES * len(clips_in(tmp_path))
    kept = [int(name[2:]) for name in clips_in(tmp_path)]
    assert 5 < len(kept) < n_clips
    assert n_clips - 1 in kept
    # The rest are those with the highest scores.
    scores = sorted(n % 7 for n in range(n_clips))
    assert min(n % 7 for n in kept if n != n_clips - 1) >= scores[-len(kept) - 1]


def test_a_clip_that_is_too_large_by_itself_removes_no_other(tmp_path: Path) -> None:
    store = store_of(tmp_path, max_mib=1)
    store.keep(make_clip(0))
    with pytest.raises(CannotCreateError, match="max_mib"):
        store.keep(make_clip(1, duration_s=120.0))
    assert clips_in(tmp_path) == ["r-0"]


def test_old_clips_are_removed_by_their_date(tmp_path: Path) -> None:
    clock = FakeClock()
    clock.now_s = time.time()
    store = ClipStore(section_of(tmp_path, max_age_days=2), clock, clock)
    store.keep(make_clip(0))
    clock.now_s += 1.5 * DAY_S
    store.keep(make_clip(1))
    clock.now_s += 1.0 * DAY_S
    store.prune()
    assert clips_in(tmp_path) == ["r-1"]


class SetClocks:
    """A wall clock that may be set, and one that may not."""

    def __init__(self) -> None:
        self.steady_s = 1000.0
        self.wall_s = time.time()

    def store(self, folder: Path) -> ClipStore:
        return ClipStore(section_of(folder, max_age_days=2), lambda: self.wall_s, lambda: self.steady_s)

    def wait(self, seconds: float) -> None:
        self.steady_s += seconds
        self.wall_s += seconds


@pytest.mark.parametrize("step_s", [100.0, 73 * 365 * DAY_S, 10 * DAY_S])
@pytest.mark.parametrize("is_at_start", [True, False])
def test_a_clock_that_is_wrong_for_a_while_removes_nothing(tmp_path: Path, step_s: float, is_at_start: bool) -> None:
    clocks = SetClocks()
    clocks.store(tmp_path).keep(make_clip(0))
    store = clocks.store(tmp_path)
    if not is_at_start:
        clocks.wait(1.9 * DAY_S)
        store.prune()
    clocks.wall_s += step_s
    store = clocks.store(tmp_path) if is_at_start else store
    for _ in range(5):
        store.prune()
        clocks.wait(STEADY_S / 5)
    assert clips_in(tmp_path) == ["r-0"]
    # Back again, and then forward for good: the clock is right by now.
    clocks.wall_s -= step_s
    store.prune()
    clocks.wait(3 * DAY_S)
    store.prune()
    assert clips_in(tmp_path) == []


def test_what_was_recorded_before_the_clock_was_set_has_no_age(tmp_path: Path) -> None:
    clocks = SetClocks()
    store = clocks.store(tmp_path)
    store.keep(make_clip(0))
    for path in tmp_path.rglob("*r-0.*"):
        os.utime(path, (3600.0, 3600.0))
    store.forget()
    clocks.wait(STEADY_S)
    store.prune()
    assert clips_in(tmp_path) == ["r-0"]


def test_without_an_age_nothing_is_too_old(tmp_path: Path) -> None:
    clock = FakeClock()
    store = ClipStore(section_of(tmp_path, max_age_days=0), clock)
    store.keep(make_clip(0))
    clock.now_s = 1e12
    store.forget()
    store.prune()
    assert clips_in(tmp_path) == ["r-0"]


def test_the_limits_hold_for_what_an_earlier_run_has_left(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    for n in range(10):
        store.keep(make_clip(n, score=n / 10))
    store_of(tmp_path, max_per_label=4).prune()
    assert clips_in(tmp_path) == ["r-6", "r-7", "r-8", "r-9"]


def test_the_same_sound_again_replaces_its_clip(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    store.keep(make_clip(0))
    store.keep(make_clip(0))
    assert clips_in(tmp_path) == ["r-0"]
    assert 0 <= store.n_bytes - size_of(tmp_path) <= RECORD_BYTES * len(clips_in(tmp_path))


def test_files_of_others_and_accepted_clips_are_neither_counted_nor_removed(tmp_path: Path) -> None:
    store = store_of(tmp_path, max_per_label=1)
    store.keep(make_clip(0, "accepted"))
    assert clips_in(tmp_path / "_accepted") == ["r-0"]
    others = ["notes.txt", "dog/mine.flac", "dog/mine.json", f"accepted/dog/{stem_of(make_clip(7).record)}.flac"]
    for name in others:
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(bytes(2**21))
    store = store_of(tmp_path, max_per_label=1, max_mib=1)
    store.prune()
    store.keep(make_clip(1))
    store.keep(make_clip(2))
    assert all((tmp_path / name).exists() for name in others)
    assert len(list((tmp_path / "dog").iterdir())) == 4


def test_a_record_that_a_crash_left_without_audio_is_removed_in_time(tmp_path: Path) -> None:
    store_of(tmp_path).keep(make_clip(0))
    (audio,) = tmp_path.rglob("*.flac")
    audio.unlink()
    store_of(tmp_path).prune()
    (record,) = tmp_path.rglob("*.json")
    os.utime(record, (0, 0))
    store_of(tmp_path).prune()
    assert not record.exists()


def test_clips_that_somebody_removes_meanwhile_are_no_failure(tmp_path: Path) -> None:
    store = store_of(tmp_path, max_per_label=2)
    for n in range(2):
        store.keep(make_clip(n))
    for path in tmp_path.rglob("*.*"):
        path.unlink()
    store.keep(make_clip(2))
    assert clips_in(tmp_path) == ["r-2"]


def test_a_new_directory_is_closed_to_others_and_its_folders_are_as_open_as_it_is(tmp_path: Path) -> None:
    closed, opened = tmp_path / "a" / "closed", tmp_path / "opened"
    opened.mkdir()
    opened.chmod(0o750)
    for folder in (closed, opened):
        store_of(folder).keep(make_clip(0, kind="near_miss"))
    modes = [stat.S_IMODE((folder / "near_misses" / "dog").stat().st_mode) for folder in (closed, opened)]
    assert modes == [0o700, 0o750]
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@pytest.fixture
def memory_folder() -> Iterator[Path]:
    """A folder in memory, if there is one: most disks need a minute for so many files."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@pytest.mark.slow
def test_a_hundred_thousand_clips_are_read_within_two_seconds(memory_folder: Path) -> None:
    folder = memory_folder / "clips"
    for label in ("dog", "glass"):
        (folder / label).mkdir(parents=True)
        for n in range(50_000):
            stem = f"{stem_of(make_clip(0).record)}{n}"
            for suffix in (".flac", ".json"):
                os.mknod(f"{folder}/{label}/{stem}{suffix}", 0o600 | stat.S_IFREG)
    store = store_of(folder, max_per_label=100_000)
    # Time of the processor: other tests may use the same one.
    started_s = time.thread_time()
    store.prune()
    store.keep(make_clip(0, "new"))
    assert time.thread_time() - started_s < START_LIMIT_S
    assert [len(list(path.iterdir())) for path in sorted(folder.iterdir())] == [100_000, 100_000, 2]
