"""Changing a model: its lock, the scores before and after, and writing the result."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from rich.table import Table
from rich.text import Text

from streamgmm.cli.console import stderr_console, stdout_console
from streamgmm.errors import DataError
from streamgmm.model.file import load_model
from streamgmm.model.lock import model_lock
from streamgmm.model.model import Model
from streamgmm.training.enrolment.cache_file import (
    cache_path,
    check_cache_target,
    load_cache,
    save_with_cache,
    save_with_same_cache,
)
from streamgmm.training.enrolment.comparison import ModelComparison, adjusted_standard_error
from streamgmm.training.enrolment.refitting import ModelChange
from streamgmm.training.enrolment.training_cache import TrainingCache
from streamgmm.wording import escaped


@contextmanager
def changing_model(args: argparse.Namespace) -> Iterator[tuple[Model, TrainingCache]]:
    """Yield the model to change and its cache, after checking that the result can be written.

    The lock keeps other commands from changing the same model meanwhile.

    Raises:
        StreamgmmError: see `load_model`, `load_cache`, `check_cache_target` and `model_lock`.
    """
    load_model(args.model)  # a bad model is reported before waiting for the lock
    target: Path = args.output or args.model
    if not args.dry_run:
        check_cache_target(target)
    # Read again under the lock: another command may have replaced the model while this one waited. A dry run writes
    # nothing, and needs no lock.
    with nullcontext() if args.dry_run else locked(target):
        model = load_model(args.model)
        yield model, load_cache(model, args.model)


@contextmanager
def locked(model_path: Path) -> Iterator[None]:
    """Hold the lock of the model that will be written, and print a line while another command holds it.

    Raises:
        StreamgmmError: see `model_lock`.
    """
    console = stderr_console()
    with model_lock(model_path, lambda line: console.print(f"note: {escaped(line)}", soft_wrap=True)):
        yield


def apply_change(change: ModelChange, model: Model, args: argparse.Namespace, remarks: Sequence[str] = ()) -> int:
    """Print how `change` affects the scores, and write the new model unless it is rejected or `--dry-run` is given.

    Args:
        change: computed from `model`.
        model: as it was read from `args.model`.
        args: with the options of `add_change_options`.
        remarks: printed below the scores.

    Raises:
        DataError: classes that stay lose recall, or the model has changed meanwhile; nothing was written.
        StreamgmmError: see `save_with_cache`.
    """
    show_change(change, scores_table(change.comparison), remarks)
    return write_change(change, model, args)


def show_change(change: ModelChange, table: Table, remarks: Sequence[str] = ()) -> None:
    """Print a table of scores before and after `change`, with remarks and notes below it."""
    console = stdout_console()
    console.print(table)
    for line in [*_change_summary(change.comparison), *remarks, *(f"note: {note}" for note in change.notes)]:
        console.print(line, soft_wrap=True)


def write_change(change: ModelChange, model: Model, args: argparse.Namespace, previous: Path | None = None) -> int:
    """Write the new model unless it is rejected or `--dry-run` is given.

    Args:
        change: computed from `model`.
        model: as it was read from `args.model`.
        args: with the options of `add_change_options`.
        previous: where the old model and its cache are kept, and then a loss in the room rejects the new one too; None
            to keep neither.

    Raises:
        DataError, StreamgmmError: see `apply_change`.
    """
    errors = stderr_console()
    losses, room_losses = change.comparison.clip_losses(), change.comparison.room_losses()
    if previous is not None:
        losses += room_losses
    elif room_losses:
        # Another label shares the budget of false alarms, so thresholds rise: that is the price of any new class.
        errors.print(f"warning: less is found of {' and '.join(room_losses)}; see `model show`", soft_wrap=True)
    loss = f"{' and '.join(losses)} would lose more recall than chance can explain"
    target: Path = args.output or args.model
    if args.dry_run:
        verdict = f"without --force it would be rejected: {loss}" if losses else "dry run"
        errors.print(f"nothing was written: {verdict}", soft_wrap=True)
        return 0
    if losses and not args.force:
        raise DataError(loss, where=str(target), hint="--force writes it anyway")
    # The lock is that of the target: with --output, and for programs that know no lock, the model is still unprotected.
    if load_model(args.model).sha256 != model.sha256:
        raise DataError("the model has changed meanwhile", where=str(args.model), hint="run the command again")
    if previous is not None:
        save_with_same_cache(model, args.model, previous)
    saved = save_with_cache(change.model, change.cache, target)
    paths = f"{escaped(str(target))} and {escaped(cache_path(target).name)}"
    errors.print(f"wrote {paths}: {n_classes(saved.labels)}", soft_wrap=True)
    return 0


def scores_table(comparison: ModelComparison) -> Table:
    """Return a row per class: its clips, and the share of held-out clips recognised, before and after."""
    before, after = comparison.before, comparison.after
    table = Table("class", title="Held-out clips right")
    for heading in ("clips", "after", "right before", "after"):
        table.add_column(heading, justify="right")
    for label in sorted({*before.n_clips, *after.n_clips}):
        clips = [str(scores.n_clips.get(label, "-")) for scores in (before, after)]
        right = [scores.share_of(label) for scores in (before, after)]
        table.add_row(Text(label), *clips, *right)
    table.add_section()
    totals = [str(sum(scores.n_clips.values())) for scores in (before, after)]
    table.add_row("all", *totals, *(scores.share_of_all for scores in (before, after)))
    return table


def _change_summary(comparison: ModelComparison) -> list[str]:
    """Return a line with the recall, before and after, of all classes that stay."""
    labels = comparison.compared
    if not labels:
        return ["nothing to compare: there are no held-out scores of the classes that stay"]
    before, after = (scores.accuracy_on(labels) for scores in (comparison.before, comparison.again))
    error = adjusted_standard_error(before, sum(comparison.before.n_clips[label] for label in labels))
    stays = f"the {len(labels)} classes that stay" if len(labels) > 1 else f"the class that stays, '{labels[0]}'"
    return [f"{stays}: {before:.1%} before, {after:.1%} after, standard error {error:.1%}"]


def n_classes(labels: Sequence[str]) -> str:
    """Return the number of classes in words for the user."""
    return f"{len(labels)} classes" if len(labels) > 1 else "1 class"
