"""Clips of real runs: what a user finds in the folder, and a disk that has no room for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import soundfile

from streamgmm.clips.info import ClipInfo
from tests.cli.cli_rig import command_of
from tests.pulse_rig import PulseServer
from tests.required import mount_namespace
from tests.system.run_rig import parse, run, running, wait_until
from tests.test_imports import HEAVY, loaded_by


def test_each_event_of_a_run_has_its_clip_and_record(demo_model: Path, demo_scene: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    setting = f"clips.directory={folder}"
    ended = run("--model", demo_model, "--source", f"file:{demo_scene}", "--set", setting, cwd=tmp_path)
    assert ended.code == 0, ended.err
    ends = [record for record in ended.records if record["type"] == "end"]
    assert len(ends) >= 4
    scene, rate_hz = soundfile.read(demo_scene, dtype="int16")
    for record in ends:
        pcm, _ = soundfile.read(record["clip"], dtype="int16")
        begin = round((record["start_t"] - 1.0) * rate_hz)
        assert (pcm == scene[begin : begin + len(pcm)]).all()
        info = msgspec.json.decode(Path(record["clip"]).with_suffix(".json").read_bytes(), type=ClipInfo)
        assert (info.record.id, info.label) == (record["id"], record["label"])
        assert info.onset_s == 1.0
    assert len(list(folder.rglob("*.flac"))) == len(ends)
    assert "clips.closed written=" in ended.err


def test_F36_a_really_full_disk_costs_clips_alone(demo_model: Path, demo_scene: Path, tmp_path: Path) -> None:
    (disk := tmp_path / "disk").mkdir()
    arguments = ["--model", str(demo_model), "--source", f"file:{demo_scene}", "--format", "label"]
    plain = run(*arguments)
    command = command_of("run", *arguments, "--set", f"clips.directory={disk}/clips")
    # What is on the disk is seen from within its file system.
    shown = ["sh", "-c", '"$@"; code=$?; find clips -name "*.flac" -size +0 | wc -l >&2; exit $code', "sh", *command]
    small = mount_namespace(f"mount -t tmpfs -o size=200k none {disk} && cd {disk}", *shown)
    done = subprocess.run(small, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, plain.out.decode())
    assert done.stderr.count("No space left on device; no clips until it works again") == 1
    assert "Traceback" not in done.stderr
    assert int(done.stderr.split()[-1]) >= 1


def test_a_run_without_clips_loads_nothing_of_them(demo_model: Path, demo_scene: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from streamgmm.cli.main import main; code = main(sys.argv[1:]);"
        "print([name for name in sys.modules if name.startswith('streamgmm.clips') or name.endswith('recorder')]);"
        "sys.exit(code)"
    )
    arguments = ["run", "--model", str(demo_model), "--source", f"file:{demo_scene}"]
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert not loaded_by(*arguments, "--set", f"clips.directory={tmp_path}") & HEAVY


def test_a_sound_at_the_microphone_is_in_its_clip(
    demo_model: Path, demo_scene: Path, tmp_path: Path, pulse: PulseServer
) -> None:
    setting = f"clips.directory={tmp_path / 'clips'}"
    with running("--model", demo_model, "--source", "mic", "--set", setting, env=pulse.env) as daemon:
        daemon.wait_for_log("state=ok")
        pulse.play(demo_scene, latency_ms=1000)
        ends = (record for record in map(json.loads, daemon.stdout) if record["type"] == "end")
        first = next(ends)
        # The second after the event passes first.
        wait_until(Path(first["clip"]).exists, "no clip was written")
        daemon.terminate()
        rest = parse(daemon.stdout.read())
    scene, _ = soundfile.read(demo_scene, dtype="int16")
    for record in [first, *(record for record in rest if record["type"] == "end")]:
        pcm, _ = soundfile.read(record["clip"], dtype="int16")
        # Found in what was played by its loudest part, as the sample at which the microphone began is not known.
        loudest = int(abs(pcm.astype(int)).argmax())
        part = pcm[max(0, loudest - 500) : loudest + 500]
        assert part.tobytes() in scene.tobytes()
        assert record["start_time"][:4] in Path(record["clip"]).name
