"""Prints how well instruments are told apart: `python -m tests.benchmarks.instruments [--keep DIR] [--brief]`.

Phrases of ten instruments are rendered with two sound banks of General MIDI, which hold recorded notes of real
instruments. Different people made them, and excerpts of the samples of one were not found in the other; that a sample
was resampled from a common origin is not excluded. Through the commands `train` and `evaluate --model`, as a user would
type them, a model learns from one bank and answers the phrases of the other: instruments that it has never heard.
Held-out phrases of the bank it learnt from are the same recorded notes again, and say little about others.

Needs FluidSynth and the banks (Debian: fluidsynth, fluid-soundfont-gm, timgm6mb-soundfont).
"""

from __future__ import annotations

import argparse
import csv
import json
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table

from streamgmm.cli.main import main as streamgmm
from streamgmm.demo.scene import audible_span
from streamgmm.errors import DeviceError

RATE_HZ = 44100
SEED = 0
N_PHRASES = 12
N_PHRASES_BRIEF = 4
N_OWN = 2
PHRASE_S = (2.0, 2.7)
NOTE_S = (0.15, 0.6)
RELEASE_S = 0.3
VELOCITIES = (45, 120)
GAIN = 0.6
"""FluidSynth's default, 0.2, leaves room for an orchestra."""
BANK_FOLDER = Path("/usr/share/sounds/sf2")
BANKS = {"FluidR3": "FluidR3_GM.sf2", "TimGM6mb": "TimGM6mb.sf2"}
PACKAGES = "fluidsynth fluid-soundfont-gm timgm6mb-soundfont"
WAYS: Mapping[str, tuple[str, ...]] = {"--quick": ("--quick",), "with search": ()}


class Instrument(NamedTuple):
    """A program of General MIDI, counted from 0, and the lowest and highest note it usually plays (60 is middle C)."""

    program: int
    lowest: int
    highest: int


INSTRUMENTS = {
    "accordion": Instrument(21, 53, 84),
    "cello": Instrument(42, 36, 67),
    "clarinet": Instrument(71, 50, 84),
    "flute": Instrument(73, 60, 91),
    "guitar": Instrument(24, 40, 76),
    "harp": Instrument(46, 36, 84),
    "marimba": Instrument(12, 48, 84),
    "piano": Instrument(0, 36, 84),
    "trumpet": Instrument(56, 54, 82),
    "violin": Instrument(40, 55, 88),
}
BRIEF_INSTRUMENTS = ("flute", "piano", "violin")


class Result(NamedTuple):
    """How a model of one bank answered the phrases of another.

    Attributes:
        recalls: share of right answers by instrument.
        held_out: accuracy on held-out phrases of the bank that was learnt from.
        notes: what training says of the settings it chose.
    """

    recalls: dict[str, float]
    held_out: float
    notes: tuple[str, ...]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.instruments", description=__doc__.split("\n")[0].split(":")[0]
    )
    parser.add_argument("--brief", action="store_true", help="three instruments, --quick: to see that nothing rots")
    parser.add_argument("--keep", metavar="DIR", type=Path, help="keep phrases, models and results here")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one setting")
    args = parser.parse_args()
    settings = [word for setting in args.set for word in ("--set", setting)]
    try:
        check_installed()
    except DeviceError as error:
        print(f"instruments: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    labels = BRIEF_INSTRUMENTS if args.brief else tuple(INSTRUMENTS)
    ways = ("--quick",) if args.brief else tuple(WAYS)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        for bank in BANKS:
            render_bank(folder, bank, labels, N_PHRASES_BRIEF if args.brief else N_PHRASES)
        pairs = [(bank, other) for bank in BANKS for other in BANKS if other != bank]
        own = {bank: score_own(folder, bank, settings) for bank in BANKS}
        results = {(*pair, way): score(folder, *pair, way, settings) for way in ways for pair in pairs}
    console = Console(width=120)
    console.print(results_table(results, labels))
    for bank, accuracy in own.items():
        console.print(f"{bank}, {N_OWN} phrases of each instrument learnt, the others answered: {accuracy:.1%}")
    for (bank, _, way), result in results.items():
        for note in result.notes:
            console.print(f"{bank}, {way}: {note}", soft_wrap=True)


def check_installed() -> None:
    """Raises DeviceError where FluidSynth or a bank is missing."""
    missing = [str(BANK_FOLDER / name) for name in BANKS.values() if not (BANK_FOLDER / name).is_file()]
    if shutil.which("fluidsynth") is None:
        missing.insert(0, "fluidsynth")
    if missing:
        raise DeviceError(f"not found: {', '.join(missing)}", hint=f"install {PACKAGES}")


def render_bank(folder: Path, bank: str, labels: Sequence[str], n_phrases: int) -> None:
    """A folder of WAV files per instrument. Each bank plays phrases of its own, so that no melody helps."""
    for label in labels:
        (folder / bank / label).mkdir(parents=True, exist_ok=True)
        i_bank, i_label = list(BANKS).index(bank), list(INSTRUMENTS).index(label)
        for i in range(n_phrases):
            phrase = random_phrase(INSTRUMENTS[label], np.random.default_rng([SEED, i_bank, i_label, i]))
            render(phrase, BANK_FOLDER / BANKS[bank], folder / bank / label / f"{i:02d}.wav")


def random_phrase(instrument: Instrument, rng: np.random.Generator) -> bytes:
    """Notes one after the other, each of another pitch, length and velocity, as a MIDI file of one track.

    One tick is a millisecond: 1000 ticks in a quarter note (division), which lasts a second (tempo).
    """
    events = [b"\x00\xff\x51\x03" + (1_000_000).to_bytes(3), bytes((0, 0xC0, instrument.program))]
    left_s = rng.uniform(*PHRASE_S)
    while left_s > 0:
        note_s = rng.uniform(*NOTE_S)
        note, velocity = (int(rng.integers(*between, endpoint=True)) for between in (instrument[1:], VELOCITIES))
        events.append(bytes((0, 0x90, note, velocity)))
        events.append(ticks(note_s) + bytes((0x80, note, 0)))
        left_s -= note_s
    track = b"".join([*events, ticks(RELEASE_S) + b"\xff\x2f\x00"])
    header = (0).to_bytes(2) + (1).to_bytes(2) + (1000).to_bytes(2)
    return b"MThd" + len(header).to_bytes(4) + header + b"MTrk" + len(track).to_bytes(4) + track


def ticks(duration_s: float) -> bytes:
    """A time below 16.384 s in ticks, as a variable-length quantity of two bytes (Standard MIDI Files 1.0)."""
    n_ticks = round(1000 * duration_s)
    return bytes((0x80 | n_ticks >> 7, n_ticks & 0x7F))


def render(phrase: bytes, bank: Path, wav: Path) -> None:
    """Play a MIDI file into a WAV file, without FluidSynth's own reverb and chorus, which both banks would share."""
    midi = wav.with_suffix(".mid")
    midi.write_bytes(phrase)
    command: list[str | Path] = [
        "fluidsynth",
        "-niq",
        "-R",
        "0",
        "-C",
        "0",
        "-g",
        str(GAIN),
        "-r",
        str(RATE_HZ),
        "-F",
        wav,
        bank,
        midi,
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    midi.unlink()
    # FluidSynth plays two seconds of digital silence at the end.
    samples, _ = soundfile.read(wav)
    mono = samples.mean(axis=1)
    first, end = audible_span(mono, RATE_HZ)
    soundfile.write(wav, mono[first:end], RATE_HZ)


def score(folder: Path, bank: str, other: str, way: str, settings: Sequence[str]) -> Result:
    stem = folder / f"{bank}-{way.strip('-').replace(' ', '-')}"
    model, report, answers = (stem.with_suffix(suffix) for suffix in (".sgm", ".train.json", ".evaluate.json"))
    run("train", folder / bank, "-o", model, "--report", report, "--no-memory", *WAYS[way], *settings)
    run("evaluate", folder / other, "--model", model, "--json", answers, *settings)
    trained, evaluated = (json.loads(path.read_text()) for path in (report, answers))
    recalls = {label: result["recall"] for label, result in evaluated["per_class"].items()}
    return Result(recalls, trained["card"]["held_out_accuracy"], tuple(trained["notes"]))


def score_own(folder: Path, bank: str, settings: Sequence[str]) -> float:
    """What few phrases of the very instruments are worth that are to be told apart: accuracy on the others."""
    paths = sorted((folder / bank).glob("*/*.wav"))
    learnt = [path for path in paths if int(path.stem) < N_OWN]
    few, others = (folder / f"{bank}-{name}" for name in ("few", "others"))
    write_manifest(few, learnt)
    write_manifest(others, [path for path in paths if path not in learnt])
    model, answers = few.with_suffix(".sgm"), few.with_suffix(".evaluate.json")
    run("train", few, "-o", model, "--no-memory", "--quick", *settings)
    run("evaluate", others, "--model", model, "--json", answers, *settings)
    accuracy: float = json.loads(answers.read_text())["accuracy"]
    return accuracy


def write_manifest(folder: Path, paths: Sequence[Path]) -> None:
    """A data set of clips where they lie, each labelled as its folder."""
    folder.mkdir(exist_ok=True)
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label"])
        writer.writerows([path.resolve(), path.parent.name] for path in paths)


def run(*arguments: object) -> None:
    code = streamgmm([*map(str, arguments)])
    if code:
        raise SystemExit(code)


def results_table(results: Mapping[tuple[str, str, str], Result], labels: Sequence[str]) -> Table:
    """Phrases of an instrument share its few recorded notes, so the standard error is that over instruments."""
    table = Table("phrases right", title=f"Instruments of a sound bank never heard (chance: {1 / len(labels):.0%})")
    for bank, other, way in results:
        table.add_column(f"{bank} to {other}, {way}", justify="right")
    for label in labels:
        table.add_row(label, *(f"{result.recalls[label]:.0%}" for result in results.values()))
    table.add_section()
    recalls = [[result.recalls[label] for label in labels] for result in results.values()]
    table.add_row("all", *(f"{np.mean(row):.1%}" for row in recalls))
    table.add_row("standard error", *(f"{np.std(row, ddof=1) / np.sqrt(len(row)):.1%}" for row in recalls))
    table.add_row("held out, same bank", *(f"{result.held_out:.1%}" for result in results.values()))
    return table


if __name__ == "__main__":
    main()
