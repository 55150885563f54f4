"""Prints how often clips are recognised: `python -m tests.benchmarks.accuracy [TASK ...] [--seeds N] [--quick]`.

Each task is a data set below the folder that STREAMGMM_DATA names, and the folds of it that are held out in turn. A
training is tested on the clips as they are and, where that is of interest, in noise, louder, fainter, or cut short, or
beside plain recognisers of other kinds on the same folds (`oracles` of the extras installs what they need).
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec.structs import replace
from rich.console import Console
from rich.table import Table

from streamgmm.arrays import Float64Array
from streamgmm.dataset.clips import Clip
from streamgmm.dataset.dataset import Dataset, read_dataset
from streamgmm.evaluation import metrics
from streamgmm.evaluation.answering import ClipAnswer, answer_clips
from streamgmm.evaluation.conditions import UNCHANGED, Conditions, Noise
from streamgmm.evaluation.scores import is_right, posteriors_of
from streamgmm.model.model import Model
from streamgmm.settings.config import Config
from streamgmm.settings.training import TrainingSection
from streamgmm.training.selection.calibration import calibrated
from streamgmm.training.selection.window_length import Chosen, WindowLengths
from streamgmm.training.trainer import fit_calibrated, make_task

EM_ALONE = {"refinement": False, "n_principal": 4, "cepstra": "never", "bottleneck": "never", "search": False}
"""Mixtures as EM leaves them, with the dimensions that suit them."""

Key = tuple[str, str]
"""What was tested, and the fold."""


class Task(NamedTuple):
    """A data set and what is tested on it.

    Attributes:
        name: of the task, and of the folder unless `relabelled` says how clips come from elsewhere.
        read: the data set, from the folder of all data sets.
        tested: folds to hold out in turn; empty for all.
        conditions: what is done to test clips, by name.
        has_em: whether mixtures that are not refined are tested too.
        has_baselines: whether plain recognisers are tested too.
    """

    name: str
    read: Callable[[Path], Dataset]
    tested: Sequence[str] = ()
    conditions: Callable[[Path], Mapping[str, Conditions]] = lambda _: {"as recorded": UNCHANGED}
    has_em: bool = False
    has_baselines: bool = False


def esc10_conditions(root: Path) -> Mapping[str, Conditions]:
    rain = root / "ambience" / "audio" / "rain.ogg"
    return {
        "as recorded": UNCHANGED,
        "first active second": Conditions(first_active_s=1.0),
        "white noise at 10 dB": Conditions(noise=Noise("white", 10.0)),
        "rain at 10 dB, nine classes": Conditions(noise=Noise("file", 10.0, rain)),
        "room, reverberation 0.6 s": Conditions(room_s=0.6),
        "telephone band, 300 to 3400 Hz": Conditions(band_hz=(300.0, 3400.0)),
        "gain -20 dB": Conditions(gain_db=-20.0),
        "gain +20 dB": Conditions(gain_db=20.0),
    }


def fsdd_official(root: Path) -> Dataset:
    """The authors' split: the first five takes of each speaker and digit are tested."""
    dataset = read_dataset(root / "fsdd")
    clips = [replace(clip, fold=official_split(clip), source_id=str(clip.path)) for clip in dataset.clips]
    return replace(dataset, clips=clips)


def fsdd_speakers(root: Path) -> Dataset:
    """The same split, and the speaker is the label."""
    dataset = fsdd_official(root)
    clips = [replace(clip, label=clip.path.stem.split("_")[1]) for clip in dataset.clips]
    return replace(dataset, clips=clips)


def official_split(clip: Clip) -> str:
    return "test" if int(clip.path.stem.split("_")[2]) < 5 else "train"


TASKS = (
    Task("esc10", lambda root: read_dataset(root / "esc10"), conditions=esc10_conditions, has_em=True),
    Task("fsdd", lambda root: read_dataset(root / "fsdd")),
    Task("fsdd, official split", fsdd_official, tested=("test",)),
    Task("fsdd, who speaks", fsdd_speakers, tested=("test",)),
    Task("speech_commands", lambda root: read_dataset(root / "speech_commands")),
    Task("music_genre", lambda root: read_dataset(root / "music_genre"), has_baselines=True),
    Task("instruments", lambda root: read_dataset(root / "instruments"), has_baselines=True),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.accuracy", description=__doc__.split("\n")[0])
    names = [task.name for task in TASKS]
    parser.add_argument("task", nargs="*", default=names, help=f"of {', '.join(names)} (default: all)")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="how often to repeat it (default: 5)")
    parser.add_argument("--quick", action="store_true", help="do not search for better settings than the defaults")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a training setting")
    args = parser.parse_args()
    if unknown := set(args.task) - set(names):
        parser.error(f"no such task: {min(unknown)}")
    overrides = {key: msgspec.yaml.decode(value) for key, value in (one.split("=", 1) for one in args.set)}
    training = replace(TrainingSection(), search=not args.quick, **overrides)
    console = Console(width=100)
    for task in TASKS:
        if task.name in args.task:
            answers = answers_of(task, training, args.seeds)
            others = baselines_of(task, args.seeds) if task.has_baselines else {}
            console.print(table_of(task.name, answers, others, args.seeds))


def answers_of(task: Task, training: TrainingSection, n_seeds: int) -> dict[Key, list[list[ClipAnswer]]]:
    """The answers of each seed to the clips of each fold, under each of the conditions."""
    root = Path(os.environ["STREAMGMM_DATA"])
    dataset, answers = task.read(root), defaultdict(list)
    for seed in range(n_seeds):
        config = Config(training=replace(training, seed=seed))
        lengths = WindowLengths(dataset.clips, make_task(dataset, config))
        clips = [clip.clip for clip in lengths.measured().clips]
        for fold in task.tested or sorted({clip.fold or "" for clip in clips}):
            known = [clip for clip in clips if clip.fold != fold]
            chosen = lengths.choose(known, sorted({clip.label for clip in known}))
            tested = [clip for clip in clips if clip.fold == fold]
            for name, given in _answers(task, chosen, tested, config, root):
                answers[name, fold].append(given)
    return answers


def _answers(
    task: Task, taught: Chosen, tested: Sequence[Clip], config: Config, root: Path
) -> Iterator[tuple[str, list[ClipAnswer]]]:
    model = _fitted(taught, config.training)
    for name, conditions in task.conditions(root).items():
        # Rain in rain is no test of anything.
        heard = [clip for clip in tested if not (clip.label == "rain" and "rain" in name)]
        yield name, list(answer_clips(heard, model, config, conditions))
    if task.has_em:
        em_alone = Config(training=replace(config.training, **EM_ALONE))
        yield "as recorded, EM alone", list(answer_clips(tested, _fitted(taught, em_alone.training), em_alone))


def _fitted(taught: Chosen, training: TrainingSection) -> Model:
    labels = sorted({clip.clip.label for clip in taught.clips})
    fit, validation = fit_calibrated(taught.clips, labels, replace(taught.task, training=training))
    return Model(name="held out", spec=taught.task.spec, classifier=calibrated(fit, validation.calibration))


def baselines_of(task: Task, n_seeds: int) -> dict[str, Float64Array]:
    # Imported here: librosa is slow to import, and the other tasks need none of it.
    from tests.benchmarks.baselines import baselines_right

    dataset = task.read(Path(os.environ["STREAMGMM_DATA"]))
    return baselines_right(dataset, task.tested or sorted({clip.fold or "" for clip in dataset.clips}), n_seeds)


def table_of(
    name: str, answers: Mapping[Key, Sequence[Sequence[ClipAnswer]]], others: Mapping[str, Float64Array], n_seeds: int
) -> Table:
    """Means over seeds and folds; standard errors over folds (the same clips are divided with every seed)."""
    table = Table("clips", title=f"{name}: clips recognised, {n_seeds} seeds")
    for heading in ("right", "over folds", "over seeds", "log loss", "ECE", "before"):
        table.add_column(heading, justify="right")
    for condition in dict.fromkeys(condition for condition, _ in answers):
        rounds = np.array(
            [
                [np.mean(list(map(is_right, one))) for one in own]
                for (name, _), own in answers.items()
                if name == condition
            ]
        )
        everything = [one for (name, _), own in answers.items() if name == condition for seed in own for one in seed]
        calibrated_ones, plain = (posteriors_of(everything, is_calibrated=flag) for flag in (True, False))
        assert calibrated_ones is not None
        assert plain is not None
        table.add_row(
            condition,
            *_shares(rounds),
            f"{metrics.log_loss(*calibrated_ones):.3f}",
            *(f"{metrics.calibration_error(one.bins):.1%}" for one in (calibrated_ones, plain)),
        )
    for baseline, rounds in others.items():
        table.add_row(baseline, *_shares(rounds))
    table.caption = "standard errors over folds and over seeds; ECE: calibration error, before: without calibration"
    return table


def _shares(rounds: Float64Array) -> list[str]:
    """Return the mean of shares (n_folds, n_seeds), and its standard errors over folds and over seeds."""
    errors = [metrics.standard_error_of_mean(list(rounds.mean(axis=axis))) for axis in (1, 0)]
    return [f"{rounds.mean():.1%}", *map(_percent, errors)]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


if __name__ == "__main__":
    main()
