"""The Debian package, built once, and what it leaves on a machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.required import require_or_skip
from tests.system.systemd_rig import PROJECT, Machine

BUILD = PROJECT / "systemd" / "deb" / "build.sh"
TOOLS = ("dpkg-deb", "gcc", "gzip", "tar")
BUILD_TIMEOUT_S = 900
PLACES = ("/etc", "/usr", "/var/lib", "/run")
# Databases of packages, what systemd notes of anything that happens, and what other services do meanwhile.
NOT_LEFT = (
    *("/var/lib/dpkg/*", "/var/lib/apt/*", "/var/lib/PackageKit/*", "/var/lib/systemd/*", "/run/systemd/*"),
    *("/run/udev/*", "/run/log/*", "/run/dbus/*", "/run/user/*"),
)


def build_package(folder: Path) -> Path:
    """Build the package, compressed as little as it may be, and return it."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    python = ["/usr/bin/python3", "-c", "import pip, venv"]
    if missing or subprocess.run(python, capture_output=True, check=False).returncode != 0:
        require_or_skip("deb", f"{', '.join(missing) or 'pip or venv of /usr/bin/python3'} is not installed")
    done = subprocess.run([BUILD, folder, "-z1"], capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False)
    if done.returncode != 0 and "Could not find a version" in done.stderr:
        require_or_skip("deb", "pip reaches no index")
    assert done.returncode == 0, done.stderr
    (package,) = folder.glob("streamgmm_*.deb")
    return package


def files_on(machine: Machine) -> set[str]:
    """Return the paths of everything on a machine that a package may leave behind."""
    without = [word for place in NOT_LEFT for word in ("!", "-path", place)]
    return set(machine.run("find", *PLACES, "-xdev", *without).stdout.splitlines())
