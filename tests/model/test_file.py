from __future__ import annotations

import errno
import os
import resource
import signal
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from streamgmm.errors import (
    CannotCreateError,
    InputMissingError,
    OutputError,
    PermissionDeniedError,
    StreamgmmError,
    UsageError,
)
from streamgmm.model.file import ModelError, load_model, save_model
from streamgmm.model.header import MAX_MODEL_BYTES
from streamgmm.model.writer import model_bytes
from tests.model.model_rig import make_model


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    saved = save_model(make_model(), tmp_path / "yard.sgm")
    loaded = load_model(tmp_path / "yard.sgm")
    assert loaded.sha256 == saved.sha256
    assert len(saved.sha256) == 64
    assert names_in(tmp_path) == ["yard.sgm"]
    assert (tmp_path / "yard.sgm").read_bytes() == model_bytes(make_model())


def test_D1_a_missing_model_is_no_input(tmp_path: Path) -> None:
    with pytest.raises(InputMissingError, match="no such") as caught:
        load_model(tmp_path / "yard.sgm")
    assert caught.value.exit_code == 66
    with pytest.raises(InputMissingError):
        load_model("a\0b.sgm")


def test_D1_an_empty_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "yard.sgm").touch()
    with pytest.raises(ModelError, match="at byte 0") as caught:
        load_model(tmp_path / "yard.sgm")
    assert caught.value.reason == "truncated"


def test_C11_only_regular_files_are_opened(tmp_path: Path) -> None:
    save_model(make_model(), tmp_path / "yard.sgm")
    (tmp_path / "link.sgm").symlink_to("yard.sgm")
    (tmp_path / "loop.sgm").symlink_to("loop.sgm")
    os.mkfifo(tmp_path / "fifo.sgm")
    for path in (tmp_path / "link.sgm", tmp_path / "loop.sgm", tmp_path / "fifo.sgm", Path("/dev/zero")):
        with pytest.raises(ModelError) as caught:
            load_model(path)
        assert caught.value.reason == "not_regular"
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("make", ["directory", "socket", "memory"])
def test_C11_directories_sockets_and_memory_end_in_an_error_of_ours(make: str, tmp_path: Path) -> None:
    path = tmp_path / "m.sgm"
    with socket.socket(socket.AF_UNIX) as listener:
        match make:
            case "directory":
                path.mkdir()
            case "socket":
                listener.bind(str(path))
            case "memory":
                path = Path("/proc/self/mem")
        with pytest.raises(StreamgmmError) as caught:
            load_model(path)
    assert caught.value.exit_code in (65, 66)


def test_D5_a_huge_sparse_file_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "big.sgm").open("wb") as file:
        file.truncate(MAX_MODEL_BYTES + 1)
    with pytest.raises(ModelError) as caught:
        load_model(tmp_path / "big.sgm")
    assert caught.value.reason == "too_large"


def test_D14_a_model_overwritten_in_place_is_read_whole_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "yard.sgm"
    contents = [model_bytes(make_model(seed=seed)) for seed in range(2)]
    path.write_bytes(contents[0])
    is_over = threading.Event()

    def overwrite() -> None:
        while not is_over.is_set():
            for content in contents:
                with path.open("r+b") as file:
                    file.write(content[:4000])
                    file.flush()
                    file.write(content[4000:])

    writer = threading.Thread(target=overwrite)
    writer.start()
    try:
        hashes = {loaded_hash(path) for _ in range(100)}
    finally:
        is_over.set()
        writer.join()
    assert hashes <= {"refused", *(save_model(make_model(seed=s), tmp_path / "other.sgm").sha256 for s in range(2))}


def loaded_hash(path: Path) -> str:
    try:
        return load_model(path).sha256
    except ModelError:
        return "refused"


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o007])
def test_the_mode_of_a_model_follows_the_umask(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        save_model(make_model(), tmp_path / "yard.sgm")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "yard.sgm").stat().st_mode) == 0o666 & ~umask


def test_only_names_of_models_are_written(tmp_path: Path) -> None:
    (tmp_path / "clip.wav").write_bytes(b"precious")
    with pytest.raises(UsageError, match=r"\.sgm"):
        save_model(make_model(), tmp_path / "clip.wav")
    assert (tmp_path / "clip.wav").read_bytes() == b"precious"


def test_B24_a_missing_directory_is_cannot_create(tmp_path: Path) -> None:
    with pytest.raises(CannotCreateError) as caught:
        save_model(make_model(), tmp_path / "missing" / "yard.sgm")
    assert caught.value.exit_code == 73


@pytest.mark.parametrize("kind", ["fifo", "link", "directory"])
def test_B24_what_is_no_plain_file_is_not_replaced(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "yard.sgm"
    {"fifo": os.mkfifo, "link": lambda p: p.symlink_to("x"), "directory": Path.mkdir}[kind](path)
    mode = path.lstat().st_mode
    with pytest.raises(CannotCreateError):
        save_model(make_model(), path)
    assert path.lstat().st_mode == mode
    assert names_in(tmp_path) == ["yard.sgm"]


@contextmanager
def files_of_at_most(n_bytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_B24_a_write_that_fails_half_way_leaves_the_old_model(tmp_path: Path) -> None:
    path = tmp_path / "yard.sgm"
    save_model(make_model(), path)
    old = path.read_bytes()
    with files_of_at_most(1000), pytest.raises(OutputError) as caught:
        save_model(make_model(seed=1), path)
    assert caught.value.exit_code == 74
    assert path.read_bytes() == old
    assert names_in(tmp_path) == ["yard.sgm"]


FAILURES = [
    ("os.open", errno.EROFS, CannotCreateError),
    ("os.open", errno.EACCES, PermissionDeniedError),
    ("os.open", errno.ENOSPC, OutputError),
    ("os.fsync", errno.ENOSPC, OutputError),
    ("os.fsync", errno.EIO, OutputError),
    ("pathlib.Path.replace", errno.EROFS, CannotCreateError),
    ("pathlib.Path.replace", errno.EPERM, PermissionDeniedError),
]


@pytest.mark.parametrize(("function", "number", "error"), FAILURES)
def test_B24_every_failure_has_its_exit_code_and_leaves_the_old_model(
    function: str, number: int, error: type[StreamgmmError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "yard.sgm"
    save_model(make_model(), path)
    old = path.read_bytes()

    def fail(*_: object, **__: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(function, fail)
        with pytest.raises(error) as caught:
            save_model(make_model(seed=1), path)
    assert os.strerror(number) in str(caught.value)
    assert path.read_bytes() == old
    assert names_in(tmp_path) == ["yard.sgm"]


def test_B25_an_interrupt_while_saving_leaves_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "yard.sgm"
    save_model(make_model(), path)

    def interrupt(_: int) -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            save_model(make_model(seed=1), path)
    assert path.read_bytes() == model_bytes(make_model())
    assert names_in(tmp_path) == ["yard.sgm"]


def test_B25_a_killed_save_leaves_one_whole_model(tmp_path: Path) -> None:
    path = tmp_path / "yard.sgm"
    models = [make_model(seed=seed) for seed in range(2)]
    contents = {model_bytes(model) for model in models}
    save_model(models[0], path)
    for round_number in range(60):
        ready, started = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(started, b"!")
            while True:
                for model in models:
                    save_model(model, path)
        os.read(ready, 1)
        # Not a wait for anything: the kill shall fall into another moment of a save each time.
        time.sleep(round_number * 0.0002)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(started)
        assert path.read_bytes() in contents


def test_B27_two_saves_to_one_path_both_write_whole_models(tmp_path: Path) -> None:
    path = tmp_path / "yard.sgm"
    models = [make_model(seed=seed) for seed in range(2)]
    writers = [
        threading.Thread(target=lambda model=model: [save_model(model, path) for _ in range(20)]) for model in models
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert path.read_bytes() in {model_bytes(model) for model in models}
    assert names_in(tmp_path) == ["yard.sgm"]
