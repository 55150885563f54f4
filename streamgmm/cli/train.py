"""`streamgmm train`: from a folder of recordings to a model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from streamgmm.cli.options import add_config_options

if TYPE_CHECKING:
    from rich.table import Table

    from streamgmm.training.trainer import Training

_DESCRIPTION = """\
Learn sounds from recordings. DATA is a folder per class, a manifest.csv with
path,label[,fold,source_id], or long recordings with label files (DCASE or
Audacity). Recordings named `background` teach what is none of the classes.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `train`."""
    parser = subparsers.add_parser("train", help="make a model from a folder of recordings", description=_DESCRIPTION)
    parser.add_argument("data", metavar="DATA", type=Path, help="recordings to learn from")
    parser.add_argument("-o", "--output", metavar="MODEL", type=Path, required=True, help="file to write, e.g. my.sgm")
    parser.add_argument("--name", help="what the model is called (default: as the file)")
    parser.add_argument("--covariance", choices=["diag", "full", "tied", "spherical"], help="shape of the Gaussians")
    parser.add_argument("--components", metavar="N|bic", help="Gaussians per class, or let BIC choose")
    parser.add_argument("--rate", metavar="HZ", help="sample rate of the model (default: that of most recordings)")
    parser.add_argument("--seed", metavar="N", help="same seed and data, same file, byte for byte")
    parser.add_argument("--strict", action="store_true", help="refuse what would be left out or only warned of")
    parser.add_argument("--report", metavar="FILE", type=Path, help="write what was learnt and left out, as JSON")
    add_config_options(parser)
    parser.set_defaults(handler=_run)


def _run(args: argparse.Namespace) -> int:
    from streamgmm.cli.console import RichTrack, make_progress, stderr_console
    from streamgmm.config_loading import load_config
    from streamgmm.model.file import check_target, save_model
    from streamgmm.training.dataset import read_dataset
    from streamgmm.training.report import dataset_report
    from streamgmm.training.trainer import train

    config = load_config(args.config, [*_shorthands(args), *args.overrides]).config
    check_target(args.output)
    console = stderr_console()
    with make_progress(console) as progress:
        reading = progress.add_task("reading", total=None)
        dataset = read_dataset(
            args.data,
            min_clips=config.training.min_clips,
            channel=config.source.channel,
            is_strict=args.strict,
            on_progress=lambda n_seen: progress.update(reading, completed=n_seen),
        )
        progress.update(reading, total=progress.tasks[0].completed)
        name = args.name or args.output.stem
        training = train(dataset, config, name=name, is_strict=args.strict, track=RichTrack(progress))
    save_model(training.model, args.output)
    console.print(dataset_report(training.dataset))
    for note in training.notes:
        console.print(f"note: {note}", markup=False)
    console.print(classes_learnt(training))
    accuracy = training.validation.accuracy
    held_out = "" if accuracy is None else f", {accuracy:.1%} of held-out clips right"
    console.print(f"wrote {args.output}: {args.output.stat().st_size / 1024:.0f} KiB{held_out}", markup=False)
    if args.report:
        _write_report(training, args.report)
    return 0


def _shorthands(args: argparse.Namespace) -> list[str]:
    """The options that stand for settings, as the settings they stand for."""
    settings = {
        "training.covariance": args.covariance,
        "training.n_components": args.components,
        "features.sample_rate_hz": args.rate,
        "training.seed": args.seed,
    }
    return [f"{key}={value}" for key, value in settings.items() if value is not None]


def classes_learnt(training: Training) -> Table:
    """A row per class: what it was learnt from, how it is modelled, and how its held-out clips fared."""
    from collections import Counter

    from rich.table import Table
    from rich.text import Text

    n_windows = Counter[str]()
    for clip in training.clips:
        n_windows[clip.clip.label] += len(clip.vectors)
    n_clips = Counter(clip.clip.label for clip in training.clips)
    table = Table("class", title="Learnt")
    for heading in ("clips", "windows", "components", "held-out clips right"):
        table.add_column(heading, justify="right")
    classifier = training.model.classifier
    for label, mixture in zip(classifier.labels, classifier.mixtures, strict=True):
        recall = training.validation.recalls.get(label)
        shown = "-" if recall is None else f"{recall:.0%}"
        table.add_row(Text(label), str(n_clips[label]), str(n_windows[label]), str(mixture.n_components), shown)
    return table


def _write_report(training: Training, path: Path) -> None:
    import msgspec

    from streamgmm.files import replace_whole
    from streamgmm.training.report import count_skipped

    report = {
        "model": training.model.name,
        "sha256": training.model.sha256,
        "card": training.model.card,
        "notes": training.notes,
        "warnings": training.dataset.warnings,
        "skipped_files": count_skipped(training.dataset.skipped),
    }
    replace_whole(path, msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
