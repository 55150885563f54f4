"""An evaluation as one HTML page without external resources or scripts, light or dark as the browser prefers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from streamgmm import __version__
from streamgmm.dataset.reasons import explanation
from streamgmm.dataset.report import N_EXAMPLES
from streamgmm.evaluation.ablation import Ablation
from streamgmm.evaluation.conditions import conditions_text
from streamgmm.evaluation.scores import Evaluation, posteriors_of, score_trial
from streamgmm.evaluation.trial import Trial
from streamgmm.features.kernel.loader import kernel_name
from streamgmm.report.figure import inline_svg
from streamgmm.report.markup import bullets, details, section, share_bar, table, text
from streamgmm.report.mistakes import Mistake, picture_mistakes
from streamgmm.report.pictures import draw_confusion, draw_known, draw_reliability, draw_thresholds
from streamgmm.settings.config import Config
from streamgmm.settings.text import plain_yaml
from streamgmm.shares import share_text
from streamgmm.training.trainer import LIBRARIES

_INTERVALS = "In brackets, the interval that holds the true share with 95 % confidence (Wilson, 1927)."


def evaluation_page(trial: Trial, config: Config) -> str:
    """Return the report on `trial` as HTML.

    Args:
        trial: all answers.
        config: settings of the evaluation, which are shown and are used to load the worst clips again.

    Raises:
        UsageError: matplotlib is not installed.
        DataError: the noise of the evaluation can no longer be read.
    """
    evaluation = score_trial(trial)
    parts = [
        _heading(trial, evaluation),
        _key_figures(evaluation),
        _confusion(evaluation),
        f'<div class="pair">{"".join(_curves(trial))}</div>',
        _labels(evaluation),
        _mistakes(picture_mistakes(trial, config)),
        _ablation(trial.ablation),
        _left_out(trial),
        _settings(config),
    ]
    title = f"Evaluation of {text(trial.dataset.path.name)}"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{files(__package__).joinpath('style.css').read_text('utf-8')}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _heading(trial: Trial, evaluation: Evaluation) -> str:
    folds = sorted({fold.fold for fold in evaluation.folds})
    divided = {
        "none": "answered by an existing model",
        "fold": f"cross-validated over the {len(folds)} folds of the data set",
        "source": f"cross-validated over {len(folds)} folds, with all clips of a source in one fold",
    }[evaluation.division]
    seeds = f", with {evaluation.n_seeds} seeds" if evaluation.n_seeds > 1 else ""
    what = f"{evaluation.n_clips} clips of {len(evaluation.labels)} labels, {divided}{seeds}."
    conditions = conditions_text(evaluation.conditions)
    tested = f"Test conditions: {conditions}." if conditions else "Test clips were used as recorded."
    return (
        f"<h1>Evaluation of {text(trial.dataset.path.name)}</h1>"
        f'<p class="faint">{text(what)} {text(tested)}<br>{text(trial.dataset.path)}</p>'
    )


class _KeyFigure(NamedTuple):
    name: str
    value: float | None
    standard_error: float | None
    form: str
    note: str


def _key_figures(evaluation: Evaluation) -> str:
    before = "" if evaluation.ece_uncalibrated is None else f"{evaluation.ece_uncalibrated:.1%} before calibration"
    results = evaluation.per_class.values()
    right = share_text(sum(one.n_right for one in results), sum(one.n_clips for one in results), evaluation.n_seeds)
    figures = [
        _KeyFigure("accuracy", evaluation.accuracy, evaluation.accuracy_se, ".1%", f"of clips recognised: {right}"),
        _KeyFigure("balanced accuracy", evaluation.balanced_accuracy, None, ".1%", "mean recall over labels"),
        _KeyFigure("log loss", evaluation.log_loss, evaluation.log_loss_se, ".3f", "of the posteriors, in nats"),
        _KeyFigure("calibration error", evaluation.ece, None, ".1%", before),
        _KeyFigure(
            "AUROC of unknown",
            evaluation.auroc_unknown,
            evaluation.auroc_unknown_se,
            ".3f",
            "each class left out in turn",
        ),
        _KeyFigure("unknown accepted", evaluation.accepted_unknown_at_90, None, ".1%", "where 90 % of the known are"),
    ]
    # Figures that this evaluation has not measured are None.
    shown = [_key_figure(one, is_first=not place) for place, one in enumerate(figures) if one.value is not None]
    note = "± is one standard error: of the mean over folds, or over the classes left out."
    return f'<section><div class="figures">{"".join(shown)}</div><p class="faint"><small>{note}</small></p></section>'


def _key_figure(figure: _KeyFigure, *, is_first: bool) -> str:
    error = (
        "" if figure.standard_error is None else f' <span class="error">± {figure.standard_error:{figure.form}}</span>'
    )
    return (
        f'<div class="figure{" first" if is_first else ""}"><div>{text(figure.name)}</div>'
        f'<div class="value">{figure.value:{figure.form}}{error}</div><div class="note">{text(figure.note)}</div></div>'
    )


def _confusion(evaluation: Evaluation) -> str:
    picture = inline_svg("confusion", partial(draw_confusion, evaluation))
    return section("Confusion matrix", picture, note="Number of clips; blue is right, orange is wrong.")


def _curves(trial: Trial) -> Iterator[str]:
    answers = list(trial.answers)
    before, after = (posteriors_of(answers, is_calibrated=is_calibrated) for is_calibrated in (False, True))
    if before is not None and after is not None:
        yield section(
            "Calibration",
            inline_svg("reliability", partial(draw_reliability, before.bins, after.bins)),
            note="On the dashed line, 70 % of clips with a posterior of 70 % are right.",
        )
    yield section(
        "Score threshold",
        inline_svg("thresholds", partial(draw_thresholds, answers)),
        note="A higher threshold accepts fewer clips, with fewer mistakes among them.",
    )
    if trial.left_out:
        yield section(
            "Unknown classes",
            inline_svg("known", partial(draw_known, trial.left_out)),
            note="Each class was left out in turn. Left of the dashed line, a clip is answered with “unknown”.",
        )


def _labels(evaluation: Evaluation) -> str:
    rows = (
        [
            text(label),
            _share_cell(one.n_right, one.n_clips, evaluation),
            _share_cell(one.n_right, one.n_answered, evaluation),
            f"{one.f1:.1%}",
        ]
        for label, one in evaluation.per_class.items()
    )
    return section("Each label", table(["label", "recall", "precision", "F1"], rows), note=_INTERVALS)


def _share_cell(n_right: int, n: int, evaluation: Evaluation) -> str:
    """Return a share as a bar, with its counts and its interval."""
    # A label that was never answered has no precision.
    bar = share_bar(n_right / n if n else 0.0)
    return f"{bar} <small>{share_text(n_right, n, evaluation.n_seeds)}</small>"


def _mistakes(mistakes: list[Mistake]) -> str:
    if not mistakes:
        return section("Mistakes", note="There are no mistakes.")
    figures = "".join(map(_mistake, mistakes))
    note = (
        "Wrong answers with the highest scores: a wrong label, or a difficult sound. Low frequencies are at the bottom."
    )
    return section("The worst mistakes", f'<div class="clips">{figures}</div>', note=note)


def _mistake(mistake: Mistake) -> str:
    clip, decision = mistake.answer.clip, mistake.answer.decision
    picture = f'<img src="{mistake.picture}" alt="spectrogram">' if mistake.picture else '<div class="missing"></div>'
    stretch = "" if clip.onset_s is None else f", from {clip.onset_s:g} s"
    return (
        f'<figure>{picture}<figcaption><span class="good">{text(clip.label)}</span> was answered with '
        f'<span class="bad">{text(decision.label)}</span>, <span class="whole">score {decision.score:.2f}</span>'
        f'<div class="path">{text(clip.path)}{stretch}, {mistake.duration_s:.1f} s</div></figcaption></figure>'
    )


def _ablation(parts: list[Ablation]) -> str:
    if not parts:
        return ""
    # The first part is the run without any omission.
    whole, *others = parts
    rows = (
        [
            text(part.name),
            f"{part.accuracy:.1%} ± {part.standard_error:.1%}",
            f"{100 * (whole.accuracy - part.accuracy):+.1f}",
        ]
        for part in others
    )
    note = (
        f"With everything {whole.accuracy:.1%} ± {whole.standard_error:.1%} of clips are right, held out by source and "
        "without a search for settings. A loss below two standard errors is not significant."
    )
    return section("Ablation", table(["left out", "right", "lost, points"], rows), note=note)


def _left_out(trial: Trial) -> str:
    paths_by_reason: dict[str, list[Path]] = defaultdict(list)
    for path, reason in trial.dataset.skipped:
        paths_by_reason[reason].append(path)
    rows = (
        [text(explanation(reason, paths[0])), str(len(paths)), "<br>".join(map(text, paths[:N_EXAMPLES]))]
        for reason, paths in sorted(paths_by_reason.items())
    )
    parts = [table(["reason", "files", "such as"], rows, text_columns=[2])] if paths_by_reason else []
    parts.append(bullets([*trial.dataset.warnings, *trial.dataset.notes]))
    return section("Skipped files and warnings", *parts, note="" if any(parts) else "None.")


def _settings(config: Config) -> str:
    versions = {
        "streamgmm": __version__,
        "kernel": kernel_name(),
        **{library: version(library) for library in LIBRARIES},
    }
    lines = "".join(f"{name} {number}\n" for name, number in versions.items())
    return section("Settings and versions", details("Settings", plain_yaml(config)), details("Versions", lines))
