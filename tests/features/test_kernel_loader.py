"""Which kernel is used; a library that does not fit is one line of log and numpy, never a crash."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from streamgmm.errors import ConfigError
from streamgmm.features.analysis import NumpyAnalysis
from streamgmm.features.extractor import make_analysis
from streamgmm.features.kernel import loader as kernel_loader
from streamgmm.features.kernel.analysis import KernelAnalysis
from streamgmm.features.kernel.loader import NUMPY, VARIABLE, find_kernel, kernel_name, kernel_names
from streamgmm.features.kernel.version import FOLDER
from streamgmm.features.spec import FeatureSpec
from tests.required import require_or_skip

SPEC = FeatureSpec(sample_rate_hz=8000)
BUILT = kernel_loader._library_path()


@pytest.fixture
def library_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for another library, which is loaded instead of the one that was built."""
    path = tmp_path / "_kernel.so"
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(kernel_loader, "_library_path", lambda: path)
    return path


def built_library() -> Path:
    if BUILT is None:
        require_or_skip("kernel", "it was not built: pip install -e .")
    return BUILT


def compiled(path: Path, *options: str, source: str | None = None) -> None:
    """Compile the kernel with other options, or another source."""
    compiler = shutil.which("cc")
    if compiler is None:
        require_or_skip("kernel", "there is no C compiler")
    sources = ["-x", "c", "-"] if source is not None else sorted(map(str, FOLDER.glob("*.c")))
    command = [compiler, "-shared", "-fPIC", "-Wno-psabi", "-o", str(path), *options, *sources]
    subprocess.run(command, input=source or "", text=True, check=True, timeout=120)


def of_another_architecture(path: Path) -> None:
    # Bytes 18 and 19 of an ELF file name the machine; 0xF7 is BPF, which is no processor.
    content = bytearray(built_library().read_bytes())
    content[18:20] = b"\xf7\x00"
    path.write_bytes(content)


BROKEN: dict[str, Callable[[Path], object]] = {
    "not a library": lambda path: path.write_bytes(b"not a library"),
    "empty": lambda path: path.write_bytes(b""),
    "cut off at its beginning": lambda path: path.write_bytes(built_library().read_bytes()[:50]),
    "cut off": lambda path: path.write_bytes(built_library().read_bytes()[:20_000]),
    "cut off at its end": lambda path: path.write_bytes(built_library().read_bytes()[:-1]),
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "another architecture": of_another_architecture,
    "missing functions": lambda path: compiled(path, source="int nothing;"),
    "another version": lambda path: compiled(path, '-DKERNEL_VERSION="another"'),
}


@pytest.mark.skipif(sys.platform != "linux", reason="libraries are ELF files on Linux")
@pytest.mark.parametrize("make", BROKEN.values(), ids=BROKEN)
def test_F34_a_library_that_does_not_fit_is_one_warning_and_numpy(
    make: Callable[[Path], object],
    library_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    make(library_path)
    with caplog.at_level(logging.INFO):
        assert [kernel_name() for _ in range(3)] == [NUMPY] * 3
    assert isinstance(make_analysis(SPEC), NumpyAnalysis)
    (record,) = caplog.records
    assert record.getMessage().startswith(
        "features are computed in numpy, which takes longer: the kernel does not load"
    )
    assert "\n" not in record.getMessage()


def test_F34_without_a_library_numpy_computes_and_nothing_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(kernel_loader, "_library_path", lambda: None)
    with caplog.at_level(logging.INFO):
        assert kernel_name() == NUMPY
    assert caplog.records == []


def test_the_library_that_was_built_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    built_library()
    monkeypatch.delenv(VARIABLE, raising=False)
    assert kernel_name() == kernel_names()[0] != NUMPY
    assert isinstance(make_analysis(SPEC), KernelAnalysis)
    # The kernel computes in float32 only.
    assert isinstance(make_analysis(SPEC, "float64"), NumpyAnalysis)


@pytest.mark.parametrize("name", kernel_names())
def test_the_environment_chooses(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, name)
    kernel = find_kernel()
    assert kernel_name() == name == (kernel.level if kernel else NUMPY)


@pytest.mark.parametrize("name", ["nunpy", "AVX2", "sse9", " "])
def test_F35_a_kernel_that_does_not_exist_is_an_error_that_names_those_that_do(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, name)
    with pytest.raises(ConfigError) as caught:
        make_analysis(SPEC)
    assert str(caught.value) == (
        f"STREAMGMM_KERNEL: no kernel {name!r} on this machine (there are {', '.join(kernel_names())})"
    )
