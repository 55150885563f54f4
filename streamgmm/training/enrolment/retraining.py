"""Teach a model the clips of its own runs that a person has reviewed, all labels at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from streamgmm.clips.reviewing import accepted_folder, read_info
from streamgmm.dataset.class_folders import read_folders
from streamgmm.dataset.clips import Clip
from streamgmm.dataset.listing import SHORTEST_SEGMENT_S, Entry, Findings, Segment
from streamgmm.dataset.reasons import left_out_lines
from streamgmm.errors import DataError, InputMissingError, UsageError
from streamgmm.files import path_kind
from streamgmm.labels import BACKGROUND
from streamgmm.model.model import Model
from streamgmm.training.enrolment.enrolment import MIN_CLIPS, check_enrolled, examined
from streamgmm.training.enrolment.refitting import ModelChange, measure_like, refit
from streamgmm.training.enrolment.training_cache import TrainingCache
from streamgmm.training.workers import ProgressTracker, untracked


class ReviewedClips(NamedTuple):
    """The clips that a person has accepted.

    Attributes:
        new: those that the model was not trained on.
        n_known: number of those that it was trained on, with the same label.
    """

    new: list[Clip]
    n_known: int


def reviewed_clips(directory: Path, model: Model, cache: TrainingCache, findings: Findings) -> ReviewedClips:
    """Read the clips that `streamgmm review` has accepted.

    Args:
        directory: folder of the clips of a run.
        model: the model to train again.
        cache: its training cache.
        findings: collects what is left out, e.g. damaged files, recordings that are known by another label, and folders
            that are not named like a class.

    Raises:
        InputMissingError: no clip was accepted yet.
        DatasetError: a folder has a name that is no label, or two have the same.
    """
    folder = accepted_folder(directory)
    if path_kind(folder) != "folder":
        hint = "sort them with `streamgmm review` first"
        raise InputMissingError("there are no reviewed clips", where=str(folder), hint=hint)
    listing = read_folders(folder, findings)
    classes = {label for label in listing.labels if _is_class(label, folder / label, model, findings)}
    known = {clip.clip.content_sha256: clip.clip.label for clip in cache.clips}
    reviewed, n_known = [], 0
    entries = (_of_labels(entry, classes) for entry in listing.entries)
    for clip in examined(_sounds_alone(entries, findings), cache, findings):
        label = known.setdefault(clip.content_sha256, "")
        if not label:
            # From now on it is known, so that copies of it count once.
            known[clip.content_sha256] = clip.label
            reviewed.append(clip)
        elif label == clip.label:
            n_known += 1
        else:
            findings.warn(f"{clip.path}: is already known as '{label}', left out")
    return ReviewedClips(reviewed, n_known)


def _is_class(label: str, folder: Path, model: Model, findings: Findings) -> bool:
    """Return whether `model` can learn clips of `folder`; what it cannot learn is left out, and the others are not."""
    try:
        check_enrolled(label, model)
    except (UsageError, DataError) as error:
        findings.warn(f"{folder}: {error.what}, left out; move its clips to the folder of a class")
        return False
    return True


def retrain(
    model: Model,
    cache: TrainingCache,
    clips: Sequence[Clip],
    findings: Findings,
    *,
    n_jobs: int = 0,
    is_cached: bool = True,
    track: ProgressTracker = untracked,
) -> ModelChange:
    """Fit `model` again with reviewed clips: those of its labels extend them, and others become labels of their own.

    Args:
        model: is not modified.
        cache: training cache of `model`.
        clips: see `reviewed_clips`.
        findings: collects recordings that are silent, and labels that have too few.
        n_jobs: number of processes that measure; 0 for one per core.
        is_cached: whether measured clips are kept for other trainings.
        track: shows the progress.

    Raises:
        DataError: no clip can be used.
    """
    wanted = _of_enough(Counter(clip.label for clip in clips), model, findings)
    clips = [clip for clip in clips if clip.label in wanted]
    measured = measure_like(model, cache, clips, findings, n_jobs=n_jobs, is_cached=is_cached, track=track)
    # Again, as only measuring shows which clips are silent.
    wanted = _of_enough(Counter(clip.clip.label for clip in measured), model, findings)
    measured = [clip for clip in measured if clip.clip.label in wanted]
    if not measured:
        noticed = [*left_out_lines(findings.skipped), *findings.warnings]
        raise DataError("no reviewed clip can be used", hint="; ".join(noticed[:MIN_CLIPS]))
    return refit(model, cache, [*cache.clips, *measured], track)


def _of_labels(entry: Entry, labels: Collection[str]) -> Entry:
    """Return `entry` without the segments of other labels."""
    return entry._replace(segments=[segment for segment in entry.segments if segment.label in labels])


def _sounds_alone(entries: Iterable[Entry], findings: Findings) -> Iterator[Entry]:
    """Yield entries with the event of a clip alone; a background is the whole clip."""
    for entry in entries:
        if not entry.segments:
            continue
        segment, info = entry.segments[0], read_info(entry.path)
        # Segments of a label track are those of the user.
        if info is None or not segment.is_whole or segment.label == BACKGROUND:
            yield entry
        # What the room does before and after the event would be learnt as the class.
        elif info.onset_s + SHORTEST_SEGMENT_S > info.duration_s:
            findings.warn(f"{entry.path}: ends before the event begins, left out; a lower clips.pre_roll_s keeps both")
        else:
            yield _sound_alone(entry, max(0.0, info.onset_s), info.offset_s)


def _sound_alone(entry: Entry, onset_s: float, offset_s: float) -> Entry:
    if offset_s - onset_s < SHORTEST_SEGMENT_S:
        return entry
    return entry._replace(segments=[Segment(entry.segments[0].label, onset_s, offset_s)])


def _of_enough(n_clips: Counter[str], model: Model, findings: Findings) -> set[str]:
    """Return the labels that can be learnt: of a new one there have to be some clips, which may come later."""
    # A single recording of a background is worth as much as a long one of many sounds.
    few = {label for label, n in n_clips.items() if n < MIN_CLIPS and label not in (*model.labels, BACKGROUND)}
    for label in sorted(few):
        n, what = n_clips[label], "clip" if n_clips[label] == 1 else "clips"
        findings.warn(f"'{label}' is new and has {n} {what}: left out until there are {MIN_CLIPS}")
    return n_clips.keys() - few
