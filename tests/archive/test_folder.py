from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest

from streamgmm.archive.folder import MANIFEST_NAME, ArchiveFolder, fingerprint_of, make_manifest
from streamgmm.errors import CannotCreateError, DataError, InputMissingError, OutputError, UsageError
from streamgmm.listening.events import Detection
from streamgmm.model.shipped import load_shipped_model
from streamgmm.settings.config import Config
from tests.cluster_rig import require_cluster

BARK = Detection("dog_bark", 3600.5, 3601.25, 3601.0, 0.75)
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path) -> ArchiveFolder:
    require_cluster()
    folder = ArchiveFolder(tmp_path / "out")
    folder.prepare(manifest())
    return folder


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "a b\udcff.wav"
    path.write_bytes(b"sound")
    return path


def manifest(**changes):
    return msgspec.structs.replace(make_manifest(load_shipped_model(), Config(), None), **changes)


def rows(folder: ArchiveFolder) -> list[dict[str, Any]]:
    return [row for table in folder.tables() for row in table.to_pylist()]


def test_rows_come_back_with_the_time_of_day(folder, recording):
    folder.write(recording, fingerprint_of(recording), [BARK], NOON)
    (row,) = rows(folder)
    assert row["path"] == str(recording).replace("\udcff", "\\udcff")
    assert (row["onset_s"], row["offset_s"], row["label"], row["score"]) == (3600.5, 3601.25, "dog_bark", 0.75)
    assert row["onset_time"] == datetime(2026, 1, 31, 13, 0, 0, 500000, tzinfo=UTC)


def test_without_events_a_file_without_rows_marks_the_recording_as_finished(folder, recording):
    assert not folder.is_finished(recording, fingerprint_of(recording))
    folder.write(recording, fingerprint_of(recording), [], None)
    assert folder.is_finished(recording, fingerprint_of(recording))
    assert rows(folder) == []


def test_all_files_are_one_table_for_other_programs(folder, recording, tmp_path):
    import pyarrow.parquet

    other = tmp_path / "_other.wav"
    other.write_bytes(b"")
    folder.write(recording, fingerprint_of(recording), [], None)
    folder.write(other, fingerprint_of(other), [BARK, BARK], None)
    table = pyarrow.parquet.read_table(folder.root)
    assert table.column_names == ["path", "onset_s", "offset_s", "label", "score", "onset_time"]
    assert table["onset_time"].null_count == table.num_rows == 2


def test_a_changed_recording_is_not_finished_and_replaces_its_rows(folder, recording):
    folder.write(recording, fingerprint_of(recording), [BARK, BARK], None)
    recording.write_bytes(b"other sound")
    assert not folder.is_finished(recording, fingerprint_of(recording))
    folder.write(recording, fingerprint_of(recording), [BARK], None)
    assert len(rows(folder)) == 1


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 20])
def test_G11_a_damaged_file_is_not_finished_and_named(folder, recording, content):
    folder.write(recording, fingerprint_of(recording), [BARK], None)
    folder.file_of(recording).write_bytes(content)
    assert not folder.is_finished(recording, fingerprint_of(recording))
    with pytest.raises(DataError, match=r"parquet: is damaged"):
        rows(folder)


def test_two_recordings_of_one_name_have_files_of_their_own(folder, tmp_path):
    assert folder.file_of(tmp_path / "a" / "x.wav") != folder.file_of(tmp_path / "b" / "x.wav")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"sha256": "0" * 64}, "another model: "),
        ({"start_time": "2026-01-31T12:00:00+00:00"}, "another start time: none, not 2026"),
        ({"settings": {"channel": 1}}, "another setting of channel"),
        ({"version": "9"}, "another version: "),
    ],
)
def test_G10_the_archive_of_another_model_or_other_settings_is_refused(folder, recording, changes, named):
    folder.write(recording, fingerprint_of(recording), [BARK], None)
    folder.prepare(manifest())
    with pytest.raises(CannotCreateError, match=named):
        folder.prepare(manifest(**changes))


def test_G10_a_folder_of_something_else_is_refused(tmp_path):
    require_cluster()
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(CannotCreateError, match=f"is not empty and no archive: it has no {MANIFEST_NAME}"):
        ArchiveFolder(tmp_path).prepare(manifest())
    with pytest.raises(CannotCreateError, match="cannot be written"):
        ArchiveFolder(tmp_path / "letter.txt").prepare(manifest())


def test_G10_a_run_that_labelled_nothing_leaves_room_for_another_model(folder):
    folder.prepare(manifest(sha256="0" * 64))
    assert folder.manifest().sha256 == "0" * 64


def test_a_damaged_manifest_is_named(folder, recording):
    folder.write(recording, fingerprint_of(recording), [BARK], None)
    (folder.root / MANIFEST_NAME).write_text("{")
    with pytest.raises(DataError, match="is not the manifest of an archive"):
        folder.prepare(manifest())


def test_a_recording_is_the_same_whichever_links_lead_to_it(folder, recording, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "other.wav").symlink_to(recording)
    folder.write(recording, fingerprint_of(recording), [BARK], None)
    for name in (tmp_path / "link" / recording.name, tmp_path / "other.wav", tmp_path / "link" / ".." / recording):
        assert folder.is_finished(name, fingerprint_of(name))
        folder.write(name, fingerprint_of(name), [BARK], None)
    assert len(rows(folder)) == 1


def _damage_data(file):
    content = bytearray(file.read_bytes())
    content[8:60] = bytes(52)
    file.write_bytes(content)


def _replace_by_pipe(file):
    file.unlink()
    os.mkfifo(file)


def _write_other_columns(file):
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"foo": [1, 2, 3]}), file)


def _write_gaps(file):
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(file, partitioning=None)
    gap = pyarrow.array([None] * len(table), pyarrow.string())
    at = table.schema.get_field_index("label")
    pyarrow.parquet.write_table(table.set_column(at, table.schema.field(at), gap), file)


def _flip_in_the_middle(file):
    content = bytearray(file.read_bytes())
    content[24] ^= 0xFF
    file.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [_damage_data, _flip_in_the_middle, _replace_by_pipe, _write_other_columns, _write_gaps],
    ids=lambda function: function.__name__.strip("_"),
)
def test_G11_rows_that_cannot_be_read_are_named_and_written_again(folder, recording, damage):
    folder.write(recording, fingerprint_of(recording), [BARK], None)
    file = folder.file_of(recording)
    damage(file)
    assert not folder.is_finished(recording, fingerprint_of(recording))
    with pytest.raises(DataError) as named:
        rows(folder)
    assert (named.value.where, named.value.hint) == (str(file), "remove it, and start the same `classify` again")
    folder.write(recording, fingerprint_of(recording), [BARK], None)
    assert folder.is_finished(recording, fingerprint_of(recording))
    assert len(rows(folder)) == 1


def test_G11_rows_of_a_file_with_a_flipped_bit_are_those_that_were_written_or_named(folder, recording):
    folder.write(recording, fingerprint_of(recording), [BARK], NOON)
    file, written = folder.file_of(recording), rows(folder)
    content = file.read_bytes()
    rng, n_named = np.random.default_rng(0), 0
    for place in rng.choice(8 * len(content), 600, replace=False).tolist():
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        file.write_bytes(damaged)
        try:
            assert rows(folder) == written
        except DataError:
            n_named += 1
            assert not folder.is_finished(recording, fingerprint_of(recording))
    assert n_named > 300


def test_a_full_disk_is_reported_and_leaves_nothing_half_written(folder, recording, monkeypatch):
    folder.write(recording, fingerprint_of(recording), [BARK], None)
    before = sorted(folder.root.rglob("*"))

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("streamgmm.files.os.fsync", full)
    with pytest.raises(OutputError, match=r"No space left on device \(what is finished is kept: make room"):
        folder.write(recording, fingerprint_of(recording), [], None)
    assert sorted(folder.root.rglob("*")) == before
    assert len(rows(folder)) == 1


def test_a_missing_recording_is_named(tmp_path):
    with pytest.raises(InputMissingError, match="no such file"):
        fingerprint_of(tmp_path / "a.wav")


def test_the_library_that_is_missing_is_named(monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r'pip install "streamgmm\[cluster\]"'):
        ArchiveFolder(tmp_path)
