"""A real systemd, booted in a throw-away copy of this machine's file system, with this program installed in it.

The copy is an overlay in a mount namespace: nothing that happens in it is seen outside, and it is gone with
the process that mounted it. Needs root.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from tests.narrowing import present
from tests.pulse_rig import SERVER_COMMAND, SINK

TOOLS = ("systemctl", "systemd-nspawn", "unshare", "nsenter", "mount")
TIMEOUT_S = 30.0
PROJECT = Path(__file__).parent.parent.parent
PYTHON = "/opt/streamgmm/bin/python3"
"""The interpreter of a virtual environment inside, which finds the program as if pip had put it there."""

SHARED = Path("/opt/shared")
"""Where the machine sees `Machine.shared`."""

PULSE_SOCKET = "/run/sound/native"
"""Not in the server's own directory, which it closes to everybody else."""

PULSE_ENV = {"PULSE_SERVER": f"unix:{PULSE_SOCKET}", "PULSE_SOURCE": f"{SINK}.monitor"}

# nspawn ends with 133 when the machine reboots; its disk lives in this shell's namespace, so it stays.
BOOT = """\
set -e
cd "$1"; shift
mount -t tmpfs tmpfs overlay
mkdir overlay/upper overlay/work
mount -t overlay overlay -o "lowerdir=/,upperdir=$PWD/overlay/upper,workdir=$PWD/overlay/work" root
rm -rf root/etc/systemd/system/*.wants
tr -d - < /proc/sys/kernel/random/uuid > root/etc/machine-id
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
code=133
while [ $code = 133 ]; do
  code=0
  systemd-nspawn -q -D root -b --register=no --keep-unit --console=pipe -M streamgmm-test --private-network \\
    --link-journal=no --resolv-conf=off --timezone=off "$@" systemd.unit=multi-user.target || code=$?
done
exit $code
"""

PULSE_UNIT = f"""\
[Service]
ExecStart=/usr/bin/{" ".join(SERVER_COMMAND)} -F {SHARED}/pulse.pa
Environment=HOME=/run/pulse XDG_RUNTIME_DIR=/run/pulse PULSE_RUNTIME_PATH=/run/pulse
RuntimeDirectory=pulse sound
"""

PULSE_SCRIPT = f"""\
load-module module-null-sink sink_name={SINK} rate=16000 channels=1 format=s16le norewinds=1
set-default-sink {SINK}
set-default-source {SINK}.monitor
load-module module-native-protocol-unix auth-anonymous=1 socket={PULSE_SOCKET}
"""


def missing_parts() -> list[str]:
    """What this machine lacks for the rig; empty if nothing."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if sys.platform != "linux" or os.geteuid() != 0:
        missing.append("root")
    return missing


class Machine:
    """One system with its files below `directory`; `boot` it, and `close` it at the end.

    Attributes:
        shared: a directory that it sees as `SHARED`, read-only.
        installed: what the installation of the service has printed.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.shared = directory / "shared"
        self.installed = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._init_pid = 0
        for name in ("overlay", "root", "units", "shared"):
            (directory / name).mkdir()
        (directory / "units" / "pulse.service").write_text(PULSE_UNIT)
        (self.shared / "pulse.pa").write_text(PULSE_SCRIPT)
        self._binds = {self.shared: SHARED, directory / "units": Path("/run/systemd/system")}
        self._binds |= _lay_out_program(directory / "program")

    def boot(self) -> None:
        """Start it, and wait until it has started all that it is to start.

        Raises:
            RuntimeError: it did not come up; holds what it said.
        """
        binds = [f"--bind-ro={outside}:{inside}" for outside, inside in self._binds.items()]
        boot = ["bash", "-c", BOOT, "boot", str(self._directory), *binds]
        command = ["unshare", "-m", "--propagation", "private", *boot]
        with (self._directory / "console.log").open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._wait_until_up()

    def reboot(self) -> None:
        """Let systemd end everything and start anew, from its disk as it is then."""
        before = self._init_pid
        self.run("systemctl", "reboot", is_checked=False)
        self._wait_until_up(before)

    def run(
        self, *command: object, is_checked: bool = True, env: Mapping[str, str] = MappingProxyType({})
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as root, and give back what it printed."""
        done = subprocess.run(
            [*self._enter(), *map(str, command)],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", **env},
        )
        assert done.returncode == 0 or not is_checked, f"{command}: {done.stderr}\n{self.journal()}"
        return done

    def streamgmm(self, *arguments: object, is_checked: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the program in it."""
        return self.run(PYTHON, "-m", "streamgmm", *arguments, is_checked=is_checked)

    def show(self, unit: str, name: str) -> str:
        """A property of a unit, as `systemctl show` tells it."""
        return self.run("systemctl", "show", "--value", "-p", name, unit).stdout.strip()

    def journal(self, unit: str = "streamgmm.service") -> str:
        """What a unit has said since the machine booted, and systemd about it."""
        done = subprocess.run(
            [*self._enter(), "journalctl", "-b", "--no-pager", "-o", "cat", "-u", unit],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return done.stdout

    def outside(self, path: str) -> Path:
        """How this process reaches a file of the machine."""
        return Path(f"/proc/{self._init_pid}/root{path}")

    def write(self, path: str, text: str) -> None:
        """Put a file onto its disk."""
        self.outside(path).parent.mkdir(parents=True, exist_ok=True)
        self.outside(path).write_text(text)

    def close(self) -> None:
        """Pull the plug."""
        if self._process is not None and self._process.poll() is None:
            for pid in _children_of(self._process.pid):
                os.kill(pid, signal.SIGTERM)
            self._process.wait(TIMEOUT_S)

    def _enter(self) -> list[str]:
        return ["nsenter", "-t", str(self._init_pid), "-m", "-p", "-u", "-i", "-C", "-n", "-r", "-w"]

    def _wait_until_up(self, pid_before: int = 0) -> None:
        deadline_s = time.monotonic() + TIMEOUT_S
        while not self._is_up(pid_before):
            if time.monotonic() > deadline_s or self._process is None or self._process.poll() is not None:
                raise RuntimeError((self._directory / "console.log").read_text(errors="replace"))
            time.sleep(0.02)

    def _is_up(self, pid_before: int) -> bool:
        # This shell, nspawn, and the first process of the machine.
        inits = [pid for nspawn in _children_of(present(self._process).pid) for pid in _children_of(nspawn)]
        if not inits or inits[0] == pid_before:
            return False
        self._init_pid = inits[0]
        state = self.run("systemctl", "is-system-running", is_checked=False).stdout.strip()
        return state in ("running", "degraded")


def _children_of(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _lay_out_program(directory: Path) -> dict[Path, Path]:
    """A virtual environment of the interpreter and the packages that run this test; returns what it needs bound.

    A service sees neither /root nor /home nor /tmp, where those may be, so all of it is moved below /opt.
    """
    base, python = Path(sys.base_prefix), f"python{sys.version_info.major}.{sys.version_info.minor}"
    binds = {directory: Path("/opt/streamgmm"), PROJECT: Path("/opt/source")}
    binds[Path(sysconfig.get_path("purelib"))] = Path("/opt/packages")
    if base != Path("/usr"):
        binds[base] = base = Path("/opt/python")
    packages = directory / "lib" / python / "site-packages"
    packages.mkdir(parents=True)
    (packages / "rig.pth").write_text("/opt/source\n/opt/packages\n")
    (directory / "bin").mkdir()
    (directory / "bin" / "python3").symlink_to(base / "bin" / python)
    (directory / "pyvenv.cfg").write_text(f"home = {base}/bin\n")
    return binds
