"""`streamgmm run` and `classify` as real processes, on files and pipes, with real subscribers."""

from __future__ import annotations

import array
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from tests.cli.cli_rig import spawn_main
from tests.narrowing import present
from tests.ports import free_port
from tests.pulse_rig import missing_parts, write_wav
from tests.required import require_or_skip
from tests.sinks.sink_rig import Client
from tests.system.run_rig import (
    STOP_LIMIT_S,
    TIMEOUT_S,
    Daemon,
    Json,
    check_bye,
    check_stream,
    frames_of,
    parse,
    run,
    running,
    subscribe,
    wait_until,
    without_names,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and UNIX sockets")
RATE_HZ = 16000
PIPE_BYTES = 4096


@pytest.fixture(scope="module")
def short_scene(demo_scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds with one event."""
    samples = np.frombuffer(frames_of(demo_scene, 19.0, 23.0), "<i2")
    return write_wav(tmp_path_factory.mktemp("short") / "short.wav", samples, RATE_HZ)


def without_status(records: list[Json]) -> list[Json]:
    """Without the status of the greeting, which those who came before the hello do not get."""
    return [record for record in records if record["type"] != "status"]


def n_waiting_bytes(fd: int) -> int:
    count = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, count)
    return count[0]


def wait_for_stuck_stdout(daemon: Daemon) -> None:
    """Until its small pipe holds so much that the next line has no room."""
    fd = daemon.stdout.fileno()
    wait_until(lambda: n_waiting_bytes(fd) > PIPE_BYTES - 500, "stdout never filled")


def test_a_recording_becomes_a_stream_of_records(demo_model: Path, demo_scene: Path) -> None:
    ended = run("-m", demo_model, "-s", f"file:{demo_scene}")
    assert ended.code == 0
    check_stream(ended.records)
    assert ended.records[-1]["analysed_samples"] == 60 * RATE_HZ
    labels = [record["label"] for record in ended.records if record["type"] == "start"]
    assert {"doorbell", "siren", "smoke_alarm"} <= set(labels)
    assert len(labels) == sum(record["type"] == "end" for record in ended.records)


def test_classify_gives_the_same_bytes_as_run(demo_model: Path, demo_scene: Path) -> None:
    for options in ([], ["--windows"], ["--format", "text"], ["--format", "dcase"]):
        ran = run("-m", demo_model, "-s", f"file:{demo_scene}", *options)
        classified = run("-m", demo_model, demo_scene, *options, command="classify")
        assert classified.out == ran.out != b""
        assert (classified.code, classified.err) == (0, "")


def test_subscribers_of_all_sockets_get_the_same_and_a_late_one_the_state(
    demo_model: Path, short_scene: Path, tmp_path: Path
) -> None:
    uris = [f"unix://{tmp_path}/s", f"tcp://127.0.0.1:{free_port()}"]
    sinks = [word for uri in [*uris, "stdout:"] for word in ("--sink", uri)]
    with running("-m", demo_model, "-s", "pcm:-", "--windows", *sinks, stdin=subprocess.PIPE) as daemon:
        early = [subscribe(uri) for uri in uris + uris]
        # Nothing is to be heard before all of them are in: a connection may still wait to be accepted.
        greetings = [json.loads(client.read_lines(1)[0]) for client in early]
        pcm = frames_of(short_scene)
        daemon.stdin.write(pcm[: len(pcm) // 2])
        daemon.stdin.flush()
        while json.loads(early[0].read_lines(1)[0])["t"] < 1.5:
            pass
        with Client(uris[0]) as late:
            hello, status = parse(b"\n".join(late.read_lines(2)))
            assert hello == greetings[0]
            assert (status["type"], status["state"]) == ("status", "ok")
            assert status["health"]["n_clients"] == len(early)
            daemon.stdin.write(pcm[len(pcm) // 2 :])
            daemon.stdin.close()
            late_rest = parse(late.read_to_end())
        rests = [without_status(parse(client.read_to_end())) for client in early[1:]]
        out = parse(daemon.stdout.read())
        assert daemon.wait() == 0
    check_stream(out)
    assert [greetings[0], *rests[0]] == out
    assert rests[0] == rests[1] == rests[2]
    # At most the start of an event that was open when it came, then all that followed.
    following = [record for record in late_rest if record["seq"] >= late_rest[1]["seq"]]
    assert following == out[following[0]["seq"] :]
    assert not (tmp_path / "s").exists()
    for client in early:
        client.close()


def test_A21_a_pipe_gives_the_records_of_the_file(demo_model: Path, demo_scene: Path) -> None:
    from_file = run("-m", demo_model, "-s", f"file:{demo_scene}", "--windows")
    from_pipe = run("-m", demo_model, "-s", "pcm:-", "--windows", input=frames_of(demo_scene))
    assert from_pipe.code == 0
    assert without_names(from_pipe.records) == without_names(from_file.records)
    assert {record["source"] for record in from_pipe.records} == {"pcm:-"}


def test_A20_bytes_one_by_one_and_half_a_sample_at_the_end(demo_model: Path, short_scene: Path) -> None:
    pcm = frames_of(short_scene)[: RATE_HZ * 3]
    at_once = run("-m", demo_model, "-s", "pcm:-", "--windows", input=pcm)
    with running("-m", demo_model, "-s", "pcm:-", "--windows", stdin=subprocess.PIPE) as daemon:
        fd = daemon.stdin.fileno()
        for i_byte in range(len(pcm)):
            os.write(fd, pcm[i_byte : i_byte + 1])
        os.write(fd, b"\x7f")
        out, _ = daemon.stdout, daemon.stdin.close()
        assert out.read() == at_once.out
        assert daemon.wait() == 0


def test_A21_an_empty_pipe_is_an_empty_stream(demo_model: Path) -> None:
    ended = run("-m", demo_model, "-s", "pcm:-", input=b"")
    assert ended.code == 0
    check_stream(ended.records)
    assert ended.records[-1]["captured_samples"] == 0


def test_A22_a_writer_that_pauses_is_waited_for(demo_model: Path, short_scene: Path) -> None:
    pcm = frames_of(short_scene)
    with running("-m", demo_model, "-s", "pcm:-", "--windows", stdin=subprocess.PIPE) as daemon:
        for first in range(0, len(pcm), len(pcm) // 4):
            daemon.stdin.write(pcm[first : first + len(pcm) // 4])
            daemon.stdin.flush()
            # All that can be known of it is said before more comes.
            end_s = min(len(pcm), first + len(pcm) // 4) / 2 / RATE_HZ
            while end_s - json.loads(daemon.stdout.readline())["t"] >= 0.128:
                pass
        daemon.stdin.close()
        last = parse(daemon.stdout.read())
        assert daemon.wait() == 0
    check_bye(last[-1])
    assert last[-1]["lost_samples"] == 0


def shell(script: str, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    command = ["bash", "-c", f"set -o pipefail; {script}", sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)


def test_E18_a_reader_that_leaves_ends_the_run_as_it_would_cat(demo_model: Path, demo_scene: Path) -> None:
    script = '"$0" -m streamgmm run -m "$1" -s "file:$2" --windows | head -1'
    done = shell(script, demo_model, demo_scene)
    assert done.returncode == 128 + signal.SIGPIPE
    assert parse(done.stdout)[0]["type"] == "hello"
    assert b"Traceback" not in done.stderr


def test_E18_a_reader_that_left_is_noticed_while_no_audio_flows(demo_model: Path) -> None:
    with running("-m", demo_model, "-s", "pcm:-", stdin=subprocess.PIPE) as daemon:
        daemon.stdout.close()
        assert daemon.wait() == -signal.SIGPIPE
        assert "Traceback" not in daemon.log


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_E19_a_full_disk_is_74(demo_model: Path, demo_scene: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = run("-m", demo_model, "-s", f"file:{demo_scene}", stdout=full)
    assert ended.code == 74
    assert ended.err.splitlines()[-1].startswith("streamgmm: error: stdout: cannot write: No space left on device")


def test_E20_a_stuck_reader_of_stdout_holds_up_no_subscriber(
    demo_model: Path, demo_scene: Path, tmp_path: Path
) -> None:
    options = ["--windows", "--set", "output.queue_records=16", "--sink", "stdout:", "--sink", f"unix://{tmp_path}/s"]
    # As live as a microphone, only faster; the pipe holds some ten records.
    with running("-m", demo_model, "-s", f"file:{demo_scene}", "--pace=12", *options, pipesize=PIPE_BYTES) as daemon:
        with subscribe(f"unix://{tmp_path}/s") as client:
            hello, *rest = parse(client.read_to_end())
        assert daemon.wait() == 0
    assert hello["type"] == "hello"
    check_bye(rest[-1])
    assert rest[-1]["lost_samples"] == 0
    assert rest[-1]["analysed_samples"] == 60 * RATE_HZ
    *_, last = (line for line in daemon.log.splitlines() if "sink=stdout" in line)
    counts = dict(word.split("=") for word in last.split() if "=" in word)
    assert int(counts["dropped"]) > 300
    assert sum(int(counts[key]) for key in ("sent", "dropped", "left")) == rest[-1]["seq"] + 1


@pytest.mark.parametrize("pace", ["12", "30"])
def test_a_recording_at_another_pace_is_dated_when_it_is_heard(demo_model: Path, demo_scene: Path, pace: str) -> None:
    before = datetime.now(UTC)
    records = parse(run("-m", demo_model, "-s", f"file:{demo_scene}", f"--pace={pace}").out)
    after = datetime.now(UTC)
    dates = {
        (record["id"], name): datetime.fromisoformat(record[name])
        for record in records
        for name in ("start_time", "end_time")
        if record["type"] == "end"
    }
    assert len(dates) > 10
    assert all(before <= date <= after for date in dates.values())
    for record in records:
        if record["type"] == "start":
            # A little later, if the samples were read a little late meanwhile.
            change = dates[record["id"], "start_time"] - datetime.fromisoformat(record["start_time"])
            assert abs(change.total_seconds()) < 0.5


def test_a_recording_waits_for_a_slow_reader_of_stdout(demo_model: Path, demo_scene: Path) -> None:
    options = ["--windows", "--set", "output.queue_records=16"]
    expected = run("-m", demo_model, "-s", f"file:{demo_scene}", *options).out
    with running("-m", demo_model, "-s", f"file:{demo_scene}", *options, pipesize=PIPE_BYTES) as daemon:
        wait_for_stuck_stdout(daemon)
        assert daemon.stdout.read() == expected
        assert daemon.wait() == 0


def test_E21_a_closed_stdout_is_refused(demo_model: Path, demo_scene: Path) -> None:
    done = shell('exec "$0" -m streamgmm run -m "$1" -s "file:$2" >&-', demo_model, demo_scene)
    assert done.returncode == 78
    assert b"stdout is closed" in done.stderr


@pytest.fixture(params=["missing device", "silent pipe", "middle of a file", "stuck stdout", "stuck at the end"])
def busy(request: pytest.FixtureRequest, demo_model: Path, demo_scene: Path, tmp_path: Path) -> Iterator[Daemon]:
    """A daemon in one of the states in which it may have to stop, once it is there."""
    arguments = {
        "missing device": ["-s", "mic"],
        "silent pipe": ["-s", "pcm:-"],
        "middle of a file": ["-s", f"file:{demo_scene}", "--pace=1"],
        "stuck stdout": ["-s", f"file:{demo_scene}", "--set", "output.queue_records=16"],
        "stuck at the end": ["-s", f"file:{demo_scene}"],
    }[request.param]
    if request.param == "missing device" and (missing := missing_parts()):
        require_or_skip("pulse", f"missing {', '.join(missing)}")
    sinks = ["--sink", "stdout:", "--sink", f"unix://{tmp_path}/s", "--windows"]
    env = {**os.environ, "PULSE_SERVER": "unix:/nonexistent"}
    streams = {"stdin": subprocess.PIPE, "pipesize": PIPE_BYTES, "env": env}
    with running("-m", demo_model, *arguments, *sinks, **streams) as daemon:
        match request.param:
            case "missing device":
                daemon.wait_for_log("state=degraded")
            case "middle of a file":
                daemon.wait_for_log("state=ok")
            case "stuck stdout":
                wait_for_stuck_stdout(daemon)
            case "stuck at the end":
                daemon.wait_for_log("process.stopped")
        yield daemon


def test_F1_sigterm_ends_every_state_gracefully_within_two_seconds(busy: Daemon, tmp_path: Path) -> None:
    with subscribe(f"unix://{tmp_path}/s") as client:
        assert json.loads(client.read_lines(1)[0])["type"] == "hello"
        busy.signal(signal.SIGTERM)
        rest = parse(client.read_to_end())
        busy.check_end()
    if "reason=end of input" not in busy.log:  # else it was said before this client came
        check_bye(rest[-1], "SIGTERM")
    assert not (tmp_path / "s").exists()


def test_F1_the_second_sigterm_ends_it_at_once(demo_model: Path, demo_scene: Path) -> None:
    with running("-m", demo_model, "-s", f"file:{demo_scene}", "--windows", pipesize=PIPE_BYTES) as daemon:
        daemon.wait_for_log("process.stopped")
        wait_until(lambda: ends_when_told(daemon), "the second signal was not taken")
        assert daemon.wait() == -signal.SIGTERM


def test_F1_sigterm_that_the_system_hands_to_another_thread(demo_model: Path, demo_scene: Path) -> None:
    # The main thread refuses it and the others take it, so that none but they can be given it.
    preparation = """
import signal
from streamgmm.service import daemon
start_thread = daemon.start_thread
def start_thread_that_takes_signals(target, name):
    def run():
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        target()
    return start_thread(run, name)
daemon.start_thread = start_thread_that_takes_signals
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
"""
    process = spawn_main(preparation, "run", "-m", demo_model, "-s", f"file:{demo_scene}", "--pace=1", "--windows")
    with process:
        assert '"window"' in [present(process.stdout).readline() for _ in range(3)][-1]
        signalled_s = time.monotonic()
        process.terminate()
        try:
            out, _ = process.communicate(timeout=STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert time.monotonic() - signalled_s < STOP_LIMIT_S
    assert process.returncode == 0
    check_bye(parse(out.encode())[-1], "SIGTERM")


def test_no_thread_outlives_a_run(demo_model: Path, demo_scene: Path) -> None:
    # What a thread still holds when the interpreter ends is never released, and libraries complain of it on stderr.
    preparation = """
import atexit
import threading
import time
from streamgmm.service.reload import Reloader
serve = Reloader.run
Reloader.run = lambda reloader: (serve(reloader), time.sleep(0.05))  # its thread ends later than it could
atexit.register(lambda: print(*(thread.name for thread in threading.enumerate()), flush=True))
"""
    process = spawn_main(preparation, "run", "-m", demo_model, "-s", f"file:{demo_scene}")
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, out.splitlines()[-1]) == (0, "MainThread"), err


def ends_when_told(daemon: Daemon) -> bool:
    daemon.signal(signal.SIGTERM)
    return daemon.process.poll() is not None


def test_F1_the_two_signals_that_timeout_sends_are_one(demo_model: Path, demo_scene: Path) -> None:
    with running("-m", demo_model, "-s", f"file:{demo_scene}", "--windows", pipesize=PIPE_BYTES) as daemon:
        daemon.wait_for_log("process.stopped")  # and now it waits for us to read the rest
        daemon.signal(signal.SIGTERM)
        wait_until(lambda: not signal_is_pending(daemon.process.pid), "the first signal was not taken")
        daemon.signal(signal.SIGTERM)
        records = parse(daemon.stdout.read())
        assert daemon.wait() == 0
    assert records[-1]["type"] == "bye"


def signal_is_pending(pid: int) -> bool:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return any(int(line.split()[1], 16) for line in lines if line.startswith(("SigPnd", "ShdPnd")))


def test_F2_ctrl_c_says_bye_and_dies_of_the_signal(demo_model: Path, demo_scene: Path) -> None:
    with running("-m", demo_model, "-s", f"file:{demo_scene}", "--pace=1") as daemon:
        daemon.wait_for_log("state=ok")
        daemon.signal(signal.SIGINT)
        records = parse(daemon.stdout.read())
        assert daemon.wait() == -signal.SIGINT
        assert daemon.ended_s - daemon.signalled_s < STOP_LIMIT_S
        assert "Traceback" not in daemon.log
    check_stream(records, "SIGINT")


def failing(victim: str) -> str:
    """Python that lets a method fail, given by its module within the package, its class and its name."""
    module, owner, method = victim.rsplit(".", 2)
    return (
        f"from streamgmm.{module} import {owner}\n"
        "def fail(self, *_): raise ZeroDivisionError('thrown in')\n"
        f"{owner}.{method} = fail"
    )


@pytest.mark.parametrize(
    ("victim", "sink"),
    [
        ("sinks.stdout.StdoutSink._next_lines", "stdout:"),
        ("sinks.socket.sockets.SocketSink._turn", "unix://{}/s"),
        ("service.room_keeper.RoomKeeper.run", "stdout:"),
    ],
)
def test_F8_a_bug_in_the_only_output_or_in_another_thread_ends_the_run_with_70(
    demo_model: Path, tmp_path: Path, victim: str, sink: str
) -> None:
    arguments = ["run", "-m", demo_model, "-s", "pcm:-", "--sink", sink.format(tmp_path)]
    process = spawn_main(failing(victim), *arguments, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    _, errors = wait_without_input(process)
    assert process.returncode == 70
    assert "ZeroDivisionError: thrown in" in errors
    assert "this is a bug, please report it" in errors


@pytest.mark.parametrize(
    ("victim", "failed"),
    [("sinks.file.FileSink.deliver", "file:"), ("sinks.socket.sockets.SocketSink._turn", "unix:")],
)
def test_F8_a_bug_in_one_of_several_outputs_ends_that_one_alone(
    demo_model: Path, tmp_path: Path, victim: str, failed: str
) -> None:
    uris = ("stdout:", f"file://{tmp_path}/f", f"unix://{tmp_path}/s")
    sinks = [argument for uri in uris for argument in ("--sink", uri)]
    arguments = ["-m", demo_model, "-s", "pcm:-", *sinks]
    with running(*arguments, preparation=failing(victim), stdin=subprocess.PIPE) as daemon:
        daemon.wait_for_log(f"sink.failed unexpectedly sink={failed}")
        daemon.stdin.write(bytes(2 * RATE_HZ))
        daemon.stdin.close()
        records = parse(daemon.stdout.read())
        assert daemon.wait() == 0
    assert "ZeroDivisionError: thrown in" in daemon.log
    assert records[-1]["type"] == "bye"


def wait_without_input(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its end, with its stdin open all the time."""
    code = process.wait(TIMEOUT_S)
    stdin, stderr = present(process.stdin), present(process.stderr)
    errors = stderr.read()
    stdin.close()
    stderr.close()
    return code, errors


def test_E25_sound_that_is_no_number_gives_json_that_is_valid(demo_model: Path) -> None:
    samples = np.random.default_rng(0).normal(0.0, 0.1, 2 * RATE_HZ).astype("<f4")
    samples[RATE_HZ // 2 :: 1000] = np.nan
    samples[RATE_HZ // 2 + 1 :: 1000] = np.inf
    options = ["--windows", "--set", "source.pcm_format=f32le"]
    ended = run("-m", demo_model, "-s", "pcm:-", *options, input=samples.tobytes())
    assert ended.code == 0
    records = [json.loads(line, parse_constant=pytest.fail) for line in ended.out.splitlines()]
    check_stream(records)
    refused = [record for record in records if record.get("reject") == "nonfinite"]
    assert refused
    assert {record["llr"] for record in refused} == {None}


ASCII_ONLY = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}


@pytest.mark.parametrize("name", [b"\xc3\xbc\xf0\x9f\x98\x80\n\t\x7f.wav", b"\xff.wav"])
def test_E26_any_file_name_in_any_locale_gives_printable_utf8(
    demo_model: Path, short_scene: Path, tmp_path: Path, name: bytes
) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/" + name)
    Path(path).write_bytes(short_scene.read_bytes())
    env = {**os.environ, **ASCII_ONLY}
    for command, source in (("run", ["-s", f"file:{path}"]), ("classify", [path]), ("classify", [path, "--clip"])):
        ended = run("-m", demo_model, *source, command=command, env=env)
        if command == "run" and b"\xff" in name:
            # Settings are text, and this is none.
            assert (ended.code, ended.out, ended.err.count("\n")) == (78, b"", 1)
            continue
        assert ended.code == 0, ended.err
        assert ended.records
        assert all(line.isprintable() for line in ended.out.decode("utf-8").splitlines())


@pytest.mark.parametrize("text_format", ["text", "dcase", "audacity"])
def test_E26_a_tab_in_a_file_name_is_no_column(
    demo_model: Path, short_scene: Path, tmp_path: Path, text_format: str
) -> None:
    (path := tmp_path / "a\tb.wav").write_bytes(short_scene.read_bytes())
    ended = run("-m", demo_model, path, path, "-f", text_format, command="classify")
    n_columns = {line.count("\t") + 1 for line in ended.out.decode().splitlines()}
    assert n_columns == {5 if text_format == "text" else 4}


def test_exit_codes_of_what_is_missing_or_wrong(demo_model: Path, demo_scene: Path, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no sound")
    (tmp_path / "bad.sgm").write_bytes(demo_model.read_bytes()[:-1])
    scene = f"file:{demo_scene}"
    cases = {
        64: [["-m", demo_model, "-s", "radio:"], ["-m", demo_model, "--pace"]],
        65: [["-m", tmp_path / "bad.sgm", "-s", scene], ["-m", demo_model, "-s", f"file:{tmp_path}/text.wav"]],
        66: [
            ["-m", tmp_path / "none.sgm", "-s", scene],
            ["-m", demo_model, "-s", "file:none.wav"],
            ["-m", demo_model, "-s", "file:none.wav", "--pace=1"],
        ],
        73: [["-m", demo_model, "-s", scene, "--sink", f"unix://{tmp_path}/none/below/s"]],
        78: [
            ["-m", demo_model, "-s", scene, "--sink", "pigeon:"],
            ["-m", demo_model, "-s", scene, "--pace=fast"],
            ["-m", demo_model, "-s", scene, "--set", "features.n_bands=8"],
            ["-m", demo_model, "-s", scene, "--set", "decision.labels={cat: {hangover_s: 1}}"],
        ],
    }
    for code, commands in cases.items():
        for arguments in commands:
            ended = run(*arguments)
            assert ended.code == code, (arguments, ended)
            assert ended.err.splitlines()[-1].startswith("streamgmm: error: ")
            assert "Traceback" not in ended.err


def test_F21_no_threads_but_its_own(demo_model: Path) -> None:
    env = {key: value for key, value in os.environ.items() if not key.endswith("_NUM_THREADS")}
    with running("-m", demo_model, "-s", "pcm:-", stdin=subprocess.PIPE, env=env) as daemon:
        daemon.stdout.readline()
        # main, worker, capture, guard, reload, stdout, log
        assert len(list(Path(f"/proc/{daemon.process.pid}/task").iterdir())) <= 7
        daemon.terminate()


def test_classify_several_files_and_go_on_after_a_bad_one(demo_model: Path, short_scene: Path, tmp_path: Path) -> None:
    (bad := tmp_path / "bad.wav").write_text("no sound")
    files = [short_scene, bad, short_scene]
    ended = run("-m", demo_model, *files, "--clip", "-f", "text", command="classify")
    assert ended.code == 65
    assert [line.split("\t")[:2] for line in ended.out.decode().splitlines()] == 2 * [[str(short_scene), "siren"]]
    assert ended.err.splitlines()[-1] == "streamgmm: 1 of 3 files skipped"
    strict = run("-m", demo_model, *files, "--clip", "--strict", command="classify")
    assert strict.code == 65
    assert len(strict.records) == 1
    assert strict.records[0]["path"] == str(short_scene)
    assert strict.records[0]["scores"][strict.records[0]["label"]] == strict.records[0]["score"]
    dcase = run("-m", demo_model, short_scene, short_scene, "-f", "dcase", command="classify")
    assert {line.split("\t")[0] for line in dcase.out.decode().splitlines()} == {str(short_scene)}


@pytest.mark.parametrize("is_piped", [False, True])
def test_classify_draws_no_bar_between_its_answers(
    demo_model: Path, short_scene: Path, tmp_path: Path, is_piped: bool
) -> None:
    with (tmp_path / "out").open("wb") as file, terminal() as (screen, tty):
        streams = {"stdout": file if is_piped else tty, "stderr": tty}
        arguments = ["-m", demo_model, short_scene, "--clip", "-f", "label"]
        assert run(*arguments, command="classify", env={**os.environ, "TERM": "xterm"}, **streams).code == 0
        assert (b"classifying" in os.read(screen, PIPE_BYTES)) == is_piped


@contextlib.contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """What stands on a terminal, and where to write to it."""
    screen, tty = os.openpty()
    yield screen, tty
    os.close(screen)
    os.close(tty)


def test_classify_dates_what_is_dated(demo_model: Path, short_scene: Path) -> None:
    ended = run("-m", demo_model, short_scene, "--start-time", "2026-01-31T12:00:00+01:00", command="classify")
    assert [record["time"] for record in (ended.records[0], ended.records[-1])] == [
        "2026-01-31T11:00:00.000Z",
        "2026-01-31T11:00:04.000Z",
    ]
    for wrong in ("noon", "2026-01-31T12:00:00"):
        assert run("-m", demo_model, short_scene, "--start-time", wrong, command="classify").code == 64
