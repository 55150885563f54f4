"""From a false alarm of a running daemon to a model without it, on real recordings."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile

from streamgmm.audio.resample import resample
from tests.cli.cli_rig import command_of
from tests.required import corpus
from tests.system.run_rig import Daemon, Json, check_stream, parse, running, wait_until
from tests.training.training_rig import QUICK

RATE_HZ = 16000
GAP_S = 3.0
LIMIT_S = 300.0

FIRST = ("rooster/2-65750-A", "chainsaw/2-50667-A", "dog_bark/2-114280-A")
THEN = ("chainsaw/2-50667-A", "rooster/2-100786-A", "chainsaw/2-50667-B", "dog_bark/2-114280-A", "rooster/2-65750-A")
TRAINED = ("dog_bark", "rooster")


class Scene(NamedTuple):
    """Sounds with a quiet room around each: its samples, and where each sound lies (s)."""

    samples: np.ndarray
    sounds: list[tuple[str, float, float]]

    @property
    def pcm(self) -> bytes:
        return (self.samples * 32767.0).astype("<i2").tobytes()


def make_scene(audio: Path, names: Sequence[str], rng: np.random.Generator) -> Scene:
    parts, sounds, n_samples = [np.zeros(round(GAP_S * RATE_HZ))], [], round(GAP_S * RATE_HZ)
    for name in names:
        samples, rate_hz = soundfile.read(audio / f"{name}.ogg", dtype="float32")
        sound = resample(samples, rate_hz, RATE_HZ)
        parts += [0.5 * sound / np.abs(sound).max(), np.zeros(round(GAP_S * RATE_HZ))]
        sounds.append((name.partition("/")[0], n_samples / RATE_HZ, (n_samples + len(sound)) / RATE_HZ))
        n_samples += len(sound) + round(GAP_S * RATE_HZ)
    room = np.concatenate(parts)
    return Scene(room + rng.normal(0.0, 1e-3, len(room)), sounds)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Eight recordings each of two classes, and three of the room."""
    rng = np.random.default_rng(1)
    for label in TRAINED:
        (tmp_path / "data" / label).mkdir(parents=True)
        for path in sorted((corpus("esc10") / "audio" / label).glob("1-*"))[:8]:
            (tmp_path / "data" / label / path.name).write_bytes(path.read_bytes())
    (tmp_path / "data" / "background").mkdir()
    for number in range(3):
        room = rng.normal(0.0, 1e-3, 5 * RATE_HZ)
        soundfile.write(tmp_path / "data" / "background" / f"{number}.wav", room, RATE_HZ)
    streamgmm("train", tmp_path / "data", "-o", tmp_path / "my.sgm", "--rate", RATE_HZ, *QUICK)
    return tmp_path / "my.sgm"


def streamgmm(*arguments: object) -> str:
    command = command_of(*arguments)
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def events(records: Sequence[Json], scene: Scene, begin_s: float = 0.0) -> Iterator[tuple[Json, str]]:
    """Each event with the sound in which it lies, or an empty text."""
    for record in records:
        if record["type"] == "end" and record["start_t"] >= begin_s:
            start_s, end_s = record["start_t"] - begin_s, record["end_t"] - begin_s
            inside = (name for name, onset_s, offset_s in scene.sounds if start_s < offset_s and onset_s < end_s)
            yield record, next(inside, "")


def read_until_last(daemon: Daemon, scene: Scene) -> list[Json]:
    """Read the records up to the end of an event in the last sound."""
    records = []
    for line in daemon.stdout:
        records.append(json.loads(line))
        if records[-1]["type"] == "end" and records[-1]["start_t"] > scene.sounds[-1][1] - 1.0:
            return records
    raise AssertionError(daemon.log)


def test_a_false_alarm_that_was_reviewed_is_gone_after_retraining_and_no_sample_is_lost(
    model: Path, tmp_path: Path
) -> None:
    audio, rng, heard = corpus("esc10") / "audio", np.random.default_rng(2), tmp_path / "heard"
    first, then = make_scene(audio, FIRST, rng), make_scene(audio, THEN, rng)
    settings = (f"clips.directory={heard}", f"source.pcm_rate_hz={RATE_HZ}")
    options = [word for setting in settings for word in ("--set", setting)]
    with running("-m", model, "-s", "pcm:-", *options, stdin=subprocess.PIPE) as daemon:
        daemon.stdin.write(first.pcm)
        daemon.stdin.flush()
        records = read_until_last(daemon, first)
        before = list(events(records, first))
        assert {sound for _, sound in before} >= {"chainsaw", *TRAINED}
        wait_until(lambda: all(Path(record["clip"]).exists() for record, _ in before), "a clip was not written")
        for record, sound in before:
            label = sound if sound in TRAINED else "background"
            streamgmm("review", heard, Path(record["clip"]).relative_to(heard), "--as", label)
        assert "new clips: background " in streamgmm("retrain", model, "--clips", heard)
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("config.reload_ok model=my changed=model")
        daemon.stdin.write(then.pcm)
        daemon.stdin.close()
        records += parse(daemon.stdout.read())
        assert daemon.wait() == 0, daemon.log
    check_stream(records)
    bye, n_samples = records[-1], len(first.samples) + len(then.samples)
    assert (bye["captured_samples"], bye["analysed_samples"], bye["lost_samples"]) == (n_samples, n_samples, 0)
    assert "model" in [record["type"] for record in records]
    after = list(events(records, then, len(first.samples) / RATE_HZ))
    assert [sound for _, sound in after if sound not in TRAINED] == []
    found = {(record["label"], sound) for record, sound in after}
    assert found == {(label, label) for label in TRAINED}
    true = [(name, onset_s) for name, onset_s, _ in then.sounds if name in TRAINED]
    begins_s = [record["start_t"] - len(first.samples) / RATE_HZ for record, _ in after]
    assert all(any(onset_s - 0.5 < begin_s < onset_s + 5.0 for begin_s in begins_s) for _, onset_s in true)
