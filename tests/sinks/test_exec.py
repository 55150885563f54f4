"""Commands that are run for records."""

from __future__ import annotations

import json
import os
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec import structs

from streamgmm.errors import ConfigError
from streamgmm.records import Record, encode_json
from streamgmm.settings.output import OutputSection, RecordType, SinkSection
from streamgmm.sinks import exec as exec_module
from streamgmm.sinks.exec import ExecSink
from streamgmm.sinks.hub import make_sinks
from streamgmm.sinks.processes import environment_of
from tests.sinks.sink_rig import HELLO, TIMEOUT_S, Failures, LogLines, end, message, no_failure, start, status

OpenSink = Callable[..., ExecSink]


def shell(script: str) -> str:
    return f"exec:sh -c {shlex.quote(script)}"


@pytest.fixture
def open_sink(failures: Failures) -> Iterator[OpenSink]:
    """Make and open a sink that runs a script for the shell; no failure of it may be left unread."""
    sinks: list[ExecSink] = []

    def make(script: str, **options: object) -> ExecSink:
        sink = ExecSink(shell(script), **options)  # type: ignore[arg-type]
        sink.open(failures)
        sinks.append(sink)
        return sink

    yield make
    for sink in sinks:
        sink.close(0.0)
    assert failures.is_empty


def publish(sink: ExecSink, *records: Record) -> None:
    for record in records:
        sink.publish(message(record))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # One that has ended may wait for whoever adopted it to take notice.
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def wait_for(condition: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def read_pid(path: Path) -> int:
    wait_for(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


def test_the_record_is_in_the_environment_and_on_stdin(open_sink: OpenSink, tmp_path: Path) -> None:
    sink = open_sink(f"env > {tmp_path}/env; cat > {tmp_path}/stdin")
    record = structs.replace(start(7), time="2026-01-31T12:00:00.000Z")
    publish(sink, record)
    sink.close(TIMEOUT_S)
    assert (tmp_path / "stdin").read_bytes() == encode_json(record)
    env = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
    fields = {name: env[f"STREAMGMM_{name}"] for name in ("TYPE", "LABEL", "SCORE", "SOURCE", "TIME", "T", "ID", "SEQ")}
    assert fields == {
        "TYPE": "start",
        "LABEL": "door",
        "SCORE": "0.75",
        "SOURCE": "mic",
        "TIME": "2026-01-31T12:00:00.000Z",
        "T": "2.0",
        "ID": "e1",
        "SEQ": "7",
    }
    assert env["PATH"] == os.environ["PATH"]


def test_what_is_null_is_empty_and_lists_are_on_stdin_only() -> None:
    fields = json.loads(encode_json(HELLO))
    environment = environment_of(fields)
    assert environment[b"STREAMGMM_TIME"] == b""
    assert b"STREAMGMM_LABELS" not in environment
    assert b"STREAMGMM_MODEL" not in environment


def test_fields_of_another_record_are_not_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGMM_LABEL", "outer")
    assert b"STREAMGMM_LABEL" not in environment_of({"type": "status"})


@pytest.mark.parametrize("label", ["$(touch pwned)", "`touch pwned`", "; touch pwned", "' \" \\ * ~ $HOME", "Tür 🔔"])
def test_E36_a_label_is_only_ever_a_value(
    open_sink: OpenSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label: str
) -> None:
    monkeypatch.chdir(tmp_path)
    sink = open_sink('printf %s "$STREAMGMM_LABEL" > label')
    publish(sink, start(1, label=label))
    sink.close(TIMEOUT_S)
    assert (tmp_path / "label").read_text() == label
    assert [path.name for path in tmp_path.iterdir()] == ["label"]


def test_E36_a_label_adds_no_variable_and_no_line(open_sink: OpenSink, tmp_path: Path) -> None:
    sink = open_sink(f"env -0 > {tmp_path}/env")
    publish(sink, start(1, label="a\nPATH=/evil\0LD_PRELOAD=/evil"))
    sink.close(TIMEOUT_S)
    env = (tmp_path / "env").read_text().split("\0")
    assert r"STREAMGMM_LABEL=a\nPATH=/evil\x00LD_PRELOAD=/evil" in env
    assert not any(line.startswith("LD_PRELOAD") for line in env)


def test_arguments_are_split_without_a_shell(tmp_path: Path, failures: Failures) -> None:
    sink = ExecSink(f"exec:touch '{tmp_path}/a b' {tmp_path}/$HOME;x")
    sink.open(failures)
    publish(sink, start(1))
    sink.close(TIMEOUT_S)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["$HOME;x", "a b"]


def test_starts_alone_are_run_unless_records_are_named(tmp_path: Path) -> None:
    uri = shell(f"cat >> {tmp_path}/all")
    cases: list[tuple[list[RecordType], list[str]]] = [([], ["start"]), (["end", "status"], ["status", "end"])]
    for records, types in cases:
        (sink,) = make_sinks(OutputSection(sinks=[SinkSection(uri=uri, records=records, max_running=1)]))
        sink.open(no_failure)
        for record in (HELLO, status(1), start(2), end(3)):
            sink.publish(message(record))
        sink.close(TIMEOUT_S)
        lines = (tmp_path / "all").read_text().splitlines()
        assert [json.loads(line)["type"] for line in lines] == types
        (tmp_path / "all").unlink()


def test_only_so_many_run_at_once_and_all_run_in_the_end(open_sink: OpenSink, tmp_path: Path) -> None:
    log_path = tmp_path / "log"
    sink = open_sink(f"echo + >> {log_path}; sleep 0.1; echo - >> {log_path}", max_running=2)
    publish(sink, *map(start, range(6)))
    sink.close(TIMEOUT_S)
    steps = [1 if line == "+" else -1 for line in log_path.read_text().splitlines()]
    assert len(steps) == 12
    assert max(sum(steps[: i + 1]) for i in range(12)) == 2


def test_E35_the_oldest_waiting_records_give_way(open_sink: OpenSink, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    sink = open_sink(f"cat >> {tmp_path}/all; until [ -e {gate} ]; do sleep 0.01; done", max_running=1, max_records=2)
    publish(sink, start(0))
    wait_for((tmp_path / "all").exists)
    publish(sink, *map(start, range(1, 10)))
    gate.touch()
    sink.close(TIMEOUT_S)
    records = [json.loads(line) for line in (tmp_path / "all").read_text().splitlines()]
    assert [record["seq"] for record in records if record["type"] == "start"][-1] == 9
    assert sum(record.get("count", 1) for record in records) == 10


@pytest.mark.parametrize("script", ["sleep 100", "trap '' TERM; sleep 100; sleep 100"])
def test_E35_a_command_that_takes_too_long_is_ended_with_its_group(
    open_sink: OpenSink, tmp_path: Path, log: LogLines, script: str
) -> None:
    sink = open_sink(f"echo $$ > {tmp_path}/pid; {script}", timeout_s=0.2)
    publish(sink, start(1))
    assert "took longer than 0.2 s" in log.wait_for("exec.failed")
    assert not is_alive(read_pid(tmp_path / "pid"))


@pytest.mark.parametrize(("script", "reason"), [("exit 3", "exit code 3"), ("kill -9 $$", "signal 9")])
def test_E35_a_command_that_fails_is_logged_and_the_next_one_runs(
    open_sink: OpenSink, tmp_path: Path, log: LogLines, script: str, reason: str
) -> None:
    sink = open_sink(f"cat >> {tmp_path}/all; {script}")
    for seq in (1, 2):
        publish(sink, start(seq))
        assert log.wait_for("exec.failed").endswith(f"reason={reason}")
    assert len((tmp_path / "all").read_text().splitlines()) == 2
    sink.close(TIMEOUT_S)
    assert log.wait_for("sink.closed").endswith("sent=0 failed=2 dropped=0 left=0")


def test_E35_a_program_that_vanishes_is_logged(tmp_path: Path, log: LogLines, failures: Failures) -> None:
    (program := tmp_path / "program").write_text("#!/bin/sh\n")
    program.chmod(0o755)
    sink = ExecSink(f"exec:{program}")
    sink.open(failures)
    program.unlink()
    publish(sink, start(1))
    assert log.wait_for("exec.failed").endswith("reason=cannot run: No such file or directory")
    sink.close(TIMEOUT_S)
    assert failures.is_empty


def test_F8_E35_a_bug_while_a_command_runs_costs_that_command_alone(
    open_sink: OpenSink, tmp_path: Path, log: LogLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise ChildProcessError("somebody else has waited for it")

    sink = open_sink(f"cat >> {tmp_path}/all")
    with monkeypatch.context() as patch:
        patch.setattr(exec_module, "run_program", fail)
        publish(sink, start(1))
        log.wait_for("exec.failed unexpectedly")
    publish(sink, start(2))
    sink.close(TIMEOUT_S)
    assert log.wait_for("sink.closed").endswith("sent=1 failed=1 dropped=0 left=0")
    assert (tmp_path / "all").read_bytes() == message(start(2)).line


def test_E35_a_command_need_not_read_its_stdin(open_sink: OpenSink, log: LogLines) -> None:
    sink = open_sink("exit 4")
    publish(sink, status(1, detail="x" * 200_000))  # more than a pipe holds, and than a variable may
    assert log.wait_for("exec.failed").endswith("exit code 4")


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("exec:", "'exec:' is not of the form exec:COMMAND"),
        ("exec:sh 'a", "no closing quotation"),
        ("exec:/none/program x", "there is no program '/none/program' that can be run"),
        ("exec:no-such-program-xyz", "there is no program 'no-such-program-xyz' that can be run"),
        ("exec:/etc/passwd", "there is no program '/etc/passwd' that can be run"),
        ("exec:sh\n-c", "is not of the form exec:COMMAND"),
    ],
)
def test_E35_a_command_that_cannot_be_run_is_refused_at_the_start(uri: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=r"output\.sinks: ") as caught:
        make_sinks(OutputSection(sinks=[uri]))
    assert problem in str(caught.value)
    assert caught.value.exit_code == 78


def links_in(folder: Path) -> list[str]:
    return sorted(str(path.readlink()) for path in folder.iterdir())


@pytest.mark.parametrize("keep", [True, False])
def test_E37_a_command_gets_none_of_the_descriptors(open_sink: OpenSink, tmp_path: Path, keep: bool) -> None:
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), keep)
        publish(open_sink(f"echo $$ > {tmp_path}/pid; exec sleep 100"), start(1))
        fds = Path(f"/proc/{read_pid(tmp_path / 'pid')}/fd")
        # The shell may not have gone back to its own stdout yet, and `sleep` may still read the locale.
        wait_for(lambda: len(links_in(fds)) == 3)
        links = links_in(fds)
    assert links[:2] == ["/dev/null", "/dev/null"]
    assert links[2].startswith("/memfd:record")


def test_E37_the_signals_of_a_command_are_default(open_sink: OpenSink, tmp_path: Path) -> None:
    before = signal.signal(signal.SIGALRM, signal.SIG_IGN)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        sink = open_sink(f"cat /proc/self/status > {tmp_path}/status")
        publish(sink, start(1))
        sink.close(TIMEOUT_S)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGALRM, before)
    lines = dict(line.split(":\t", 1) for line in (tmp_path / "status").read_text().splitlines())
    # Those that the C library keeps to itself cannot be set, and whoever started this process may ignore them.
    settable = sum(1 << (number - 1) for number in signal.valid_signals())
    assert int(lines["SigIgn"], 16) & settable == int(lines["SigBlk"], 16) == 0


def test_E37_what_a_command_leaves_in_the_background_ends_with_it(open_sink: OpenSink, tmp_path: Path) -> None:
    sink = open_sink(f"sleep 100 & echo $! > {tmp_path}/pid")
    publish(sink, start(1))
    pid = read_pid(tmp_path / "pid")
    sink.close(TIMEOUT_S)
    wait_for(lambda: not is_alive(pid))


@pytest.mark.parametrize("script", ["sleep 100", "trap '' TERM; sleep 100; sleep 100"])
def test_E37_commands_that_run_at_the_end_are_ended(
    open_sink: OpenSink, tmp_path: Path, log: LogLines, script: str
) -> None:
    sink = open_sink(f"echo $$ > {tmp_path}/pid$STREAMGMM_SEQ; {script}", max_running=2)
    publish(sink, *map(start, range(5)))
    pids = [read_pid(tmp_path / f"pid{i}") for i in (0, 1)]
    before_s = time.monotonic()
    sink.close(0.1)
    assert time.monotonic() - before_s < 2.0
    assert "ended with the daemon" in log.wait_for("exec.failed")
    assert not any(map(is_alive, pids))
    assert not (tmp_path / "pid2").exists()


def test_a_source_that_can_wait_waits_for_its_commands(open_sink: OpenSink, tmp_path: Path) -> None:
    sink = open_sink(f"sleep 0.1; cat >> {tmp_path}/all", is_live=False, max_records=1, max_running=2)
    publish(sink, *map(start, range(6)))
    sink.drain()
    assert len((tmp_path / "all").read_text().splitlines()) == 6
