"""Parts that a machine may lack: their tests are skipped, unless `STREAMGMM_REQUIRE` names the part.

`STREAMGMM_REQUIRE=pulse,corpora pytest` makes a missing part a failure, so that a build that is meant
to have it can never be green without it.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NoReturn

import pytest


def require_or_skip(part: str, reason: str) -> NoReturn:
    """Skip the test for lack of `part`, or fail it where `part` is required."""
    required = os.environ.get("STREAMGMM_REQUIRE", "").replace(",", " ").split()
    if part in required:
        pytest.fail(f"{part} is required, but {reason}", pytrace=False)
    pytest.skip(f"no {part}: {reason}")


def oracle(name: str) -> Any:
    """The module called `name` of a library that only serves to compare results with (extra `oracles`)."""
    try:
        return importlib.import_module(name)
    except ImportError:
        require_or_skip("oracles", f"{name} is not installed: pip install 'streamgmm[oracles]'")


def corpus(name: str) -> Path:
    """Folder of the real recordings called `name`, below the one that STREAMGMM_DATA names."""
    root = os.environ.get("STREAMGMM_DATA")
    if not root:
        require_or_skip("corpora", "STREAMGMM_DATA is not set")
    path = Path(root).absolute() / name
    if not path.exists():
        require_or_skip("corpora", f"there is no {path}")
    return path


def mount_namespace(mount: str, *command: str) -> list[str]:
    """A command line that runs `command` where `mount` (a line of shell) has been run, unseen by everybody else."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0:
        require_or_skip("mounts", "this user may not mount file systems")
    return ["unshare", "-m", "sh", "-c", f'{mount} && exec "$@"', "sh", *command]


def ffmpeg() -> str:
    """The path of `ffmpeg`, which makes recordings that `soundfile` cannot write, and says how long others are."""
    path = shutil.which("ffmpeg")
    if path is None:
        require_or_skip("ffmpeg", "ffmpeg is not installed")
    return path


def mosquitto() -> str:
    """The path of `mosquitto`, a broker of MQTT messages."""
    path = shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")
    if path is None:
        require_or_skip("mqtt", "mosquitto is not installed")
    return path


def chromium() -> str:
    """The path of `chromium`, a browser."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        require_or_skip("browser", "chromium is not installed")
    return path


def axe() -> str:
    """The source of axe-core, which finds what keeps people from using a page."""
    path = os.environ.get("STREAMGMM_AXE")
    if not path:
        require_or_skip("axe", "STREAMGMM_AXE names no axe.min.js; `npm pack axe-core` fetches it")
    return Path(path).read_text()


def prometheus(name: str) -> str:
    """The path of `prometheus`, which collects metrics, or of `promtool`, which checks them."""
    path = shutil.which(name)
    if path is None:
        require_or_skip("prometheus", f"{name} is not installed")
    return path
