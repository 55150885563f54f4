"""Prints how well events are found in real sound: `python -m tests.benchmarks.scenes [--brief]`.

Two tests, each through the commands `train` and `evaluate --events` as a user would type them, on the
recordings below the folder that STREAMGMM_DATA names:

- esc10: clips of a held-out fold at 6 dB over an ambience, the model trained on the other folds and, as
  `background`, on other ambiences. Ambiences in which a label of ESC-10 sounds are left out.
- ami_vad: speech in meetings, trained on one fold and tested on another.
"""

from __future__ import annotations

import argparse
import csv
import json
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table

from streamgmm import units
from streamgmm.audio.reading import read_recording
from streamgmm.audio.resample import resample
from streamgmm.cli.main import main as streamgmm
from streamgmm.demo.scene import audible_span
from streamgmm.demo.synthesis import rms

RATE_HZ = 44100
SNR_DB = 6.0
AMBIENCE_DBFS = -40.0
GAP_S = (1.0, 3.0)
FADE_S = 0.01
CLIPS_PER_SCENE = 10
BACKGROUND_S = 30.0
TRAINED_AMBIENCES = ("birds", "city", "coffee-shop")
TESTED_AMBIENCES = ("summer-night", "train", "wind")
BRIEF_LABELS = ("dog_bark", "rooster", "chainsaw")
BRIEF_SETTINGS = ("training.search=false", "training.n_speed_copies=0", "training.n_noise_copies=0")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scenes", description=__doc__.split("\n")[0])
    parser.add_argument("--brief", action="store_true", help="three labels: enough to see that nothing rots")
    parser.add_argument("--esc10-fold", default="5", help="fold of ESC-10 that is held out (default: 5)")
    parser.add_argument("--ami-fold", default="3", help="fold of the meetings to test on (default: 3)")
    parser.add_argument("--keep", metavar="DIR", type=Path, help="keep models and scenes here")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one setting")
    args = parser.parse_args()
    data = Path(os.environ.get("STREAMGMM_DATA", ""))
    if not os.environ.get("STREAMGMM_DATA") or not data.is_dir():
        parser.error("STREAMGMM_DATA does not name a folder of recordings")
    settings = [*(BRIEF_SETTINGS if args.brief else ()), *args.set]
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        results = {
            f"ami_vad, fold {args.ami_fold}": score_meetings(data, folder, args.ami_fold, settings),
            f"esc10 over ambience, fold {args.esc10_fold}": score_esc10(
                data, folder, args.esc10_fold, settings, BRIEF_LABELS if args.brief else ()
            ),
        }
    Console(width=120).print(results_table(results))


def results_table(results: dict[str, dict[str, Any]]) -> Table:
    table = Table("scenes", title="Events in real sound (onset collar 0.5 s, segments of 0.1 s)")
    for heading in ("minutes", "event F1", "segment F1", "error rate", "false/h", "latency", "PSDS"):
        table.add_column(heading, justify="right")
    for name, result in results.items():
        latency = result["onset_latency_s"]
        table.add_row(
            name,
            f"{result['duration_s'] / 60:.1f}",
            f"{result['event_f1']:.1%}",
            f"{result['segment_f1']:.1%}",
            f"{result['error_rate']:.2f}",
            f"{result['false_alarms_per_hour']:.0f}",
            "-" if latency is None else f"{latency['median']:.2f} s",
            f"{result['psds']:.2f}",
        )
    return table


def score_meetings(data: Path, folder: Path, fold: str, settings: Sequence[str]) -> dict[str, Any]:
    """Speech of one fold, by a model of fold 1."""
    model = folder / "meetings.sgm"
    run("train", data / "ami_vad", "--fold", "1", "-o", model, settings=settings)
    return evaluate(data / "ami_vad", model, folder / "meetings.json", settings, "--fold", fold)


def score_esc10(data: Path, folder: Path, fold: str, settings: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    """Clips of one fold over ambiences, by a model of the other folds and other ambiences."""
    with (data / "esc10" / "manifest.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if not labels or row["label"] in labels]
    training, model, scenes = folder / "training", folder / "esc10.sgm", folder / "scenes"
    write_training_set(training, data, [row for row in rows if row["fold"] != fold])
    run("train", training, "-o", model, settings=settings)
    write_scenes(scenes, data, [row for row in rows if row["fold"] == fold])
    return evaluate(scenes, model, folder / "esc10.json", settings)


def run(*arguments: object, settings: Sequence[str]) -> None:
    overrides = [word for setting in settings for word in ("--set", setting)]
    code = streamgmm([*map(str, arguments), *overrides])
    if code:
        raise SystemExit(code)


def evaluate(scenes: Path, model: Path, report: Path, settings: Sequence[str], *options: str) -> dict[str, Any]:
    run("evaluate", scenes, "--model", model, "--events", "--json", report, *options, settings=settings)
    result: dict[str, Any] = json.loads(report.read_text())
    return result


def write_training_set(folder: Path, data: Path, rows: Sequence[dict[str, str]]) -> None:
    """A manifest of clips where they lie, and of the beginnings of ambiences as background."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "source_id"])
        writer.writerows([data / "esc10" / row["path"], row["label"], row["source_id"]] for row in rows)
        for name in TRAINED_AMBIENCES:
            soundfile.write(folder / f"{name}.wav", load(ambience(data, name))[: int(BACKGROUND_S * RATE_HZ)], RATE_HZ)
            writer.writerow([f"{name}.wav", "background", name])


def write_scenes(folder: Path, data: Path, rows: Sequence[dict[str, str]]) -> None:
    """Scenes of ten clips each, in an order that the same rows always give, with their list of events."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(rows))
    lines = ["filename\tonset\toffset\tevent_label"]
    for i_scene, first in enumerate(range(0, len(rows), CLIPS_PER_SCENE)):
        some = [rows[i] for i in order[first : first + CLIPS_PER_SCENE]]
        background = load(ambience(data, TESTED_AMBIENCES[i_scene % len(TESTED_AMBIENCES)]))
        clips = [load(data / "esc10" / row["path"]) for row in some]
        mixture, times_s = mix(clips, background, rng)
        soundfile.write(folder / f"{i_scene}.wav", mixture, RATE_HZ)
        for row, (onset_s, offset_s) in zip(some, times_s, strict=True):
            lines.append(f"{i_scene}.wav\t{onset_s:.3f}\t{offset_s:.3f}\t{row['label']}")
    (folder / "events.tsv").write_text("\n".join([*lines, ""]))


def ambience(data: Path, name: str) -> Path:
    return data / "ambience" / "audio" / f"{name}.ogg"


def load(path: Path) -> np.ndarray:
    recording = read_recording(path)
    return resample(recording.samples, recording.sample_rate_hz, RATE_HZ).astype(np.float64)


def mix(
    clips: Sequence[np.ndarray], background: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """The audible part of each clip in turn, with pauses between, over a background that is looped.

    Returns:
        The samples, shape (n,), and (onset_s, offset_s) of each clip.
    """
    level = units.db_to_amplitude(AMBIENCE_DBFS)
    pauses = [units.seconds_to_samples(pause_s, RATE_HZ) for pause_s in rng.uniform(*GAP_S, size=len(clips) + 1)]
    sounds = [sound * level * units.db_to_amplitude(SNR_DB) / rms(sound) for sound in map(audible, clips)]
    positions = list(starts([len(sound) for sound in sounds], pauses))
    mixture = np.resize(background, positions[-1] + len(sounds[-1]) + pauses[-1]) * level / rms(background)
    for position, sound in zip(positions, sounds, strict=True):
        mixture[position : position + len(sound)] += sound
    times_s = [(p / RATE_HZ, (p + len(sound)) / RATE_HZ) for p, sound in zip(positions, sounds, strict=True)]
    return mixture, times_s


def audible(clip: np.ndarray) -> np.ndarray:
    """The clip without what is too quiet before and after its sound, faded at both ends."""
    first, end = audible_span(clip, RATE_HZ)
    sound = clip[first:end].copy()
    n_fade = min(len(sound) // 2, units.seconds_to_samples(FADE_S, RATE_HZ))
    ramp = np.arange(n_fade) / n_fade
    sound[:n_fade] *= ramp
    sound[len(sound) - n_fade :] *= ramp[::-1]
    return sound


def starts(lengths: Sequence[int], pauses: Sequence[int]) -> Iterator[int]:
    position = 0
    for length, pause in zip(lengths, pauses, strict=False):
        position += pause
        yield position
        position += length


if __name__ == "__main__":
    main()
