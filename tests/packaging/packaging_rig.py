"""Distributions of this tree, and environments that have them installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.version import Version

from tests.required import require_or_skip

PROJECT = Path(__file__).parent.parent.parent
RUN_LIBRARIES = ("msgspec", "numpy", "PyWavelets", "PyYAML", "soxr", "typing_extensions")
"""Distributions that `run` needs on a stream of samples, as the README says."""

LEAST_SETUPTOOLS = "77"
TIMEOUT_S = 280
NOT_SOURCES = ("__pycache__", "*.pyc", "*.so", "*.egg-info")


def require_build_tools() -> None:
    """Skip the test where the tools that build a wheel without a network are missing."""
    try:
        metadata.version("build")
        is_new = Version(metadata.version("setuptools")) >= Version(LEAST_SETUPTOOLS)
    except metadata.PackageNotFoundError:
        is_new = False
    if not is_new:
        require_or_skip("packaging", "build or a recent setuptools is not installed: pip install 'streamgmm[test]'")


def build(folder: Path) -> tuple[Path, Path]:
    """Build the source distribution and, from it, the wheel; return both."""
    # A copy, so that what a build leaves behind does not lie in the tree, and what an earlier one left does not count.
    tree = folder / "tree"
    ignored = shutil.ignore_patterns(*NOT_SOURCES, ".*", "build", "dist")
    shutil.copytree(PROJECT, tree, symlinks=True, ignore=ignored)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "deprecated" not in done.stdout + done.stderr
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    (wheel,) = (folder / "dist").glob("*.whl")
    return sdist, wheel


class Environment:
    """A virtual environment with a wheel, and only those libraries that are named.

    Args:
        folder: where it is made.
        wheel: what is installed there, without its dependencies.
        libraries: distributions of this interpreter that it can import; None for all of them.
    """

    def __init__(self, folder: Path, wheel: Path, libraries: Iterable[str] | None) -> None:
        self._bin = folder / "bin"
        _call(sys.executable, "-m", "venv", "--without-pip", folder)
        install = ("install", "--quiet", "--no-deps", "--no-index", wheel)
        _call(sys.executable, "-m", "pip", "--python", self._bin / "python", *install)
        (self.site,) = folder.glob("lib/python*/site-packages")
        if libraries is None:
            (self.site / "libraries.pth").write_text(f"{sysconfig.get_path('platlib')}\n")
        for name in libraries or ():
            _link_library(name, self.site)

    def run(self, *arguments: object, data: bytes = b"", folder: Path) -> subprocess.CompletedProcess[str]:
        """Run the installed `streamgmm` in `folder` with `data` on its stdin."""
        command = [str(self._bin / "streamgmm"), *map(str, arguments)]
        done = subprocess.run(
            command, input=data, capture_output=True, cwd=folder, timeout=TIMEOUT_S, check=False, env=_environment()
        )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def python(self, program: str, *, folder: Path) -> str:
        """Run a program with the interpreter of this environment, and return what it prints."""
        command = [str(self._bin / "python"), "-c", program]
        return subprocess.check_output(command, text=True, cwd=folder, timeout=TIMEOUT_S, env=_environment())


def _environment() -> dict[str, str]:
    # PYTHONPATH would lead to the sources of this tree, and hide what is missing from the wheel.
    return {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}


def _call(*command: object) -> None:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr


def _link_library(name: str, folder: Path) -> None:
    """Make the files of an installed distribution importable from `folder`."""
    found = metadata.distribution(name)
    for top in {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}:
        if not (folder / top).exists():
            (folder / top).symlink_to(Path(str(found.locate_file(top))))
