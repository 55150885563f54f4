from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from streamgmm import __version__, errors
from streamgmm.cli.main import COMMANDS
from streamgmm.features.kernel.loader import kernel_name
from tests.cli.cli_rig import run_cli, spawn_cli, spawn_main
from tests.narrowing import present

posix_only = pytest.mark.skipif(os.name != "posix", reason="ends by POSIX signals")

# A command that does what the test says, in place of `config show`.
FAKE = """
import streamgmm.cli.config as command
def handler(args):
    {body}
    return 0
command.show_config = handler
"""


def fake(body: str) -> str:
    return FAKE.format(body=body.replace("\n", "\n    "))


def end_of(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version(capsys: pytest.CaptureFixture[str], option: str) -> None:
    assert run_cli(capsys, option) == (0, f"streamgmm {__version__} (kernel: {kernel_name()})\n", "")


def test_python_m_is_the_same_command() -> None:
    assert end_of(spawn_cli("--version")) == (0, f"streamgmm {__version__} (kernel: {kernel_name()})\n", "")


@pytest.mark.parametrize("arguments", [["--version"], ["classify", "{}"]])
def test_F35_a_kernel_that_does_not_exist_is_one_line(
    arguments: list[str], demo_scene: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMGMM_KERNEL", "nunpy")
    code, out, err = run_cli(capsys, *(argument.format(demo_scene) for argument in arguments))
    assert (code, out) == (78, "")
    assert err.splitlines()[-1].startswith("streamgmm: error: STREAMGMM_KERNEL: no kernel 'nunpy' on this machine (")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "the following arguments are required: COMMAND (see `streamgmm --help`)"),
        (["trian"], "unknown command trian (did you mean train?)"),
        (["xyzzy"], f"unknown command xyzzy (there are {', '.join(COMMANDS)})"),
        (["config"], "the following arguments are required: ACTION (see `streamgmm config --help`)"),
        (["config", "show", "--anotated"], "unknown argument --anotated (did you mean --annotated?)"),
        (["config", "show", "--anno"], "unknown argument --anno (did you mean --annotated?)"),
        (["config", "check", "a", "b"], "unknown argument b (see `streamgmm --help`)"),
        (["config", "show", "--set"], "argument --set: expected one argument (see `streamgmm config show --help`)"),
    ],
)
def test_usage_errors_are_one_line_and_64(capsys: pytest.CaptureFixture[str], arguments: list[str], says: str) -> None:
    assert run_cli(capsys, *arguments) == (64, "", f"streamgmm: error: {says}\n")


@pytest.mark.parametrize("command", [[], ["config"], ["config", "show"], ["config", "check"], ["devices"], ["model"]])
def test_help_is_printed_on_stdout(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    code, out, err = run_cli(capsys, *command, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: {' '.join(['streamgmm', *command])} [")


@pytest.mark.parametrize("place", [["-v", "config", "show"], ["config", "-v", "show"]])
def test_verbose_may_stand_before_or_after_the_command(capsys: pytest.CaptureFixture[str], place: list[str]) -> None:
    assert run_cli(capsys, *place).code == 0


def test_choosing_a_command_imports_no_other() -> None:
    program = (
        "import sys\nfrom streamgmm.cli.main import main\nmain(['config', 'check', 'nowhere'])\n"
        "print(*[name for name in sys.modules if name in ('numpy', 'rich', 'scipy', 'sklearn', 'sounddevice')\n"
        "        or name.startswith('streamgmm.cli.')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    modules = (
        "main",
        "clashes",
        "log_lines",
        "parser",
        "parsers",
        "parsers.config",
        "streams",
        "utf8",
        "options",
        "config",
    )
    loaded = {f"streamgmm.cli.{name}" for name in modules}
    assert set(done.stdout.split()) == loaded


ERRORS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.StreamgmmError)]


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_is_told_by_its_exit_code_without_a_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, kind: type[errors.StreamgmmError]
) -> None:
    def fail(*_: object) -> None:
        raise kind(["first", "second"]) if kind is errors.ConfigError else kind("bad", where="a\nb", hint="try c")

    monkeypatch.setattr("streamgmm.cli.config.load_config", fail)
    code, out, err = run_cli(capsys, "config", "show")
    assert (code, out) == (kind.exit_code, "")
    lines = ["first", "second"] if kind is errors.ConfigError else ["a\\nb: bad (try c)"]
    assert err.splitlines() == [f"streamgmm: error: {line}" for line in lines]


def test_only_a_bug_shows_a_traceback(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamgmm.cli.config.annotated_yaml", lambda _: 1 / 0)
    code, _, err = run_cli(capsys, "config", "show")
    assert code == 70
    assert "Traceback" in err
    assert err.endswith("streamgmm: error: this is a bug, please report it with the lines above\n")


@posix_only
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_E18_a_reader_that_leaves_ends_the_command_as_it_would_cat(unbuffered: str) -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    for arguments in (["config", "show"], ["--help"]):
        process = spawn_cli(*arguments, env=environment)
        present(process.stdout).close()
        assert process.wait(60) == -signal.SIGPIPE
        assert present(process.stderr).read() == ""
        present(process.stderr).close()


@posix_only
def test_E18_a_shell_sees_141() -> None:
    script = f"{sys.executable} -m streamgmm config show | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("141\n", "")


@posix_only
def test_E18_under_systemd_a_closed_stdout_is_a_failure() -> None:
    preparation = "import os\nos.environ['SYSTEMD_EXEC_PID'] = str(os.getpid())"
    process = spawn_main(preparation, "config", "show")
    present(process.stdout).close()
    assert process.wait(60) == 74
    assert present(process.stderr).read() == ""
    present(process.stderr).close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_E19_a_full_disk_is_one_line_and_74(unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        process = spawn_cli("config", "show", stdout=full, env={**os.environ, "PYTHONUNBUFFERED": unbuffered})
        code, _, err = end_of(process)
    assert (code, err) == (74, "streamgmm: error: cannot write: No space left on device\n")


@posix_only
@pytest.mark.parametrize(
    "command",
    [
        *("config show", "model show m.sgm", "classify a.wav", "evaluate x", "devices", "demo"),
        *("--help", "--version", "train --help", "run --help", "config --help"),
    ],
)
def test_E21_a_result_that_nobody_could_read_is_refused(command: str) -> None:
    program = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "streamgmm", *command.split()]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (78, 1)
    assert done.stderr.startswith("streamgmm: error: stdout is closed")


@posix_only
def test_F2_ctrl_c_ends_by_the_signal_without_a_traceback() -> None:
    process = spawn_main(fake("import signal\nprint('up', flush=True)\nsignal.pause()"), "config", "show")
    assert present(process.stdout).readline() == "up\n"
    process.send_signal(signal.SIGINT)
    assert end_of(process) == (-signal.SIGINT, "", "")


@posix_only
def test_F2_what_was_printed_before_ctrl_c_is_not_lost() -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}
    process = spawn_main(fake("print('result')\nraise KeyboardInterrupt"), "config", "show", env=environment)
    assert end_of(process) == (-signal.SIGINT, "result\n", "")


@posix_only
@pytest.mark.parametrize(
    ("number", "code"), [("EMFILE", 71), ("ENFILE", 71), ("ENOMEM", 71), ("ENOSPC", 74), ("EDQUOT", 74), ("EIO", 74)]
)
def test_F17_an_exhausted_system_is_no_bug(number: str, code: int) -> None:
    body = f"import errno, os\nraise OSError(errno.{number}, os.strerror(errno.{number}), 'x')"
    ended, _, err = end_of(spawn_main(fake(body), "config", "show"))
    assert ended == code
    assert err.startswith("streamgmm: error: x: ")
    assert err.count("\n") == 1


@posix_only
def test_F22_an_error_without_a_stderr_still_has_its_exit_code() -> None:
    script = f"exec {sys.executable} -m streamgmm nonsense 2>&-"
    assert subprocess.run(["bash", "-c", script], check=False).returncode == 64


@posix_only
@pytest.mark.parametrize("environment", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}])
def test_E26_output_survives_any_locale(environment: dict[str, str]) -> None:
    process = spawn_cli("config", "show", "--set", "model.path=/übung", env={**os.environ, **environment})
    code, out, err = end_of(process)
    assert (code, err) == (0, "")
    assert "bung" in out


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        ("record -- x --seconds 1", "unknown argument --seconds (options stand before --)"),
        ("record -- x --seconds=1", "unknown argument --seconds=1 (options stand before --)"),
        ("--json status", "unknown argument --json (the options of a command stand after its name)"),
        ("record x --secnds 1", "unknown argument --secnds (did you mean --seconds?)"),
        ("record -- x --secnds 1", "unknown argument --secnds (did you mean --seconds?)"),
        ("record x y", "unknown argument y (see `streamgmm --help`)"),
    ],
)
def test_an_option_in_the_wrong_place_is_not_suggested_as_itself(
    capsys: pytest.CaptureFixture[str], command: str, advice: str
) -> None:
    outcome = run_cli(capsys, *command.split())
    assert (outcome.code, outcome.err) == (64, f"streamgmm: error: {advice}\n")


def test_warnings_and_hints_below_an_error_are_no_errors(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "data" / "siren").mkdir(parents=True)
    (tmp_path / "data" / "siren" / "a.m4a").touch()
    (tmp_path / "data" / "siren" / "b.wav").write_bytes(b"no sound")
    outcome = run_cli(capsys, "train", tmp_path / "data", "-o", tmp_path / "x.sgm")
    assert outcome.code == 65
    first, *others = outcome.err.splitlines()
    assert first.startswith("streamgmm: error: ")
    assert others
    assert all(line.startswith("streamgmm: left out: ") for line in others)
    (tmp_path / "events.tsv").write_text("b.wav\tx\t2\tsiren\n")
    problem, hint = run_cli(capsys, "train", tmp_path / "events.tsv", "-o", tmp_path / "x.sgm").err.splitlines()
    assert problem.startswith("streamgmm: error: ")
    assert hint == "streamgmm: lines are onset, offset and label, in seconds, separated by tabs"
