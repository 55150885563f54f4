"""`streamgmm evaluate`: how good it is on recordings that it has not seen."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from streamgmm.cli.options import add_config_options
from streamgmm.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from streamgmm.training.evaluation import Evaluation

_DESCRIPTION = """\
Cross-validate: train on all folds but one, and answer the clips of that one as
the live stream would, in turn. Folds are those of the manifest, or else sources
are dealt out into five. With --model, score that model on all clips instead.
"""

MAX_SEEDS = 1000
_SEEN = "the model was trained on these very recordings, so the scores say nothing of others; leave --model away"


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
    from streamgmm.cli.console import RichTrack, make_progress, read_shown, stderr_console, stdout_console
    from streamgmm.cli.output_file import check_writable, write_json
    from streamgmm.cli.run import load_chosen_model
    from streamgmm.config_loading import load_config
    from streamgmm.training.clips import data_sha256
    from streamgmm.training.evaluation import cross_validate, score_model

    _check_options(args)
    loaded = load_config(args.config, [*_shorthands(args), *args.overrides])
    config = loaded.config
    model = load_chosen_model(loaded) if args.model is not None else None
    check_writable(args.json)
    console = stderr_console()
    with make_progress(console) as progress:
        track = RichTrack(progress)
        # A model that exists can be tried on a single clip.
        min_clips = config.training.min_clips if model is None else 1
        dataset = read_shown(args.data, progress, min_clips=min_clips, channel=config.source.channel)
        if model is not None:
            evaluation = score_model(dataset, model, config, track=track)
        else:
            evaluation = cross_validate(dataset, config, division=args.by or "auto", n_seeds=args.seeds, track=track)
    is_seen = model is not None and model.card.get("data_sha256") == data_sha256(dataset.clips)
    for warning in [*dataset.warnings, *([_SEEN] if is_seen else [])]:
        console.print(f"warning: {warning}", soft_wrap=True)
    if args.json:
        write_json(evaluation, args.json)
    print_evaluation(evaluation, stdout_console())
    return 0


def _check_options(args: argparse.Namespace) -> None:
    if not 1 <= args.seeds <= MAX_SEEDS:
        raise UsageError(f"--seeds is {args.seeds}, must be 1 to {MAX_SEEDS}")
    if args.model is not None and (args.by or args.seeds > 1):
        raise UsageError("--by and --seeds are for cross-validation, which --model replaces")


def _shorthands(args: argparse.Namespace) -> list[str]:
    """The option that stands for a setting, as the setting that it stands for."""
    import msgspec

    return [] if args.model is None else [f"model.path={msgspec.json.encode(args.model).decode()}"]


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
        console.print(f"left out: {count} {name}")
    folds = sorted({result.fold for result in evaluation.folds})
    spread = f" (deviation {evaluation.accuracy_sd:.1%} over {len(folds)} folds)" if len(folds) > 1 else ""
    console.print(
        f"accuracy {evaluation.accuracy:.1%}{spread}, balanced {evaluation.balanced_accuracy:.1%}, "
        f"{evaluation.n_clips} clips, {evaluation.n_seeds} seed{'s' if evaluation.n_seeds > 1 else ''}",
        soft_wrap=True,
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
