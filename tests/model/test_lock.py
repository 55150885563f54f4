from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from streamgmm.errors import CannotCreateError, StreamgmmError
from streamgmm.model.lock import lock_path, model_lock
from tests.narrowing import present

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs flock")

HOLD = """
import sys
from pathlib import Path
from streamgmm.model.lock import model_lock
with model_lock(Path(sys.argv[1]), print):
    print("has it", flush=True)
    sys.stdin.readline()
"""

ADD = """
import sys
from pathlib import Path
from streamgmm.model.lock import model_lock
path = Path(sys.argv[1])
for _ in range(50):
    with model_lock(path, lambda line: None):
        number = int(path.read_text())
        path.write_text(str(number + 1))
"""


def hold(path: Path) -> subprocess.Popen[str]:
    """A process that has the lock until it may read a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert present(process.stdout).readline() == "has it\n"
    return process


def never(line: str) -> None:
    pytest.fail(line)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "my.sgm"


def test_a_lock_leaves_nothing_behind(path: Path) -> None:
    for _ in range(2):
        with model_lock(path, never):
            assert lock_path(path).read_text() == f"{os.getpid()}\n"
        assert list(path.parent.iterdir()) == []


def test_a_second_process_waits_and_is_told_for_whom(path: Path) -> None:
    holder = hold(path)
    told, lines = threading.Event(), []

    def note(line: str) -> None:
        lines.append(line)
        told.set()

    def release() -> None:
        told.wait()
        holder.communicate("\n")

    releaser = threading.Thread(target=release)
    releaser.start()
    with model_lock(path, note):
        assert holder.poll() is not None or not lock_path(path).exists() or lock_path(path).read_text()
    releaser.join()
    assert lines == [f"{lock_path(path)}: waiting for process {holder.pid}, which changes the model"]
    assert list(path.parent.iterdir()) == []


def test_D16_of_many_changes_by_several_processes_none_is_lost(path: Path) -> None:
    path.write_text("0")
    processes = [subprocess.Popen([sys.executable, "-c", ADD, path]) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4
    assert path.read_text() == "200"
    assert list(path.parent.iterdir()) == [path]


def test_D16_the_lock_of_a_killed_process_locks_nobody_out(path: Path) -> None:
    holder = hold(path)
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    assert lock_path(path).exists()
    with model_lock(path, never):
        pass
    assert not lock_path(path).exists()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff\xfe", b"1\n", b"9" * 1000])
def test_a_stale_file_of_any_content_is_taken_over(path: Path, content: bytes) -> None:
    lock_path(path).write_bytes(content)
    with model_lock(path, never):
        assert lock_path(path).read_text() == f"{os.getpid()}\n"


@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "dangling link", "device"])
def test_D17_what_is_no_regular_file_is_refused_by_its_name(path: Path, kind: str) -> None:
    place = lock_path(path)
    match kind:
        case "folder":
            place.mkdir()
        case "pipe":
            os.mkfifo(place)
        case "link":
            path.touch()
            place.symlink_to(path)
        case "dangling link":
            place.symlink_to(path.with_name("nowhere"))
        case _:
            try:
                os.mknod(place, 0o600 | 0o020000, os.makedev(1, 3))
            except PermissionError:
                pytest.skip("only root makes devices")
    with pytest.raises(CannotCreateError) as refused, model_lock(path, never):
        pass
    assert (refused.value.where, refused.value.what) == (str(place), "is not a regular file")
    assert os.path.lexists(place)


def test_a_missing_folder_is_refused(path: Path) -> None:
    with pytest.raises(StreamgmmError, match="No such file"), model_lock(path.parent / "no" / "my.sgm", never):
        pass


def test_it_is_released_by_an_exception(path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), model_lock(path, never):
        raise KeyboardInterrupt
    with model_lock(path, never):
        pass
