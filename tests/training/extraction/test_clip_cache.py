from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from streamgmm.dataset.dataset import read_dataset
from streamgmm.errors import DataError
from streamgmm.labels import BACKGROUND
from streamgmm.model.file import save_model
from streamgmm.training.extraction import clip_cache as module
from streamgmm.training.extraction import extraction
from streamgmm.training.extraction.clip_vectors import ClipVectors
from streamgmm.training.extraction.extraction import extract_clips
from streamgmm.training.extraction.task import ExtractionTask
from streamgmm.training.trainer import make_task, train
from tests.narrowing import present
from tests.training.training_rig import config_with, quick_config, write_sounds

LABELS = ("footsteps", "phone_ring")
COPIES = {"n_speed_copies": 1, "n_noise_copies": 1, "n_context_copies": 1, "world": False, "cache": True}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return read_dataset(write_sounds(tmp_path_factory.mktemp("sounds"), LABELS, n_clips=2))


@pytest.fixture
def task(dataset) -> ExtractionTask:
    return make_task(dataset, config_with(**COPIES))


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of the clips, which does not exist yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "streamgmm" / "clips"


@pytest.fixture
def n_measured(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Returns how many clips were measured since it was last asked."""
    measured: list[object] = []
    measure = extraction._extract_clip

    def counted(clip, *arguments):
        measured.append(clip)
        return measure(clip, *arguments)

    def count() -> int:
        n = len(measured)
        measured.clear()
        return n

    monkeypatch.setattr(extraction, "_extract_clip", counted)
    return count


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def assert_same(some: list[ClipVectors], others: list[ClipVectors]) -> None:
    assert [one.clip for one in some] == [one.clip for one in others]
    for one, other in zip(some, others, strict=True):
        assert one.cepstra is not None
        assert other.cepstra is not None
        for left, right in [
            *zip((one.vectors, one.copies, one.votes), (other.vectors, other.copies, other.votes), strict=True),
            *zip(one.cepstra, other.cepstra, strict=True),
            *((getattr(one.contexts[0], name), getattr(other.contexts[0], name)) for name in ("vectors", "covers")),
        ]:
            np.testing.assert_array_equal(left, right)
            assert left.flags.c_contiguous == right.flags.c_contiguous


def test_a_second_training_measures_nothing_and_has_the_same_bits(dataset, task, n_measured):
    first = extract_clips(dataset.clips, task).clips
    assert n_measured() == 4
    again = extract_clips(dataset.clips, task).clips
    assert n_measured() == 0
    assert_same(first, again)


def test_no_name_is_kept_and_one_that_is_not_utf8_does_no_harm(dataset, task, folder, n_measured):
    names = {"path": Path(os.fsdecode(b"/private/\xfc.wav")), "source_id": os.fsdecode(b"\xfc"), "fold": "private"}
    clips = [msgspec.structs.replace(clip, **names) for clip in dataset.clips[:1]]
    vectors = extract_clips(dataset.clips[:1], task).clips[0]
    cache = present(module.clip_cache(task))
    assert cache.write([vectors._replace(clip=clips[0])]).problem == ""
    assert present(cache.read(clips[0])).clip == clips[0]
    assert all(b"private" not in path.read_bytes() for path in files_in(folder))
    assert n_measured() == 1


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_model_has_the_same_bytes_from_a_cold_cache_a_warm_one_and_none(dataset, tmp_path, folder, n_jobs):
    for name, is_cached in (("none", False), ("cold", True), ("warm", True)):
        config = quick_config(n_jobs=n_jobs, cache=is_cached, n_context_copies=1)
        save_model(train(dataset, config, name="a").model, tmp_path / f"{name}.sgm")
        assert folder.exists() == is_cached
    assert len({path.read_bytes() for path in tmp_path.glob("*.sgm")}) == 1


def test_clips_that_were_all_measured_start_no_process(dataset, task, monkeypatch):
    first = extract_clips(dataset.clips, task).clips
    monkeypatch.setattr("multiprocessing.context.SpawnProcess.start", None)
    both = msgspec.structs.replace(task, training=msgspec.structs.replace(task.training, n_jobs=2))
    assert_same(first, extract_clips(dataset.clips, both).clips)


def test_clips_of_which_some_were_measured_stay_in_order(dataset, task, n_measured):
    extract_clips(dataset.clips[1:3], task)
    assert n_measured() == 2
    assert [clip.clip for clip in extract_clips(dataset.clips, task).clips] == dataset.clips
    assert n_measured() == 2


def test_another_number_of_clips_finds_those_that_are_there(dataset, task, n_measured, monkeypatch):
    extract_clips(dataset.clips[:3], task)
    assert n_measured() == 3
    monkeypatch.setattr(extraction, "MAX_EXTRACTED_WINDOWS", 8)
    few = extract_clips(dataset.clips, task).clips
    assert n_measured() == 1
    assert max(len(clip.vectors) for clip in few) == 2
    uncached = msgspec.structs.replace(task, training=msgspec.structs.replace(task.training, cache=False))
    assert_same(few, extract_clips(dataset.clips, uncached).clips)


def test_a_clip_is_known_by_its_sound_and_not_by_its_name_or_label(dataset, task, n_measured):
    extract_clips(dataset.clips[:1], task)
    other = msgspec.structs.replace(dataset.clips[0], path=Path("moved.wav"), label="knocking", source_id="b")
    (found,) = extract_clips([other], task).clips
    assert found.clip == other
    assert n_measured() == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"label": BACKGROUND},
        {"onset_s": 0.1, "offset_s": 1.5},
        {"content_sha256": 64 * "0"},
        {"sample_rate_hz": 8001},
    ],
)
def test_another_sound_span_or_kind_is_measured(dataset, task, n_measured, changes):
    extract_clips(dataset.clips[:1], task)
    extract_clips([msgspec.structs.replace(dataset.clips[0], **changes)], task)
    assert n_measured() == 2


@pytest.mark.parametrize(
    "setting",
    [
        {"seed": 1},
        {"n_speed_copies": 2},
        {"n_noise_copies": 0},
        {"n_context_copies": 2},
        {"world": True},
        {"rooms": False},
        {"cepstra": "never"},
        {"without": ["tonality"]},
    ],
)
def test_other_settings_of_the_training_are_measured(dataset, task, n_measured, setting):
    extract_clips(dataset.clips[:1], task)
    training = msgspec.structs.replace(task.training, **setting)
    extract_clips(dataset.clips[:1], msgspec.structs.replace(task, training=training))
    assert n_measured() == 2


def test_another_task_is_measured(dataset, task, n_measured):
    others = [
        {"spec": msgspec.structs.replace(task.spec, window_s=0.5)},
        {"channel": 0},
        {"silence_gate_dbfs": -50.0},
        {"backgrounds": (dataset.clips[1],)},
    ]
    for changes in [{}, *others]:
        extract_clips(dataset.clips[:1], msgspec.structs.replace(task, **changes))
    assert n_measured() == 5


def test_settings_that_change_no_vector_are_not_looked_at(dataset, task, n_measured):
    extract_clips(dataset.clips[:1], task)
    training = msgspec.structs.replace(task.training, n_principal=3, refinement=False, search=False, cepstra="always")
    extract_clips(dataset.clips[:1], msgspec.structs.replace(task, training=training))
    assert n_measured() == 1


def test_other_code_measures_again(dataset, task, n_measured, monkeypatch):
    extract_clips(dataset.clips[:1], task)
    monkeypatch.setattr(module, "code_sha256", lambda: "other")
    extract_clips(dataset.clips[:1], task)
    assert n_measured() == 2


def test_a_world_that_cannot_be_read_is_no_error(dataset, task, monkeypatch):
    def broken():
        raise DataError("the sounds of the world cannot be read")

    monkeypatch.setattr(module, "read_index", broken)
    training = msgspec.structs.replace(task.training, world=True, n_context_copies=0)
    assert extract_clips(dataset.clips[:1], msgspec.structs.replace(task, training=training)).clips


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-10], lambda data: b"", lambda data: data[:99] + b"x" + data[100:]]
)
def test_a_damaged_file_is_measured_again_and_mended(dataset, task, folder, n_measured, caplog, damage):
    first = extract_clips(dataset.clips[:1], task).clips
    (path,) = files_in(folder)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert_same(first, extract_clips(dataset.clips[:1], task).clips)
    assert n_measured() == 2
    assert path.read_bytes() == whole
    assert caplog.records == []


def test_a_cache_that_cannot_be_written_is_reported_once_and_only_costs_time(dataset, task, tmp_path, caplog):
    (tmp_path / "streamgmm").write_text("")
    assert len(extract_clips(dataset.clips, task).clips) == 4
    (record,) = caplog.records
    assert record.getMessage().startswith("cannot keep measured clips for the next training in ")


def test_a_full_disk_is_reported_once_and_leaves_no_part_of_a_file(dataset, task, folder, monkeypatch, caplog):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("streamgmm.files.Path.replace", lambda *_: full(0))
    assert len(extract_clips(dataset.clips, task).clips) == 4
    assert files_in(folder) == []
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == ["No space left on device"]


def test_without_a_home_nothing_is_kept(dataset, task, monkeypatch, n_measured):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME")
    for _ in range(2):
        assert extract_clips(dataset.clips[:1], task).clips
    assert n_measured() == 2


def test_a_relative_cache_folder_is_ignored(dataset, task, monkeypatch, tmp_path, n_measured):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    for _ in range(2):
        assert extract_clips(dataset.clips[:1], task).clips
    assert n_measured() == 2
    assert not (tmp_path / "relative").exists()


def test_a_folder_in_place_of_a_file_is_named_and_only_costs_time(dataset, task, folder, caplog):
    extract_clips(dataset.clips[:1], task)
    (path,) = files_in(folder)
    path.unlink()
    path.mkdir()
    assert extract_clips(dataset.clips[:1], task).clips
    (record,) = caplog.records
    assert f"{path.name} is a folder, which has to be removed" in record.getMessage()


def test_the_least_recently_used_are_removed_first(dataset, task, folder, monkeypatch, n_measured):
    extract_clips(dataset.clips[:3], task)
    for path in files_in(folder):
        os.utime(path, (1, 1))
    extract_clips([dataset.clips[0], dataset.clips[2]], task)
    monkeypatch.setattr(module, "MAX_BYTES", sum(path.stat().st_size for path in files_in(folder)) - 1)
    present(module.clip_cache(task)).prune()
    assert len(files_in(folder)) == 2
    n_measured()
    extract_clips([dataset.clips[0], dataset.clips[2]], task)
    assert n_measured() == 0


def test_a_set_beyond_the_limit_is_measured_anew_only_as_far_as_it_exceeds_it(
    dataset, task, folder, monkeypatch, n_measured
):
    first, second, third = dataset.clips[:3]
    extract_clips([first, second], task)
    # Room for these two alone.
    monkeypatch.setattr(module, "MAX_BYTES", sum(path.stat().st_size for path in files_in(folder)))
    for _ in range(2):
        n_measured()
        extract_clips([first, second, third], task)
        assert n_measured() == 1
    # For another process they are as old as any.
    monkeypatch.setattr(module, "_STARTED_NS", time.time_ns())
    extract_clips([third], task)
    n_measured()
    extract_clips([third], task)
    assert n_measured() == 0


def test_a_long_training_is_bounded_while_it_lasts(dataset, task, folder, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 1)
    monkeypatch.setattr(module, "MAX_NEW_BYTES", 1)
    seen: list[int] = []

    def track(items, description, total):
        for item in items:
            seen.append(len(files_in(folder)))
            yield item

    extract_clips(dataset.clips, task, track)
    assert max(seen) <= 1
    assert files_in(folder) == []


def test_a_clip_that_is_too_large_is_measured_each_time(dataset, task, folder, monkeypatch, n_measured):
    monkeypatch.setattr(module, "MAX_CLIP_BYTES", 1000)
    for _ in range(2):
        extract_clips(dataset.clips[:1], task)
    assert n_measured() == 2
    assert files_in(folder) == []
