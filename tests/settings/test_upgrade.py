from __future__ import annotations

from pathlib import Path

import pytest

from streamgmm.errors import ConfigError, DataError
from streamgmm.settings.config import RENAMED_KEYS
from streamgmm.settings.loading import load_config
from streamgmm.settings.upgrade import upgrade_config


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("training: {frames: never}\n", "training: {cepstra: never}\n"),
        ("# frames\ntraining:\n  frames: auto  # frames\n", "# frames\ntraining:\n  cepstra: auto  # frames\n"),
        (
            "training: {n_frame_components: 8, frames: auto, seed: 1}",
            "training: {n_cepstral_components: 8, cepstra: auto, seed: 1}",
        ),
        ("training:\r\n  'frames': never\r\n", "training:\r\n  'cepstra': never\r\n"),
        ("training: {credit: 'frames: x', frames: never}\n", "training: {credit: 'frames: x', cepstra: never}\n"),
    ],
)
def test_old_names_become_new_ones_and_nothing_else_changes(tmp_path: Path, before: str, after: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(before.encode())
    renamed = upgrade_config(path)
    assert path.read_bytes().decode() == after
    assert renamed.items() <= RENAMED_KEYS.items()
    load_config(path)


def test_a_file_of_today_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("training: {cepstra: never}\n")
    inode = path.stat().st_ino
    assert upgrade_config(path) == {}
    assert path.stat().st_ino == inode


@pytest.mark.parametrize(
    ("content", "place"), [(b"a: 1\na: 2\n", "2:1"), (b"training: {frames: never", "1:"), (b"\xff\xfe", "")]
)
def test_a_problem_is_reported_with_the_name_of_the_file(tmp_path: Path, content: bytes, place: str) -> None:
    path = tmp_path / "a:1.yaml"
    path.write_bytes(content)
    with pytest.raises((ConfigError, DataError)) as caught:
        upgrade_config(path)
    assert all(line.startswith(f"{path}:{place}") for line in str(caught.value).split("\n"))


@pytest.mark.parametrize("content", [b"training: {frames: never", b"a: &x 1\n", b"\xff\xfe"])
def test_what_is_no_settings_file_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    with pytest.raises((ConfigError, DataError)):
        upgrade_config(path)
    assert path.read_bytes() == content
