from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from streamgmm.cli.streams import EnduringStream
from streamgmm.model.file import load_model
from streamgmm.training.enrolment.cache_file import cache_path
from tests.cli.cli_rig import spawn_cli
from tests.training.training_rig import SOUND_LABELS, write_sounds

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")

SETTINGS = ["training.n_jobs=1", "training.n_speed_copies=0", "training.n_noise_copies=0", "training.world=false"]
QUICK = ["--quick", *(word for setting in SETTINGS for word in ("--set", setting))]
LOSSES = ["full", "left", "closed"]


def lose(stream: int, how: str, *arguments: object) -> tuple[int, str]:
    """Run a command whose stdout (1) or stderr (2) is a full disk, a pipe without a reader, or closed.

    Returns:
        Its exit code, and what it wrote to the other stream.
    """
    redirection = {"full": f"{stream}>/dev/full", "closed": f"{stream}>&-", "left": f"{stream}>&9"}[how]
    command = [sys.executable, "-m", "streamgmm", *map(str, arguments)]
    read_end, write_end = os.pipe()
    os.close(read_end)
    script = ["bash", "-c", f'exec 9>&{write_end}; exec "$@" {redirection} 9>&-', "bash", *command]
    done = subprocess.run(script, capture_output=True, text=True, timeout=120, check=False, pass_fds=[write_end])
    os.close(write_end)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    write_sounds(folder / "known")
    write_sounds(folder / "new", ["doorbell"])
    return folder


@pytest.fixture(scope="module")
def trained(sounds: Path) -> Path:
    path = sounds / "my.sgm"
    process = spawn_cli("train", sounds / "known", "-o", path, *QUICK)
    assert process.communicate(timeout=120)[0] == ""
    return path


@pytest.mark.parametrize(("how", "code"), [("full", 74), ("left", 74), ("closed", 0)])
def test_E33_a_training_whose_report_is_lost_still_writes_its_model(
    how: str, code: int, sounds: Path, tmp_path: Path
) -> None:
    model = tmp_path / "my.sgm"
    assert lose(2, how, "train", sounds / "known", "-o", model, *QUICK) == (code, "")
    assert load_model(model).labels == tuple(SOUND_LABELS)
    assert cache_path(model).exists()


@pytest.mark.parametrize("how", LOSSES)
def test_a_training_needs_no_stdout(how: str, sounds: Path, tmp_path: Path) -> None:
    code, err = lose(1, how, "train", sounds / "known", "-o", tmp_path / "my.sgm", *QUICK)
    assert (code, "wrote " in err) == (0, True)


CHANGES = [
    "enrol doorbell {new} --model {model} --output {out} --force",
    "forget {label} --model {model} --output {out} --force",
    "tune {model} --background {new} --max-false-alarms-per-hour 3600 --output {out}",
    "evaluate {known} --model {model} --json {out}",
    "explain {clip} --at 0.5 --model {model} --json {out}",
]


@pytest.mark.parametrize("command", CHANGES)
@pytest.mark.parametrize(
    ("stream", "how", "code"),
    [(1, "full", 74), (1, "left", -signal.SIGPIPE), (2, "left", 74)],
)
def test_E34_what_was_worked_for_is_written_though_nobody_can_read_what_is_printed(
    command: str, stream: int, how: str, code: int, sounds: Path, trained: Path, tmp_path: Path
) -> None:
    known = sounds / "known"
    out = tmp_path / "out.sgm"
    clip = next((known / SOUND_LABELS[0]).iterdir())
    places = {"new": sounds / "new" / "doorbell", "model": trained, "known": known, "clip": clip, "out": out}
    words = [word.format(**places, label=SOUND_LABELS[0]) for word in command.split()]
    ended, printed = lose(stream, how, *words)
    # What has nothing to report on stderr loses nothing there.
    may_end = {code, 0} if stream == 2 and words[0] in ("evaluate", "explain") else {code}
    assert ended in may_end, printed
    assert "Traceback" not in printed
    assert out.exists()


@pytest.mark.parametrize("arguments", ["classify nowhere.wav", "nonsense", "config check nowhere", "run --set a=b"])
@pytest.mark.parametrize("how", LOSSES)
def test_an_error_that_nobody_can_read_keeps_its_exit_code(arguments: str, how: str) -> None:
    expected = spawn_cli(*arguments.split())
    expected.communicate(timeout=60)
    assert lose(2, how, *arguments.split()) == (expected.returncode, "")


@pytest.mark.parametrize("arguments", ["--help", "train --help", "--version", "config show", "model show"])
@pytest.mark.parametrize(("how", "code"), [("full", 74), ("left", -signal.SIGPIPE), ("closed", 78)])
def test_E34_a_result_that_is_lost_is_in_the_exit_code(arguments: str, how: str, code: int) -> None:
    ended, err = lose(1, how, *arguments.split())
    assert (ended, err.count("\n")) == (code, 0 if how == "left" else 1)


def test_what_is_opened_after_a_closed_stderr_does_not_take_its_place() -> None:
    program = "import os; from streamgmm.cli.streams import fill_closed_outputs as fill; fill(); os.write(2, b'lost')"
    done = subprocess.run(["bash", "-c", 'exec "$@" 2>&-', "bash", sys.executable, "-c", program], check=False)
    assert done.returncode == 0


def test_a_stream_fails_once_and_is_silent_from_then_on() -> None:
    class Failing(io.StringIO):
        n_writes = 0

        def write(self, text: str) -> int:
            self.n_writes += 1
            raise OSError(28, "No space left on device")

    failing = Failing()
    stream = EnduringStream(failing)
    assert [stream.write(text) for text in ("one", "three")] == [3, 5]
    stream.flush()
    assert failing.n_writes == 1
    assert stream.failure is not None
    assert stream.failure.errno == 28


def test_a_stream_that_works_is_as_it_was() -> None:
    under = io.StringIO()
    stream = EnduringStream(under)
    print("a line", file=stream, flush=True)
    assert (under.getvalue(), stream.failure, stream.isatty()) == ("a line\n", None, False)
