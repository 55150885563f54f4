from __future__ import annotations

import errno
import os

import pytest

from streamgmm.cli.output_file import check_writable, make_folder, write_json
from streamgmm.errors import CannotCreateError


def test_a_new_file_and_an_old_one_can_be_written(tmp_path):
    check_writable(None)
    path = tmp_path / "r.json"
    for value in ({"a": 1.5}, {"b": ["é"]}):
        check_writable(path)
        write_json(value, path)
    assert path.read_text(encoding="utf-8") == '{\n  "b": [\n    "é"\n  ]\n}\n'
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["folder", "fifo", "link", "missing", "nul"])
def test_what_cannot_be_written_is_refused_in_one_line(tmp_path, kind):
    path = tmp_path / "r.json"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("/dev/null")
    elif kind == "missing":
        path = tmp_path / "no" / "r.json"
    else:
        path = tmp_path / "a\0b" / "r.json"
    with pytest.raises(CannotCreateError) as caught:
        check_writable(path)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 73


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "r.json"
    path.write_text("old")

    def fail(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(CannotCreateError, match="No space left on device"):
        write_json([1], path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_for_results_is_made_once_and_kept(tmp_path):
    make_folder(None)
    make_folder(tmp_path / "page")
    (tmp_path / "page" / "old.html").write_text("old")
    make_folder(tmp_path / "page")
    assert (tmp_path / "page" / "old.html").read_text() == "old"


@pytest.mark.parametrize(("name", "says"), [("file", "is not a folder"), ("no/such", "No such file or directory")])
def test_where_no_folder_can_be_is_refused(tmp_path, name, says):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotCreateError, match=says):
        make_folder(tmp_path / name)
