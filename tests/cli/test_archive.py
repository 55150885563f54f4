from __future__ import annotations

import json
import os
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from streamgmm.demo.recordings import write_wav
from streamgmm.demo.scene import make_scene
from tests.cli.cli_rig import command_of, run_cli, spawn_cli
from tests.cluster_rig import require_cluster
from tests.conftest import DEMO_RATE_HZ
from tests.required import mount_namespace
from tests.system.run_rig import wait_until


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    require_cluster()
    folder = tmp_path_factory.mktemp("recordings")
    for i, name in enumerate(["yard_20260131_235930.wav", "undated.wav", "_third.wav"]):
        write_wav(folder / name, make_scene(60.0, i, DEMO_RATE_HZ).samples, DEMO_RATE_HZ)
    return folder


@pytest.fixture(scope="module")
def archive(demo_model, recordings, tmp_path_factory):
    output = tmp_path_factory.mktemp("archive") / "out"
    command = command_of("classify", "-m", demo_model, "-o", output, "--workers", 2, recordings)
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=240)
    assert (done.stdout, done.stderr) == ("", f"3 recordings are in {output}, 0 of them from before\n")
    return output


def rows_of(archive: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet

    return list(pyarrow.parquet.read_table(archive).to_pylist())


def test_processes_of_this_machine_find_what_classify_prints(capsys, demo_model, recordings, archive):
    for path in recordings.iterdir():
        lines = run_cli(capsys, "classify", "-m", demo_model, path).out.splitlines()
        ends = [record for record in map(json.loads, lines) if record["type"] == "end"]
        printed = sorted((end["start_t"], end["end_t"], end["label"], end["max_score"]) for end in ends)
        written = [row for row in rows_of(archive) if row["path"] == str(path)]
        assert sorted((row["onset_s"], row["offset_s"], row["label"], row["score"]) for row in written) == printed
        assert printed


def test_a_name_with_a_time_dates_its_events(archive):
    began = datetime(2026, 1, 31, 23, 59, 30, tzinfo=UTC)
    for row in rows_of(archive):
        is_dated = "20260131_235930" in row["path"]
        assert row["onset_time"] == (began + timedelta(seconds=row["onset_s"]) if is_dated else None)


def test_a_second_start_has_nothing_to_do_and_needs_no_worker(capsys, demo_model, recordings, archive):
    command = ("classify", "-m", demo_model, "-o", archive, "--cluster", "tcp://nowhere:1", recordings)
    code, out, err = run_cli(capsys, *command)
    assert (code, out) == (0, "")
    assert err == f"3 recordings are in {archive}, 3 of them from before\n"


@pytest.mark.skipif(os.name != "posix", reason="interrupts a group of processes")
def test_G8_ctrl_c_ends_the_workers_without_a_traceback_and_keeps_what_is_finished(demo_model, recordings, tmp_path):
    # So many that not all are labelled when the first one is seen.
    output, many = tmp_path / "out", tmp_path / "many"
    many.mkdir()
    for i in range(300):
        os.link(recordings / "undated.wav", many / f"{i}.wav")
    process = spawn_cli("classify", "-m", demo_model, "-o", output, "--workers", 1, many, start_new_session=True)
    wait_until(lambda: list(output.rglob("*.parquet")), "no recording was labelled", 120)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    # Also waits for the workers, which have the same stderr.
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (-signal.SIGINT, "")
    assert "Traceback" not in err
    assert not list(output.rglob("*.tmp"))


def test_another_start_time_is_another_archive(capsys, demo_model, recordings, archive):
    command = ("classify", "-m", demo_model, "-o", archive, "--start-time", "2026-01-31T12:00:00Z", recordings)
    code, _, err = run_cli(capsys, *command)
    assert code == 73
    assert "holds an archive with another start time" in err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--cluster", "tcp://a:1"], "--cluster and --workers are for an archive (name its folder with -o DIR)"),
        (["--workers", "2"], "--cluster and --workers are for an archive"),
        (["-o", "out", "--clip"], "--clip, --windows and --format are for what is printed"),
        (["-o", "out", "--workers", "0"], "0 is not a number from 1 to 256"),
        (["-o", "out", "--workers", "1", "--cluster", "tcp://a:1"], "--workers is for this machine"),
    ],
)
def test_options_that_exclude_each_other_are_refused(capsys, demo_model, recordings, options, told):
    code, _, err = run_cli(capsys, "classify", "-m", demo_model, *options, recordings)
    assert code == 64
    assert told in err


@pytest.mark.parametrize("address", ["nowhere", "", "tcp://127.0.0.1:99999", "tcp://127.0.0.1:0", "tcp://a:\u0661"])
def test_what_is_no_address_is_refused(capsys, demo_model, recordings, tmp_path, address):
    command = ("classify", "-m", demo_model, "-o", tmp_path / "out", "--cluster", address, recordings)
    code, _, err = run_cli(capsys, *command)
    assert code == 64
    assert f"'{address}' is not the address of a scheduler (write it as tcp://HOST:PORT, with a port of 1 to 655" in err
    assert not (tmp_path / "out").exists()


def test_a_recording_that_is_given_twice_is_labelled_once(capsys, demo_model, recordings, tmp_path):
    require_cluster()
    (tmp_path / "link").symlink_to(recordings)
    command = ("classify", "-m", demo_model, "-o", tmp_path / "out", recordings, tmp_path / "link", "--workers", "1")
    code, _, err = run_cli(capsys, *command)
    n_recordings = sum(1 for path in recordings.rglob("*") if path.is_file())
    assert (code, f"{n_recordings} recordings are in" in err) == (0, True)


def test_a_folder_without_recordings_is_refused(capsys, demo_model, tmp_path):
    require_cluster()
    code, _, err = run_cli(capsys, "classify", "-m", demo_model, "-o", tmp_path / "out", tmp_path)
    assert code == 66
    assert err == f"streamgmm: error: {tmp_path}: no recordings\n"


def test_G9_a_disk_that_fills_up_is_one_line_and_keeps_only_whole_files(demo_model, recordings, tmp_path):
    output = tmp_path / "small" / "out"
    output.parent.mkdir()
    command = command_of("classify", "-m", demo_model, "-o", output, "--workers", 1, recordings)
    # Room for the manifest and two files; the mount is seen by this process alone, so it lists what it leaves.
    listing = f'"$@"; code=$?; find {output} -type f -size 0; find {output} -name "*.tmp"; exit $code'
    small = mount_namespace(f"mount -t tmpfs -o size=12k none {output.parent}", "sh", "-c", listing, "sh", *command)
    done = subprocess.run(small, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 74, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"streamgmm: error: {output}")
    assert "No space left on device (what is finished is kept" in line


def test_the_summary_counts_by_label_and_hour(capsys, archive):
    rows = rows_of(archive)
    code, out, _ = run_cli(capsys, "archive", "summary", archive, "--json")
    summary = json.loads(out)
    assert code == 0
    assert (summary["n_recordings"], summary["n_events"]) == (3, len(rows))
    assert summary["n_timed"] == sum(row["onset_time"] is not None for row in rows)
    for label, own in summary["labels"].items():
        mine = [row for row in rows if row["label"] == label]
        assert own["n_events"] == len(mine)
        assert own["n_recordings"] == len({row["path"] for row in mine})
        assert own["total_s"] == pytest.approx(sum(row["offset_s"] - row["onset_s"] for row in mine))
        hours = [row["onset_time"].hour for row in mine if row["onset_time"]]
        assert own["n_by_hour"] == [hours.count(hour) for hour in range(24)]


def test_the_summary_is_a_table_and_a_picture(capsys, archive, tmp_path):
    code, out, _ = run_cli(capsys, "archive", "summary", archive, "--picture", tmp_path / "a.svg")
    assert code == 0
    assert "hour (UTC)" in out
    assert "hour of the day (UTC)" in (tmp_path / "a.svg").read_text()


def test_a_folder_that_is_no_archive_has_no_summary(capsys, tmp_path):
    require_cluster()
    code, _, err = run_cli(capsys, "archive", "summary", tmp_path)
    assert code == 66
    assert "is no archive: it has no _streamgmm.json" in err
    code, _, err = run_cli(capsys, "archive", "summary", tmp_path / "none")
    assert code == 66
    assert "none: no such folder" in err
