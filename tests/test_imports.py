"""The run path stays light: a daemon never loads the libraries of training and of terminals."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HEAVY = {"matplotlib", "rich", "scipy", "sklearn"}

PROGRAM = """
import sys
from streamgmm.cli.main import main
code = main(sys.argv[1:])
print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
sys.exit(code)
"""


def loaded_by(*arguments: object) -> set[str]:
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return set(done.stderr.splitlines()[-1].split())


def test_run_on_a_file_loads_numpy_and_wavelets_and_nothing_heavy(demo_model: Path, demo_scene: Path) -> None:
    loaded = loaded_by("run", "--model", demo_model, "--source", f"file:{demo_scene}")
    assert loaded >= {"numpy", "pywt", "soundfile", "streamgmm"}
    assert not loaded & HEAVY
    # PortAudio lives in the capture process alone.
    assert "sounddevice" not in loaded


def test_the_model_in_the_box_loads_nothing_heavy_either(demo_scene: Path) -> None:
    loaded = loaded_by("run", "--source", f"file:{demo_scene}")
    assert "streamgmm" in loaded
    assert not loaded & HEAVY


def test_the_check_would_notice(demo_model: Path, demo_scene: Path) -> None:
    assert "rich" in loaded_by("classify", "--model", demo_model, demo_scene)
