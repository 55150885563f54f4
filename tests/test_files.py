from __future__ import annotations

import contextlib
import os
import socket
import sys
from pathlib import Path

import pytest

from streamgmm.errors import DataError, InputMissingError, PermissionDeniedError
from streamgmm.files import read_regular

posix_only = pytest.mark.skipif(os.name != "posix", reason="these kinds of file exist on POSIX")


def test_reads_all_of_a_file_up_to_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x\r\n\0y")
    assert read_regular(path, 5) == b"x\r\n\0y"
    with pytest.raises(DataError, match="is larger than 4 bytes"):
        read_regular(path, 4)


def test_a_huge_sparse_file_is_refused_by_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "f"
    with path.open("wb") as file:
        file.truncate(10 * 2**30)
    with pytest.raises(DataError, match="is larger than 1000 bytes"):
        read_regular(path, 1000)


@pytest.mark.parametrize(("name", "says"), [("missing", "no such file"), (".", "is a directory"), ("a\0b", "null")])
def test_C1_missing_names_are_told_with_their_path(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(InputMissingError, match=says) as caught:
        read_regular(tmp_path / name, 10)
    assert caught.value.where == str(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_C1_an_overlong_name_is_an_error_of_the_input(tmp_path: Path) -> None:
    with pytest.raises(InputMissingError, match="cannot be opened"):
        read_regular(tmp_path / ("x" * 300), 10)


@posix_only
def test_C1_an_unreadable_file_is_a_matter_of_permission(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.touch(mode=0)
    user = os.geteuid()
    if user == 0:  # root may read everything
        os.seteuid(65534)
    try:
        with pytest.raises(PermissionDeniedError):
            read_regular(path, 10)
    finally:
        os.seteuid(user)


def test_C1_a_refusal_by_the_system_is_a_matter_of_permission(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionDeniedError) as caught:
        read_regular(tmp_path / "f", 10)
    assert caught.value.exit_code == 77


@posix_only
@pytest.mark.timeout(10)
def test_C11_a_pipe_without_a_writer_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="not a regular file"):
        read_regular(tmp_path / "pipe", 10)


@posix_only
@pytest.mark.timeout(10)
def test_C11_endless_devices_are_refused() -> None:
    with pytest.raises(DataError, match="not a regular file"):
        read_regular(Path("/dev/zero"), 10)


@posix_only
def test_C11_a_socket_is_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        with pytest.raises(InputMissingError):
            read_regular(tmp_path / "s", 10)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux")
def test_C11_a_file_that_claims_to_be_regular_but_fails_to_read() -> None:
    with pytest.raises(InputMissingError, match="cannot be read"):
        read_regular(Path("/proc/self/mem"), 10)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"123")
    before = os.dup(0)
    os.close(before)
    for name, limit in (("f", 3), ("f", 2), (".", 1)):
        with contextlib.suppress(DataError, InputMissingError):
            read_regular(tmp_path / name, limit)
    after = os.dup(0)
    os.close(after)
    assert after == before
