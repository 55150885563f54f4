from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamgmm.errors import CannotCreateError, ConfigError, PermissionDeniedError
from streamgmm.files import MAX_SOCKET_PATH_BYTES
from streamgmm.sinks.socket.unix import UnixListener


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.sock"


@pytest.fixture
def unix(path: Path) -> Iterator[UnixListener]:
    listener = UnixListener(f"unix://{path}")
    yield listener
    listener.close()


def leave_stale_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


def can_connect(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def test_owner_and_group_may_connect_and_the_umask_is_as_before(unix: UnixListener, path: Path) -> None:
    umask = os.umask(0o022)
    with unix.open():
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert os.umask(umask) == 0o022


def test_close_removes_the_socket(unix: UnixListener, path: Path) -> None:
    with unix.open():
        unix.close()
    assert not path.exists()
    unix.close()


def test_close_leaves_what_another_put_there(unix: UnixListener, path: Path) -> None:
    with unix.open():
        # Kept under another name, so that the new file cannot get the same inode.
        path.rename(path.with_name("moved"))
        path.write_text("not ours")
        unix.close()
    assert path.read_text() == "not ours"


def test_opens_again_after_close(unix: UnixListener, path: Path) -> None:
    for _ in range(2):
        with unix.open():
            assert can_connect(path)
            unix.close()


def test_E1_stale_socket_is_replaced(unix: UnixListener, path: Path) -> None:
    leave_stale_socket(path)
    with unix.open():
        assert can_connect(path)


def test_E2_second_instance_is_refused_and_told_the_pid(unix: UnixListener, path: Path) -> None:
    with unix.open():
        with pytest.raises(CannotCreateError, match=rf"in use by process {os.getpid()}\b") as caught:
            UnixListener(f"unix://{path}").open()
        assert caught.value.exit_code == 73
        assert str(path) in str(caught.value)
        assert can_connect(path)


def test_E2_live_listener_without_lock_is_left_alone(unix: UnixListener, path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen(1)
        with pytest.raises(CannotCreateError, match="another program listens there"):
            unix.open()
        assert can_connect(path)


def test_E2_live_listener_with_a_full_backlog_does_not_hang_the_probe(unix: UnixListener, path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other, socket.socket(socket.AF_UNIX) as client:
        other.bind(str(path))
        other.listen(0)
        client.connect(str(path))
        with pytest.raises(CannotCreateError, match="another program listens there"):
            unix.open()


@pytest.mark.parametrize("kind", ["file", "directory", "symlink", "fifo"])
def test_E3_what_is_no_socket_is_never_removed(unix: UnixListener, path: Path, tmp_path: Path, kind: str) -> None:
    target = tmp_path / "target"
    leave_stale_socket(target)
    make: dict[str, Callable[[], object]] = {
        "file": lambda: path.write_text("precious"),
        "directory": path.mkdir,
        "symlink": lambda: path.symlink_to(target),
        "fifo": lambda: os.mkfifo(path),
    }
    make[kind]()
    before = path.lstat()
    with pytest.raises(CannotCreateError, match="not a socket") as caught:
        unix.open()
    assert caught.value.exit_code == 73
    assert path.lstat() == before
    assert target.exists()
    assert not path.with_name(path.name + ".lock").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_E3_socket_of_another_user_is_never_removed(unix: UnixListener, path: Path) -> None:
    leave_stale_socket(path)
    os.chown(path, 12345, 12345)
    with pytest.raises(CannotCreateError, match="uid 12345"):
        unix.open()
    assert path.exists()


def test_a_refusal_lets_go_of_the_lock(unix: UnixListener, path: Path) -> None:
    path.write_text("in the way")
    with pytest.raises(CannotCreateError):
        unix.open()
    path.unlink()
    with unix.open():
        assert can_connect(path)


def test_lock_file_that_is_a_symlink_is_not_followed(unix: UnixListener, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "events.sock.lock").symlink_to(victim)
    with pytest.raises(CannotCreateError, match=r"events\.sock\.lock"):
        unix.open()
    assert victim.read_text() == "precious"


OTHER_KINDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "is a pipe"),
    "folder": (Path.mkdir, "is a folder"),
    "link": (lambda lock: lock.symlink_to("x"), "is a symbolic link"),
    "link_in_a_circle": (lambda lock: lock.symlink_to(lock), "is a symbolic link"),
    "socket": (leave_stale_socket, "is a socket"),
    "text": (lambda lock: lock.write_text("dear diary"), "holds something else"),
    "big_number": (lambda lock: lock.write_text("1" * 100), "holds something else"),
}


@pytest.mark.parametrize(("leave", "reason"), OTHER_KINDS.values(), ids=OTHER_KINDS)
def test_E32_what_lies_in_the_place_of_the_lock_file_is_named_and_stays(
    unix: UnixListener, path: Path, leave: Callable[[Path], object], reason: str
) -> None:
    lock = path.with_name(path.name + ".lock")
    leave(lock)
    before = lock.lstat()
    with pytest.raises(CannotCreateError, match=rf"events\.sock\.lock: {reason}") as caught:
        unix.open()
    assert caught.value.exit_code == 73
    after = lock.lstat()
    assert (after.st_ino, after.st_mode, after.st_size) == (before.st_ino, before.st_mode, before.st_size)
    assert not path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_in_the_place_of_the_lock_file_is_never_opened(unix: UnixListener, path: Path) -> None:
    lock = path.with_name(path.name + ".lock")
    try:
        os.mknod(lock, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("this container makes no devices")
    with pytest.raises(CannotCreateError, match=r"lock: is a device"):
        unix.open()


@pytest.mark.parametrize("left", [b"", b"4242\n", b"\0" * 12], ids=["empty", "pid", "zeros"])
def test_a_lock_file_that_a_crash_left_is_taken_over(unix: UnixListener, path: Path, left: bytes) -> None:
    lock = path.with_name(path.name + ".lock")
    lock.write_bytes(left)
    with unix.open():
        assert lock.read_text() == f"{os.getpid()}\n"


def test_E4_longest_path_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = "s" * MAX_SOCKET_PATH_BYTES
    listener = UnixListener(f"unix://{name}")
    with listener.open():
        assert can_connect(Path(name))
        listener.close()


def test_E4_longer_path_is_refused_with_both_lengths() -> None:
    # Counted in bytes: each of these letters has two.
    with pytest.raises(ConfigError, match=r"at most 107 bytes, this one 108") as caught:
        UnixListener("unix:///" + "é" * 53 + "s")
    assert caught.value.exit_code == 78


@pytest.mark.parametrize("uri", ["unix://", "unix:///", "unix:///run/", "unix://.", "unix:///a\0b", "unix:///\ud800"])
def test_uri_without_a_file_name_is_refused(uri: str) -> None:
    with pytest.raises(ConfigError, match="unix://PATH"):
        UnixListener(uri)


def test_E5_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(CannotCreateError, match="the directory does not exist") as caught:
        UnixListener(f"unix://{tmp_path}/missing/below/s").open()
    assert caught.value.exit_code == 73
    assert str(tmp_path / "missing") in str(caught.value)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_E5_a_directory_of_its_own_is_made_for_owner_and_group(tmp_path: Path, umask: int) -> None:
    directory = tmp_path / "streamgmm"
    listener = UnixListener(f"unix://{directory}/s")
    before = os.umask(umask)
    try:
        with listener.open():
            assert stat.S_IMODE(directory.stat().st_mode) == 0o750
            assert stat.S_IMODE((directory / "s").stat().st_mode) == 0o660
            listener.close()
    finally:
        os.umask(before)


def test_E5_a_directory_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    (directory := tmp_path / "run").mkdir(mode=0o700)
    listener = UnixListener(f"unix://{directory}/s")
    with listener.open():
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        listener.close()


@pytest.mark.parametrize("what", ["the socket", "its directory"])
def test_E6_a_socket_that_was_removed_is_missed_and_can_be_had_again(tmp_path: Path, what: str) -> None:
    path = tmp_path / "run" / "s"
    listener = UnixListener(f"unix://{path}")
    with listener.open() as server:
        assert listener.is_in_place()
        path.unlink() if what == "the socket" else shutil.rmtree(path.parent)
        assert not listener.is_in_place()
        listener.close()
        with listener.open() as fresh:
            assert can_connect(path)
            assert server.fileno() != fresh.fileno()
            listener.close()


def test_E6_what_another_program_put_there_is_not_taken_for_the_own_socket(unix: UnixListener, path: Path) -> None:
    with unix.open(), socket.socket(socket.AF_UNIX) as other:
        path.unlink()
        other.bind(str(path))
        other.listen(1)
        assert not unix.is_in_place()
        unix.close()
        with pytest.raises(CannotCreateError, match="another program listens there"):
            unix.open()
        assert can_connect(path)


def test_E5_directory_that_is_not_writable_is_named(unix: UnixListener, path: Path) -> None:
    path.parent.chmod(0o500)
    is_root = os.geteuid() == 0
    if is_root:
        # Root may write anywhere; nobody may not.
        os.seteuid(65534)
    try:
        with pytest.raises(PermissionDeniedError, match="Permission denied") as caught:
            unix.open()
    finally:
        if is_root:
            os.seteuid(0)
        path.parent.chmod(0o700)
    assert caught.value.exit_code == 77
    assert str(path) in str(caught.value)


def test_peer_is_known_by_process_and_user(unix: UnixListener, path: Path) -> None:
    with unix.open() as server, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        connection, _ = server.accept()
        with connection:
            assert unix.peer_of(connection) == f"pid:{os.getpid()},uid:{os.geteuid()}"
