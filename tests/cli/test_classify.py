"""Recordings classified by several processes: the same output as by one, whatever happens to one of them."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from streamgmm.cli import classify
from streamgmm.demo.recordings import write_wav
from tests.cli.cli_rig import run_cli, spawn_bytes
from tests.conftest import DEMO_RATE_HZ
from tests.narrowing import present

LONG_S = 600

linux_only = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for processes of others by pidfd")


@pytest.fixture
def clips(demo_model: Path, tmp_path: Path) -> list[Path]:
    """Recordings of several labels, one that is none among them, and one that is missing."""
    bad = tmp_path / "bad.wav"
    bad.write_text("no sound")
    good = sorted((demo_model.parent / "recordings").glob("*/*0.wav"))
    return [good[0], bad, *good[1:], tmp_path / "missing.wav"]


@pytest.fixture
def long_recording(tmp_path: Path) -> Path:
    path = tmp_path / "long.wav"
    noise = 0.01 * np.random.default_rng(0).standard_normal(LONG_S * DEMO_RATE_HZ)
    write_wav(path, noise.astype(np.float32), DEMO_RATE_HZ)
    return path


@pytest.mark.parametrize("options", [["--windows"], ["--clip"], ["-f", "dcase"], ["--strict"]])
def test_any_number_of_processes_gives_the_same_bytes_messages_and_code(demo_model, clips, options):
    ends = []
    for n_jobs in (1, 3):
        process = spawn_bytes("classify", "-m", demo_model, *clips, *options, "--jobs", n_jobs)
        ends.append((*process.communicate(timeout=60), process.returncode))
    assert ends[1] == ends[0]
    assert ends[0][2] == 65
    assert ends[0][0]


@pytest.mark.parametrize("name", ["/dev/stdin", "/proc/self/fd/0"])
def test_a_file_that_is_another_in_another_process_is_read_by_this_one(demo_model, clips, name):
    with clips[0].open("rb") as stdin:
        arguments = ("-m", demo_model, clips[0], name, "--clip", "-f", "label", "--jobs", 2)
        process = spawn_bytes("classify", *arguments, stdin=stdin)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    first, second = out.splitlines()
    assert first == second


@pytest.mark.parametrize(("n_files", "n_bytes", "options"), [(1, 2**30, ["--jobs", "2"]), (2, 2**20, [])])
def test_one_file_or_little_to_do_starts_no_process(capsys, monkeypatch, demo_model, clips, n_files, n_bytes, options):
    monkeypatch.setattr(classify, "_n_bytes", lambda _: n_bytes)
    monkeypatch.setattr(subprocess, "Popen", None)
    monkeypatch.setattr("multiprocessing.context.SpawnProcess.start", None)
    assert run_cli(capsys, "classify", "-m", demo_model, *(n_files * clips[:1]), *options).code == 0


def blocks_interrupts(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    (mask,) = re.findall(r"^SigBlk:\s*(\w+)$", status, re.MULTILINE)
    return bool(int(mask, 16) & 1 << signal.SIGINT - 1)


@linux_only
@pytest.mark.parametrize("is_interrupted", [True, False], ids=["ctrl_c", "closed_pipe"])
def test_all_processes_end_at_once_and_without_a_word(demo_model, long_recording, is_interrupted):
    files = 4 * [long_recording]
    process = spawn_bytes("classify", "-m", demo_model, *files, "--windows", "--jobs", 2, start_new_session=True)
    stdout, stderr = present(process.stdout), present(process.stderr)
    stdout.readline()
    assert all(blocks_interrupts(worker) for worker in workers_of(process.pid))
    workers = [os.pidfd_open(worker) for worker in workers_of(process.pid)]
    assert len(workers) == 2
    try:
        if is_interrupted:
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
        else:
            stdout.close()
        assert process.wait(30) == -(signal.SIGINT if is_interrupted else signal.SIGPIPE)
        for worker in workers:
            assert select.select([worker], [], [], 30)[0], "a process outlives the command"
    finally:
        for worker in workers:
            os.close(worker)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert stderr.read() == b""
    stdout.close()
    stderr.close()


@linux_only
def test_killed_processes_cost_their_own_recordings_only(demo_model, clips, long_recording):
    files = [long_recording, long_recording, clips[0], clips[2]]
    process = spawn_bytes("classify", "-m", demo_model, *files, "--jobs", 2)
    present(process.stdout).readline()  # of the first recording: both processes have one
    for worker in workers_of(process.pid):
        os.kill(worker, signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 71
    ended = [record for record in map(msgspec.json.decode, out.splitlines()) if record["type"] == "bye"]
    assert [record["source"] for record in ended] == [f"file:{path}" for path in files[2:]]
    killed = f"skipped: {long_recording}: a worker process was killed (is the memory full? use fewer with --jobs)"
    lines = [killed, killed, "2 of 4 files skipped"]
    assert err.decode().splitlines() == [f"streamgmm: {line}" for line in lines]


def workers_of(pid: int) -> list[int]:
    """The processes that a command has started to share its work, without the tracker of their resources."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


@pytest.mark.parametrize(
    "name", ["new\nline.wav", "tab\tname.wav", "del\x7f\u202e\U000e0001.wav", "ümläut.wav", 'a"b.wav']
)
def test_a_path_in_json_is_the_path_itself(capsys, demo_model, clips, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(clips[0].read_bytes())
    assert json.loads(run_cli(capsys, "classify", path, "--model", demo_model, "--clip").out)["path"] == str(path)
    line = run_cli(capsys, "classify", path, "--model", demo_model, "--clip", "--format", "text").out
    assert line.count("\n") == 1


@pytest.mark.parametrize("form", ["dcase", "audacity"])
def test_a_label_per_file_is_no_list_of_events(capsys, demo_model, clips, form):
    code, out, err = run_cli(capsys, "classify", clips[0], "--model", demo_model, "--clip", "--format", form)
    assert (code, out) == (64, "")
    assert f"--clip prints a label per file, {form} is a list of events" in err


@pytest.mark.parametrize("is_terminal", [True, False])
def test_people_are_told_that_there_are_no_events(capsys, monkeypatch, demo_model, clips, is_terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    never = ("--set", "decision.min_duration_s=3600", "--format", "text")
    code, out, err = run_cli(capsys, "classify", clips[0], "--model", demo_model, *never)
    assert (code, out) == (0, "")
    assert ("no events; --clip tells" in err) is is_terminal
