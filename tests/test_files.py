from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from pathlib import Path

import pytest

from streamgmm import files
from streamgmm.errors import DataError, InputMissingError, PermissionDeniedError
from streamgmm.files import expand_home, read_regular_file, replace_atomically

posix_only = pytest.mark.skipif(os.name != "posix", reason="these kinds of file exist on POSIX")


def test_reads_all_of_a_file_up_to_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x\r\n\0y")
    assert read_regular_file(path, 5) == b"x\r\n\0y"
    with pytest.raises(DataError, match="is larger than 4 bytes"):
        read_regular_file(path, 4)


def test_a_huge_sparse_file_is_refused_by_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "f"
    with path.open("wb") as file:
        file.truncate(10 * 2**30)
    with pytest.raises(DataError, match="is larger than 1000 bytes"):
        read_regular_file(path, 1000)


@pytest.mark.parametrize(("name", "says"), [("missing", "no such file"), (".", "is a directory"), ("a\0b", "null")])
def test_C1_missing_names_are_told_with_their_path(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(InputMissingError, match=says) as caught:
        read_regular_file(tmp_path / name, 10)
    assert caught.value.where == str(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_C1_an_overlong_name_is_an_error_of_the_input(tmp_path: Path) -> None:
    with pytest.raises(InputMissingError, match="cannot be opened"):
        read_regular_file(tmp_path / ("x" * 300), 10)


@posix_only
def test_C1_an_unreadable_file_is_a_matter_of_permission(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.touch(mode=0)
    user = os.geteuid()
    if user == 0:  # root may read everything
        os.seteuid(65534)
    try:
        with pytest.raises(PermissionDeniedError):
            read_regular_file(path, 10)
    finally:
        os.seteuid(user)


def test_C1_a_refusal_by_the_system_is_a_matter_of_permission(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionDeniedError) as caught:
        read_regular_file(tmp_path / "f", 10)
    assert caught.value.exit_code == 77


@posix_only
@pytest.mark.timeout(10)
def test_C11_a_pipe_without_a_writer_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="not a regular file"):
        read_regular_file(tmp_path / "pipe", 10)


@posix_only
@pytest.mark.timeout(10)
def test_C11_endless_devices_are_refused() -> None:
    with pytest.raises(DataError, match="not a regular file"):
        read_regular_file(Path("/dev/zero"), 10)


@posix_only
def test_C11_a_socket_is_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        with pytest.raises(InputMissingError):
            read_regular_file(tmp_path / "s", 10)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux")
def test_C11_a_file_that_claims_to_be_regular_but_fails_to_read() -> None:
    with pytest.raises(InputMissingError, match="cannot be read"):
        read_regular_file(Path("/proc/self/mem"), 10)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"123")
    before = os.dup(0)
    os.close(before)
    for name, limit in (("f", 3), ("f", 2), (".", 1)):
        with contextlib.suppress(DataError, InputMissingError):
            read_regular_file(tmp_path / name, limit)
    after = os.dup(0)
    os.close(after)
    assert after == before


@posix_only
def test_B25_what_a_killed_process_left_is_removed_and_what_another_one_writes_is_not(tmp_path: Path) -> None:
    import fcntl

    target = tmp_path / "m.sgm"
    (abandoned := tmp_path / f".{'0' * 16}.sgm.tmp").write_bytes(b"half a mod")
    (others := tmp_path / f".{'1' * 16}.yaml.tmp").write_bytes(b"half a con")
    (foreign := tmp_path / ".notes.tmp").write_bytes(b"precious")
    (link := tmp_path / f".{'2' * 16}.tmp").symlink_to(foreign)
    with others.open("rb") as writing:
        fcntl.flock(writing, fcntl.LOCK_EX)
        replace_atomically(target, b"whole")
        assert not abandoned.exists()
        assert others.exists()
        assert foreign.read_bytes() == b"precious"
        assert link.is_symlink()
    replace_atomically(target, b"whole again")
    assert not others.exists()
    assert target.read_bytes() == b"whole again"


@posix_only
def test_B27_a_file_that_is_removed_before_it_is_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, n_locked = files._lock_file, 0

    def remove_first(descriptor: int) -> None:
        nonlocal n_locked
        n_locked += 1
        if n_locked == 1:
            next(tmp_path.glob(".*.tmp")).unlink()
        lock(descriptor)

    monkeypatch.setattr(files, "_lock_file", remove_first)
    replace_atomically(tmp_path / "f", b"whole")
    assert n_locked == 2
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


@posix_only
def test_a_file_system_without_locks_is_written_to_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    (somebodys := tmp_path / f".{'0' * 16}.tmp").write_bytes(b"half")
    monkeypatch.setattr(files, "_lock_file", refuse)
    replace_atomically(tmp_path / "f", b"whole")
    assert (tmp_path / "f").read_bytes() == b"whole"
    assert somebodys.exists()


@pytest.mark.skipif(os.name != "posix", reason="asks the list of users")
@pytest.mark.parametrize(
    ("home", "place", "expected"),
    [
        ("/h", "~", "/h"),
        ("/h", "~/x", "/h/x"),
        ("/h", "file:~/x", "file:/h/x"),
        ("/h", "file://~/x", "file:///h/x"),
        ("/h", "unix://~/x", "unix:///h/x"),
        ("/h", "~root/x", "{root}/x"),
        ("/h", "unix://~root/x", "unix://{root}/x"),
        ("/h", "/a/~/x", "/a/~/x"),
        ("/h", "./~/x", "./~/x"),
        ("/h", "x~", "x~"),
        ("/h", "tcp://~:1", "tcp://~:1"),
        ("/h", "", ""),
        (None, "~/x", "{own}/x"),
        ("", "~/x", "{own}/x"),
        ("relative", "~/x", "{own}/x"),
        ("~", "~/x", "{own}/x"),
    ],
)
def test_a_home_directory_is_that_of_the_shell(monkeypatch, home, place, expected):
    import pwd

    monkeypatch.delenv("HOME") if home is None else monkeypatch.setenv("HOME", home)
    own = pwd.getpwuid(os.getuid()).pw_dir
    assert expand_home(place) == expected.format(root=pwd.getpwnam("root").pw_dir, own=own)


@pytest.mark.parametrize("place", ["~nobody9", "~nobody9/x", "file:~nobody9/x", "~+/x", "~\0/x", "unix://~a b/x"])
def test_an_unknown_user_is_refused(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputMissingError, match="there is no user"):
        expand_home(place)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_called_like_an_unknown_user_is_meant_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~lock.wav").touch()
    assert expand_home("~lock.wav") == "~lock.wav"


def test_a_home_that_nobody_knows_is_refused(monkeypatch):
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.getuid", lambda: 4_000_000)
    with pytest.raises(InputMissingError, match="the home directory is not known"):
        expand_home("~/x")
