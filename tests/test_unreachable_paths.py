"""Whatever is named in settings and on the command line, and cannot be looked at, is one error with its reason.

The suite may run as root, who may look everywhere: these tests give that right away.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from streamgmm.audio.reading import open_recording
from streamgmm.cli.output_file import check_writable
from streamgmm.dataset.backgrounds import background_recordings
from streamgmm.dataset.dataset import read_dataset
from streamgmm.dataset.listing import Findings
from streamgmm.errors import InputMissingError, PermissionDeniedError, StreamgmmError
from streamgmm.files import PathKind, path_kind, path_status
from streamgmm.model.file import check_target, load_model
from streamgmm.service.installation import plan_install, plan_uninstall
from streamgmm.service.place import ServicePlace
from streamgmm.settings.loading import load_config
from streamgmm.sinks.file import FileSink
from streamgmm.sinks.socket.token import read_token
from streamgmm.sinks.socket.unix import UnixListener
from streamgmm.training.enrolment.cache_file import check_cache_target, has_cache
from streamgmm.training.enrolment.enrolment import _recordings
from tests.model.model_rig import make_model
from tests.other_user import closed_to_me, shared_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    with shared_folder() as made:
        yield made


def in_closed_folder(folder: Path) -> Path:
    (folder / "closed" / "it.sgm").parent.mkdir()
    (folder / "closed" / "it.sgm").write_bytes(b"")
    return folder / "closed" / "it.sgm"


def two_folders_deep(folder: Path) -> Path:
    (folder / "closed" / "inner").mkdir(parents=True)
    return folder / "closed" / "inner" / "it.sgm"


def behind_a_link(folder: Path) -> Path:
    (folder / "way").symlink_to(in_closed_folder(folder).parent)
    return folder / "way" / "it.sgm"


def of_300_letters(folder: Path) -> Path:
    return folder / ("n" * 300 + ".sgm")


def of_5000_letters(folder: Path) -> Path:
    return folder / "/".join(["n" * 200] * 25) / "it.sgm"


def in_a_circle(folder: Path) -> Path:
    (folder / "round").symlink_to(folder / "again")
    (folder / "again").symlink_to(folder / "round")
    return folder / "round" / "it.sgm"


def below_a_file(folder: Path) -> Path:
    (folder / "file").touch()
    return folder / "file" / "it.sgm"


def with_a_zero(folder: Path) -> Path:
    return folder / "a\0b.sgm"


PLACES = [
    in_closed_folder,
    two_folders_deep,
    behind_a_link,
    of_300_letters,
    of_5000_letters,
    in_a_circle,
    below_a_file,
    with_a_zero,
]

READERS: dict[str, Callable[[Path], object]] = {
    "model": load_model,
    "settings": load_config,
    "token": read_token,
    "recording": open_recording,
    "data set": lambda path: read_dataset(path),
    "background": lambda path: background_recordings([path], Findings()),
    "enrolled": lambda path: list(_recordings([path], Findings())),
    "model to write": check_target,
    "memory to write": check_cache_target,
    "result to write": check_writable,
    "output file": lambda path: FileSink(f"file://{path}").open(lambda error: None),
    "socket": lambda path: UnixListener(f"unix://{path}").open(),
    "unit": lambda path: plan_install(place_at(path), None, None),
    "unit to remove": lambda path: plan_uninstall(place_at(path)),
}


def place_at(path: Path) -> ServicePlace:
    return ServicePlace(is_user=True, unit_directory=path, config_path=path / "config.yaml", runtime_directory=path)


@contextmanager
def unreachable(make: Callable[[Path], Path], folder: Path) -> Iterator[Path]:
    path = make(folder)
    closed = folder / "closed"
    with closed_to_me(closed) if closed.exists() else nullcontext():
        yield path


# Below a file there is nothing, so nothing stands in the way of a plan.
CASES = [(reader, make) for reader in READERS for make in PLACES if (reader, make) != ("unit", below_a_file)]


@pytest.mark.parametrize(("reader", "make"), CASES)
def test_what_cannot_be_looked_at_is_one_line_and_never_a_bug(
    reader: str, make: Callable[[Path], Path], folder: Path
) -> None:
    with unreachable(make, folder) as path, pytest.raises(StreamgmmError) as caught:
        READERS[reader](path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("make", PLACES[:3])
@pytest.mark.parametrize("reader", ["model", "settings", "token", "recording", "data set", "background", "enrolled"])
def test_a_closed_folder_is_a_matter_of_rights_and_not_a_missing_file(
    reader: str, make: Callable[[Path], Path], folder: Path
) -> None:
    with unreachable(make, folder) as path, pytest.raises(StreamgmmError) as caught:
        READERS[reader](path)
    assert caught.value.exit_code == PermissionDeniedError.exit_code


@pytest.mark.parametrize("make", PLACES)
def test_a_model_that_cannot_be_looked_at_has_no_memory(make: Callable[[Path], Path], folder: Path) -> None:
    with unreachable(make, folder) as path:
        if make in PLACES[:3]:
            with pytest.raises(PermissionDeniedError):
                has_cache(make_model(), path)
        else:
            assert not has_cache(make_model(), path)


def test_what_is_at_a_path(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    with socket.create_server(str(tmp_path / "socket"), family=socket.AF_UNIX):
        expected: dict[str, PathKind] = {
            "folder": "folder",
            "file": "file",
            "link": "file",
            "dangling": "nothing",
            "nothing": "nothing",
            "file/below": "nothing",
            "socket": "socket",
        }
        assert {name: path_kind(tmp_path / name) for name in expected} == expected
    assert path_kind(Path("/dev/null")) == "other"
    assert path_kind(tmp_path / "link", follow_symlinks=False) == "link"
    assert path_kind(tmp_path / "dangling", follow_symlinks=False) == "link"


def test_the_status_of_a_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    status = path_status(tmp_path / "file")
    assert status is not None
    assert status.st_size == 3
    assert path_status(tmp_path / "nothing") is None
    with pytest.raises(InputMissingError, match="cannot be opened"):
        path_status(tmp_path / ("n" * 300))
