"""Real limits on the address space, as `ulimit -v` and cluster schedulers set them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from streamgmm.memory_limit import MIN_BYTES, is_out_of_memory
from tests.cli.cli_rig import spawn_main

resource = pytest.importorskip("resource")

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")


def limited(limit_bytes: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = ["sh", "-c", f'ulimit -v {limit_bytes // 1024}; exec "$@"', "sh", sys.executable, "-m", "streamgmm"]
    return subprocess.run(
        [*command, *map(str, arguments)], input="", capture_output=True, text=True, timeout=120, check=False
    )


def fails_for_memory(done: subprocess.CompletedProcess[str]) -> bool:
    """Whether a command ended with 71 and one error line that names memory; False if it did its work."""
    assert "Traceback" not in done.stderr
    if done.returncode == 0:
        return False
    errors = [line for line in done.stderr.splitlines() if line.startswith("streamgmm: error: ")]
    assert (done.returncode, len(errors)) == (71, 1), done.stderr
    assert "memory" in errors[0]
    return True


@linux_only
@pytest.mark.parametrize("limit_mib", [60, 100, 146, 190, 200, 216, 231])
@pytest.mark.parametrize("command", ["run", "classify", "explain", "train"])
def test_F29_with_too_little_memory_nothing_is_begun(
    demo_model: Path, tmp_path: Path, command: str, limit_mib: int
) -> None:
    sound = next((demo_model.parent / "recordings").rglob("*.wav"))
    arguments = {
        "run": ["-m", demo_model, "-s", "pcm:-"],
        "classify": ["-m", demo_model, sound],
        "explain": ["-m", demo_model, sound, "--at", "1"],
        "train": [demo_model.parent / "recordings", "-o", tmp_path / "a.sgm"],
    }
    done = limited(limit_mib * 2**20, command, *arguments[command])
    assert fails_for_memory(done)
    assert done.stderr.count("\n") == 1
    least_mib = 1024 if command == "train" else 232
    assert f"memory is limited to {limit_mib} MiB, at least {least_mib} are needed (raise ulimit -v)" in done.stderr
    assert list(tmp_path.iterdir()) == []


@linux_only
@pytest.mark.parametrize("limit_mib", [232, 233, 236, 240, 244, 300, 390])
def test_with_little_memory_a_run_works_or_names_memory(demo_model: Path, limit_mib: int) -> None:
    fails_for_memory(limited(limit_mib * 2**20, "run", "-m", demo_model, "-s", "pcm:-"))


@linux_only
@pytest.mark.parametrize("arguments", [["--version"], ["run", "--help"], ["config", "show"]])
def test_what_needs_little_memory_works_with_little(arguments: list[str]) -> None:
    assert limited(60 * 2**20, *arguments).returncode == 0


@pytest.mark.parametrize(
    "body",
    [
        "raise MemoryError",
        "raise MemoryError('Unable to allocate 9 GiB for an array')",
        "bytearray(2**62)",
        "raise ImportError('x.so: failed to map segment from shared object')",
        'raise RuntimeError("can\'t start new thread")',
        "import errno; raise OSError(errno.ENOMEM, 'Cannot allocate memory')",
        "import numpy; numpy.zeros(2**50)",
        "try:\n    raise MemoryError\nexcept MemoryError as error:\n    raise ImportError('advice') from error",
    ],
)
def test_F29_a_lack_of_memory_in_any_form_is_one_line_and_71(body: str) -> None:
    indented = body.replace("\n", "\n    ")
    preparation = (
        f"import streamgmm.cli.config as command\ndef handler(args):\n    {indented}\ncommand.show_config = handler"
    )
    out, err = (process := spawn_main(preparation, "config", "show")).communicate(timeout=60)
    assert (process.returncode, out, err.count("\n")) == (71, "", 1)
    assert err.startswith("streamgmm: error: the memory is full")


def test_other_errors_are_no_lack_of_memory() -> None:
    assert not any(map(is_out_of_memory, [None, ValueError("x"), OSError(2, "No such file"), ImportError("no x")]))


def test_the_least_memory_is_less_than_a_small_machine_has() -> None:
    assert os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") > MIN_BYTES
