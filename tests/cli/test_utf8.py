"""Names and labels are UTF-8 in every locale, in the command itself and in what it starts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from streamgmm.model.file import load_model
from tests.cli.cli_rig import spawn_bytes
from tests.required import require_or_skip
from tests.training.training_rig import write_sounds

# A charset for each way of writing characters: one byte, several bytes, with and without ASCII below.
LOCALES = {
    "latin1": ("de_DE", "ISO-8859-1"),
    "latin9": ("fr_FR", "ISO-8859-15"),
    "cyrillic": ("ru_RU", "KOI8-R"),
    "japanese": ("ja_JP", "EUC-JP"),
    "chinese": ("zh_CN", "GBK"),
}
TRAIN = ("--quick", "--no-memory", "--set", "training.copies=false", "--set", "training.world=false")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names of files are UTF-8 always")


def in_locale(folder: Path, kind: str) -> dict[str, str]:
    """The environment of a locale that is made on the spot, or of one that Python must be kept from improving."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHONUTF8"))}
    if kind in ("C", "POSIX"):
        return {**environ, "LC_ALL": kind, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    if shutil.which("localedef") is None:
        require_or_skip("programs", "needs localedef")
    language, charset = LOCALES[kind]
    done = subprocess.run(
        ["localedef", "--no-archive", "-i", language, "-f", charset, folder / f"{language}.{charset}"],
        capture_output=True,
        check=False,
    )
    if not (folder / f"{language}.{charset}").is_dir():
        require_or_skip("programs", f"needs the sources of locales: {done.stderr!r}")
    return {**environ, "LOCPATH": str(folder), "LC_ALL": f"{language}.{charset}"}


def run(environ: dict[str, str], *arguments: object) -> tuple[int, bytes, bytes]:
    process = spawn_bytes(*arguments, env=environ)
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


@pytest.mark.parametrize("kind", [*LOCALES, "C", "POSIX"])
def test_names_on_the_command_line_and_on_stdout_are_utf8(tmp_path: Path, demo_model: Path, kind: str) -> None:
    environ = in_locale(tmp_path, kind)
    clip = tmp_path / "Türklingel 犬 ж.wav"
    shutil.copy(next(demo_model.parent.glob("recordings/siren/*.wav")), clip)
    code, out, err = run(environ, "classify", clip, "--model", demo_model, "--clip")
    assert code == 0, err
    assert json.loads(out)["path"] == str(clip)
    code, out, err = run(environ, "classify", tmp_path / "missing ü犬.wav", "--model", demo_model)
    assert (code, out) == (66, b"")
    assert "missing ü犬.wav".encode() in err


@pytest.mark.parametrize("kind", ["latin1", "japanese"])
def test_B38_labels_of_folders_and_manifests_are_utf8(tmp_path: Path, kind: str) -> None:
    environ = in_locale(tmp_path, kind)
    root = write_sounds(tmp_path / "data", n_clips=2)
    first, *_ = sorted(path for path in root.iterdir() if path.is_dir())
    first.rename(root / "Türklingel")
    code, _, err = run(environ, "train", root, "-o", tmp_path / "a.sgm", *TRAIN)
    assert code == 0, err
    assert "Türklingel" in load_model(tmp_path / "a.sgm").labels
    rows = [f"{p.relative_to(root)},{p.parent.name}\n" for p in sorted(root.rglob("*.wav"))]
    (root / "manifest.csv").write_text("path,label\n" + "".join(rows), encoding="utf-8")
    code, _, err = run(environ, "train", root / "manifest.csv", "-o", tmp_path / "b.sgm", *TRAIN)
    assert code == 0, err
    assert "Türklingel" in load_model(tmp_path / "b.sgm").labels


def test_processes_that_it_starts_have_the_mode_too(tmp_path: Path) -> None:
    program = (
        "import sys, subprocess; from streamgmm.cli.utf8 import use_utf8; use_utf8();"
        "print(subprocess.check_output([sys.executable, '-c', 'import sys; print(sys.flags.utf8_mode)'], text=True))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=in_locale(tmp_path, "C"), capture_output=True, check=True
    )
    assert done.stdout.split() == [b"1"]


@pytest.mark.parametrize("options", [["-X", "utf8=0"], ["-E"], ["-I"]])
def test_who_insists_on_the_locale_gets_no_endless_loop(tmp_path: Path, options: list[str]) -> None:
    command = [sys.executable, *options, "-m", "streamgmm", "--version"]
    done = subprocess.run(command, env=in_locale(tmp_path, "C"), capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_B38_a_folder_that_is_not_utf8_is_refused_by_its_name_and_never_a_label(tmp_path: Path) -> None:
    root = write_sounds(tmp_path / "data", n_clips=2)
    first, *_ = sorted(path for path in root.iterdir() if path.is_dir())
    first.rename(os.fsdecode(os.fsencode(root) + b"/T\xfcr"))
    code, _, err = run(dict(os.environ), "train", root, "-o", tmp_path / "a.sgm", *TRAIN)
    assert (code, b"Traceback" in err) == (65, False)
    assert b"is not UTF-8" in err
    assert b"T\\udcfcr" in err


def test_a_file_that_is_not_utf8_is_used(tmp_path: Path) -> None:
    root = write_sounds(tmp_path / "data", n_clips=2)
    for clip in list(root.rglob("0.wav")):
        clip.rename(os.fsdecode(os.fsencode(clip.parent) + b"/\xfc0.wav"))
    code, _, err = run(
        dict(os.environ), "train", root, "-o", tmp_path / "a.sgm", "--report", tmp_path / "r.json", *TRAIN
    )
    assert code == 0, err
    assert set(load_model(tmp_path / "a.sgm").card["n_clips"].values()) == {2}
