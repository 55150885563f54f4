"""`streamgmm evaluate`: how good it is on recordings that it has not seen."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from streamgmm.cli.options import add_config_options
from streamgmm.errors import CannotCreateError, UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from streamgmm.training.evaluation import Evaluation

_DESCRIPTION = """\
Cross-validate: train on all folds but one, and answer the clips of that one as
the live stream would, in turn. Folds are those of the manifest, or else sources
are dealt out into five. With --model, score that model on all clips instead.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `evaluate`."""
    parser = subparsers.add_parser(
        "evaluate", help="measure a model on recordings it has not seen", description=_DESCRIPTION
    )
    parser.add_argument("data", metavar="DATA", type=Path, help="recordings, as for `streamgmm train`")
    parser.add_argument("-m", "--model", metavar="MODEL", help="score this model instead of cross-validating")
    parser.add_argument("--by", choices=["fold", "source"], help="what is never divided between training and test")
    parser.add_argument("--seeds", metavar="N", type=int, default=1, help="repeat with N seeds (default: 1)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the result as JSON")
    add_config_options(parser)
    parser.set_defaults(handler=_run)


def _run(args: argparse.Namespace) -> int:
    from rich.console import Console

    from streamgmm.cli.console import RichTrack, make_progress, stderr_console
    from streamgmm.config_loading import load_config
    from streamgmm.training.dataset import read_dataset
    from streamgmm.training.evaluation import cross_validate, score_model

    if args.seeds < 1:
        raise UsageError(f"--seeds is {args.seeds}, must be at least 1")
    if args.model and (args.by or args.seeds > 1):
        raise UsageError("--by and --seeds are for cross-validation, which --model replaces")
    overrides = [*([f"model.path={args.model}"] if args.model else []), *args.overrides]
    loaded = load_config(args.config, overrides)
    config = loaded.config
    console = stderr_console()
    with make_progress(console) as progress:
        track = RichTrack(progress)
        dataset = read_dataset(args.data, min_clips=config.training.min_clips, channel=config.source.channel)
        if args.model:
            from streamgmm.cli.run import load_chosen_model

            evaluation = score_model(dataset, load_chosen_model(loaded), config, track=track)
        else:
            evaluation = cross_validate(dataset, config, division=args.by or "auto", n_seeds=args.seeds, track=track)
    for warning in dataset.warnings:
        console.print(f"warning: {warning}", markup=False)
    print_evaluation(evaluation, Console(highlight=False))
    if args.json:
        _write_json(evaluation, args.json)
    return 0


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """Print the scores: in total, per label, and what was taken for what."""
    from rich.table import Table
    from rich.text import Text

    table = Table("label", title="Per label")
    for heading in ("clips", "recall", "precision", "F1"):
        table.add_column(heading, justify="right")
    for label, result in evaluation.per_class.items():
        numbers = (f"{share:.1%}" for share in (result.recall, result.precision, result.f1))
        table.add_row(Text(label), str(result.n_clips), *numbers)
    console.print(table)
    console.print(_confusion_table(evaluation))
    for name, count in evaluation.skipped.items():
        console.print(f"left out: {count} {name}", markup=False)
    folds = sorted({result.fold for result in evaluation.folds})
    spread = f" (deviation {evaluation.accuracy_sd:.1%} over {len(folds)} folds)" if len(folds) > 1 else ""
    console.print(
        f"accuracy {evaluation.accuracy:.1%}{spread}, balanced {evaluation.balanced_accuracy:.1%}, "
        f"{evaluation.n_clips} clips, {evaluation.n_seeds} seed{'s' if evaluation.n_seeds > 1 else ''}"
    )


def _confusion_table(evaluation: Evaluation) -> Table:
    """Rows are true labels, columns answers, by number: so that ten labels fit a terminal."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table("true \\ answered", title="Confusion", box=box.SIMPLE, padding=(0, 0, 0, 1))
    for number in range(1, len(evaluation.answers) + 1):
        table.add_column(str(number), justify="right")
    for number, answer in enumerate(evaluation.answers, start=1):
        # What is answered and never true, such as `unknown`, has a number, but nothing in its row.
        counts = evaluation.confusion[number - 1] if number <= len(evaluation.labels) else []
        table.add_row(Text(f"{number} {answer}"), *(str(count) if count else "." for count in counts))
    return table


def _write_json(evaluation: Evaluation, path: Path) -> None:
    import msgspec

    from streamgmm.files import replace_whole

    try:
        replace_whole(path, msgspec.json.format(msgspec.json.encode(evaluation), indent=2) + b"\n")
    except OSError as error:
        raise CannotCreateError(f"cannot be written: {error.strerror}", where=str(path)) from error
