"""The scores of an evaluation as text and tables."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streamgmm.dataset.reasons import explanation
from streamgmm.evaluation.conditions import conditions_text
from streamgmm.evaluation.scores import Evaluation
from streamgmm.shares import share_text


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """Print the scores: per label, the confusion matrix, and in total."""
    table = Table("label", title="Per label")
    for heading in ("recall", "precision", "F1"):
        table.add_column(heading, justify="right")
    for label, result in evaluation.per_class.items():
        shares = (share_text(result.n_right, n, evaluation.n_seeds) for n in (result.n_clips, result.n_answered))
        table.add_row(Text(label), *shares, f"{result.f1:.1%}")
    console.print(table)
    console.print(_confusion_table(evaluation))
    for name, count in evaluation.skipped.items():
        console.print(f"left out: {count}: {explanation(name)}", soft_wrap=True)
    for line in _evaluation_summary(evaluation):
        console.print(line, soft_wrap=True)


def _evaluation_summary(evaluation: Evaluation) -> Iterator[str]:
    if conditions := conditions_text(evaluation.conditions):
        yield f"test clips: {conditions}"
    if evaluation.auroc_unknown is not None and evaluation.accepted_unknown_at_90 is not None:
        yield (
            f"a class left out: AUROC {evaluation.auroc_unknown:.3f}{_error(evaluation.auroc_unknown_se, '.3f')}, "
            f"{evaluation.accepted_unknown_at_90:.1%} accepted where 90% of the known clips are"
        )
    if evaluation.log_loss is not None:
        yield (
            f"log loss {evaluation.log_loss:.3f}{_error(evaluation.log_loss_se, '.3f')}, calibration error "
            f"{evaluation.ece:.1%}, {evaluation.ece_uncalibrated:.1%} before calibration"
        )
    # By name: with several seeds, a fold has one result for each.
    n_folds = len({result.fold for result in evaluation.folds})
    spread = f" (deviation {evaluation.accuracy_sd:.1%} over {n_folds} folds)" if n_folds > 1 else ""
    n_right = sum(result.n_right for result in evaluation.per_class.values())
    n_answers = sum(result.n_clips for result in evaluation.per_class.values())
    yield (
        f"accuracy {evaluation.accuracy:.1%}{_error(evaluation.accuracy_se, '.1%')}{spread}, "
        f"{share_text(n_right, n_answers, evaluation.n_seeds)}, "
        f"balanced {evaluation.balanced_accuracy:.1%}, "
        f"{evaluation.n_clips} clips, {evaluation.n_seeds} seed{'s' if evaluation.n_seeds > 1 else ''}"
    )


def _error(standard_error: float | None, form: str) -> str:
    return "" if standard_error is None else f" ± {standard_error:{form}}"


def _confusion_table(evaluation: Evaluation) -> Table:
    """Return the confusion matrix: rows are true labels; columns are numbered, so that ten labels fit a terminal."""
    table = Table("true \\ answered", title="Confusion", box=box.SIMPLE, padding=(0, 0, 0, 1))
    for number in range(1, len(evaluation.answers) + 1):
        table.add_column(str(number), justify="right")
    for number, answer in enumerate(evaluation.answers, start=1):
        # Answers that are never true, such as `unknown`, have a number and an empty row.
        counts = evaluation.confusion[number - 1] if number <= len(evaluation.labels) else []
        table.add_row(Text(f"{number} {answer}"), *(str(count) if count else "." for count in counts))
    return table
