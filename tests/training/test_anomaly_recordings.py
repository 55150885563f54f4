"""Anomalies in real rooms: a model is taught the first part of an ambience, and hears the rest of it."""

from __future__ import annotations

import csv
from pathlib import Path

import msgspec
import numpy as np
import pytest

from streamgmm.dataset.dataset import read_dataset
from streamgmm.demo.recordings import write_wav
from streamgmm.listening.events import Detection, detections_of
from streamgmm.model.model import Model
from streamgmm.pipeline import Pipeline
from streamgmm.settings.config import Config
from streamgmm.training.trainer import train
from tests.benchmarks.room.sounds import RATE_HZ, active_rms, audible, load
from tests.required import corpus
from tests.training.training_rig import quick_config

TAUGHT_SHARE = 0.6
SPACING_S = 7.0
STRANGE = ("baby_cry", "person_sneeze", "clock_tick")
# So that no class of a model that was not shown the world claims a sound.
WATCHFUL = msgspec.convert({"decision": {"max_false_anomalies_per_hour": 5.0, "min_llr": 1e5}}, Config)


class Room:
    """A model that was taught the first part of an ambience, and the rest of it."""

    def __init__(self, name: str, folder: Path) -> None:
        samples = load(corpus("ambience") / "audio" / f"{name}.ogg")
        n_taught = int(TAUGHT_SHARE * len(samples))
        self.unseen = samples[n_taught:].astype(np.float32)
        (folder / "background").mkdir(parents=True)
        write_wav(folder / "background" / "room.wav", samples[:n_taught].astype(np.float32), RATE_HZ)
        for label in ("dog_bark", "rooster"):
            (folder / label).mkdir()
            for i, sound in enumerate(clips_of(label, 3)):
                write_wav(folder / label / f"{i}.wav", (0.5 * sound / np.abs(sound).max()).astype(np.float32), RATE_HZ)
        self.model: Model = train(read_dataset(folder, min_clips=1), quick_config(n_noise_copies=0), name="room").model

    def events(self, samples: np.ndarray) -> list[Detection]:
        pipeline = Pipeline(self.model, WATCHFUL)
        return detections_of(pipeline.push(samples) + pipeline.flush())

    def share_found(self, snr_db: float) -> float:
        sounds = [sound[:RATE_HZ] for label in STRANGE for sound in clips_of(label, 4)]
        stream = np.resize(self.unseen, int((SPACING_S * len(sounds) + 4.0) * RATE_HZ)).astype(np.float32)
        level = float(np.sqrt(np.mean(self.unseen.astype(float) ** 2))) * 10.0 ** (snr_db / 20.0)
        for i, sound in enumerate(sounds):
            first = int((2.0 + SPACING_S * i) * RATE_HZ)
            stream[first : first + len(sound)] += (level / active_rms(sound) * sound).astype(np.float32)
        onsets_s = [event.onset_s for event in self.events(stream)]
        starts_s = [2.0 + SPACING_S * i for i in range(len(sounds))]
        return float(np.mean([any(s - 0.5 < onset_s < s + 2.0 for onset_s in onsets_s) for s in starts_s]))


def clips_of(label: str, n: int) -> list[np.ndarray]:
    root = corpus("esc10")
    with (root / "manifest.csv").open(newline="") as file:
        paths = sorted(row["path"] for row in csv.DictReader(file) if row["label"] == label)
    return [audible(load(root / path), 0.0) for path in paths[:n]]


@pytest.fixture(scope="module", params=["birds", "rain", "waves"])
def room(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Room:
    return Room(request.param, tmp_path_factory.mktemp(request.param) / "data")


def test_the_rest_of_the_room_is_no_anomaly(room: Room) -> None:
    # Some 50 seconds, in which the budget allows for one in fourteen.
    assert len(room.events(room.unseen)) <= 1


def test_strange_sounds_are_found_the_more_the_louder(room: Room) -> None:
    shares = [room.share_found(snr_db) for snr_db in (0.0, 6.0, 12.0, 20.0)]
    assert np.diff(shares).min() >= -0.1
    assert shares[-1] >= 0.7
    assert shares[0] <= shares[-1]
