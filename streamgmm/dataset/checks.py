"""Checks for unusable data sets, and for repetitions that make scores too good."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from streamgmm.audio.resample import is_narrow
from streamgmm.dataset.clips import Clip
from streamgmm.dataset.listing import DatasetProblems, Skipped
from streamgmm.dataset.reasons import left_out_lines
from streamgmm.errors import DataError
from streamgmm.labels import BACKGROUND, SILENCE, UNKNOWN, is_reserved

_NOT_NEEDED = (SILENCE, UNKNOWN)


def check_classes(
    clips: Iterable[Clip],
    labels: Sequence[str],
    skipped: Sequence[Skipped],
    warnings: Iterable[str],
    *,
    where: Path,
    min_clips: int,
) -> None:
    """Reject a data set that no detector can be trained on; the error lists earlier warnings, which may be the cause.

    Raises:
        DatasetError: there is no class, or one with too few clips.
    """
    n_clips = _count_different(clips)
    problems = DatasetProblems()
    if all(is_reserved(label) for label in labels):
        problems.add("there is no class; a data set is a folder per class, a manifest.csv, or labelled recordings")
    for label in labels:
        # One recording of the background is enough: it is then never held out, but training needs it (see `folds`).
        n_needed = 1 if label == BACKGROUND else min_clips
        if n_clips[label] < n_needed:
            n_usable = f"{n_clips[label]} usable clips that differ, but needs {n_needed}"
            problems.add(f"class {label!r} has {n_usable}; add recordings, or leave the class out")
    # Collected as problems, so that the hint stays short whatever the number of warnings.
    noticed = DatasetProblems()
    for warning in warnings:
        noticed.add(f"warning: {warning}")
    problems.raise_if_any(where=where, hint="\n".join([*left_out_lines(skipped), *noticed.lines()]))


def check_rivals(labels: Sequence[str], *, has_world: bool, reasons: Sequence[str] = ()) -> None:
    """Reject a single class without anything to tell it from: another class, `background`, or the world.

    Args:
        labels: of all clips.
        has_world: whether the sounds of the world are heard too.
        reasons: why they are not.

    Raises:
        DataError: there is a single class.
    """
    classes = [label for label in labels if not is_reserved(label)]
    if has_world or BACKGROUND in labels or len(classes) != 1:
        return
    hints = ["add another, or recordings of the background, or train with `training.world`", *reasons]
    raise DataError(f"there is one class only, '{classes[0]}', and nothing to tell it from", hint="; ".join(hints))


def without_unneeded(clips: Sequence[Clip], labels: Sequence[str], *, min_clips: int) -> tuple[list[Clip], list[str]]:
    """Return `clips` and `labels` without `silence` and `unknown` where these have too few clips to train on.

    Recordings of them are optional: sound below the gate is `silence`, and sound unlike any class is `unknown`.
    Recordings of digital silence, which are left out earlier, do not make a data set invalid. Recordings of a quiet
    room are trained on like `background`: a sound without events.
    """
    n_clips = _count_different(clips)
    unneeded = {label for label in _NOT_NEEDED if n_clips[label] < min_clips}
    kept = [clip for clip in clips if clip.label not in unneeded]
    return kept, [label for label in labels if label not in unneeded]


def _count_different(clips: Iterable[Clip]) -> Counter[str]:
    """Count the different clips of each label; fifty copies of one recording count as one."""
    # The hash covers the whole recording; segments of one recording differ by their onset.
    different = {(clip.label, clip.content_sha256, clip.onset_s) for clip in clips}
    return Counter(label for label, _, _ in different)


def repeated_content(clips: Iterable[Clip]) -> DatasetProblems:
    """Report clips with the same sound, and sources in two folds: both make every score too good."""
    problems = DatasetProblems()
    clip_by_content: dict[tuple[str, float | None], Clip] = {}
    clip_by_source: dict[str, Clip] = {}
    for clip in clips:
        same = clip_by_content.setdefault((clip.content_sha256, clip.onset_s), clip)
        # Two labels on one segment of one recording are simultaneous events, not a repetition.
        if same is not clip and (clip.onset_s is None or same.path != clip.path):
            problems.add(f"{same.path} and {clip.path} contain the same sound{_differences(same, clip)}")
        kin = clip_by_source.setdefault(clip.source_id, clip)
        if kin.fold != clip.fold:
            problems.add(f"{kin.path} and {clip.path} are of one source but in folds {kin.fold} and {clip.fold}")
    return problems


def narrow_classes(clips: Iterable[Clip], sample_rate_hz: int) -> DatasetProblems:
    """Report classes that a model of `sample_rate_hz` could recognise by their narrow band, not their sound."""
    # The highest rate of each label: one wide-band recording keeps the model from knowing the class by its band.
    highest_hz: dict[str, int] = {}
    for clip in clips:
        highest_hz[clip.label] = max(clip.sample_rate_hz, highest_hz.get(clip.label, 0))
    narrow = [label for label, rate_hz in sorted(highest_hz.items()) if is_narrow(rate_hz, sample_rate_hz)]
    problems = DatasetProblems()
    # Where all classes are narrow, the band distinguishes none of them.
    for label in narrow if len(narrow) < len(highest_hz) else ():
        rate_hz = highest_hz[label]
        problems.add(
            f"no recording of {label!r} has more than {rate_hz} Hz, the model has {sample_rate_hz} Hz: it may "
            f"recognise the class by the missing content above {rate_hz // 2} Hz; record all classes alike, or set "
            f"features.sample_rate_hz={rate_hz}"
        )
    return problems


def _differences(first: Clip, second: Clip) -> str:
    labels = f", labelled {first.label!r} and {second.label!r}" if first.label != second.label else ""
    return labels + (f", in folds {first.fold} and {second.fold}" if first.fold != second.fold else "")
