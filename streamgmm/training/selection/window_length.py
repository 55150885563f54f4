"""How much sound a window should hold: a few lengths, compared on held-out clips."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from streamgmm.arrays import Float64Array
from streamgmm.config import FeaturesSection
from streamgmm.dataset.clips import Clip
from streamgmm.training.extraction.clip_vectors import ClipVectors
from streamgmm.training.extraction.extraction import Extraction, ExtractionTask, extract_clips
from streamgmm.training.fitting.fitting import unconverged_allowed
from streamgmm.training.selection.calibration import gain
from streamgmm.training.selection.search import MIN_STANDARD_ERRORS
from streamgmm.training.selection.validation import validate
from streamgmm.training.workers import Track, prefixed, untracked

DEFAULT_S = FeaturesSection().window_s

OTHERS_S = (0.5, 2.0)
"""Spoken words are half a second long, and of what goes on evenly two seconds say more than one."""

MAX_TRIED_CLIPS = 1500
"""Of large sets each label gives an equal share to the comparison, which then is sure enough and takes no longer."""


class Chosen(NamedTuple):
    """What to fit on.

    Attributes:
        task: how the clips were measured.
        clips: what they have to teach.
        notes: what was chosen and why; empty if nothing else was tried.
    """

    task: ExtractionTask
    clips: list[ClipVectors]
    notes: tuple[str, ...] = ()


class WindowLengths:
    """Clips measured in windows of the length that the settings say, and in others when these are tried.

    Args:
        clips: to be measured.
        task: how; its length is the user's choice, and stays, if it is not the default one.
        track: shows how far the work is.
    """

    def __init__(self, clips: Sequence[Clip], task: ExtractionTask, track: Track = untracked) -> None:
        self._clips = clips
        self._task = task
        self._track = track
        self._tried = set(_some_of_each_label(clips, task.training.seed))
        self._measured: dict[tuple[float, bool], Extraction] = {}

    def measured(self, window_s: float | None = None) -> Extraction:
        """All clips in windows of a length, by default that of the settings; measured once, and kept."""
        return self._measure(self._task.spec.window_s if window_s is None else window_s, is_whole=True)

    @unconverged_allowed()
    def choose(self, taught: Iterable[Clip], labels: Sequence[str]) -> Chosen:
        """The length with the least held-out log loss of clips, and these clips measured so.

        Another than the default has to be better by as many standard errors as any other setting. Clips count here and
        not windows, as a longer window is right more often by itself.

        Args:
            taught: clips that may be learnt from; others say nothing here.
            labels: theirs, sorted.
        """
        known = set(taught)
        default_s = self._task.spec.window_s
        kept = Chosen(self._task, _only(self.measured().clips, known))
        if not self._task.training.search or default_s != DEFAULT_S or len(labels) < 2:
            return kept
        others_s = [window_s for window_s in OTHERS_S if window_s >= self._task.spec.hop_s]
        tried = {window_s: self._some(window_s, known) for window_s in (default_s, *others_s)}
        common = set.intersection(*({clip.clip for clip in clips} for clips in tried.values()))
        losses = {
            window_s: own
            for window_s, clips in tried.items()
            if (own := self._losses(window_s, _only(clips, common), labels)) is not None
        }
        if len(losses) < len(tried):
            return kept
        best_s = min(others_s, key=lambda window_s: float(losses[window_s].mean()))
        gained, standard_error = gain(losses[default_s], losses[best_s])
        told = ", ".join(f"{max(0.0, own.mean()):.3f} with {window_s:g} s" for window_s, own in sorted(losses.items()))
        if gained <= MIN_STANDARD_ERRORS * standard_error:
            return kept._replace(notes=(f"windows of {default_s:g} s kept: held-out log loss of clips {told}",))
        note = f"windows of {best_s:g} s: held-out log loss of clips {told}"
        return Chosen(self._task_of(best_s), _only(self.measured(best_s).clips, known), (note,))

    def _some(self, window_s: float, known: Collection[Clip]) -> list[ClipVectors]:
        """The clips to try a length on."""
        is_whole = (window_s, True) in self._measured
        return _only(self._measure(window_s, is_whole=is_whole).clips, self._tried & set(known))

    def _measure(self, window_s: float, *, is_whole: bool) -> Extraction:
        is_whole = is_whole or len(self._tried) == len(self._clips)
        if (window_s, is_whole) not in self._measured:
            clips = self._clips if is_whole else [clip for clip in self._clips if clip in self._tried]
            is_other = window_s != self._task.spec.window_s
            track = prefixed(self._track, f"windows of {window_s:g} s: ") if is_other else self._track
            self._measured[window_s, is_whole] = extract_clips(clips, self._task_of(window_s), track)
        return self._measured[window_s, is_whole]

    def _losses(self, window_s: float, clips: Sequence[ClipVectors], labels: Sequence[str]) -> Float64Array | None:
        """Of each clip, without a search; None if none could be held out."""
        training = msgspec.structs.replace(self._task.training, search=False)
        if {clip.clip.label for clip in clips} != set(labels):
            return None
        return validate(clips, labels, training, prefixed(self._track, f"windows of {window_s:g} s: ")).log_losses

    def _task_of(self, window_s: float) -> ExtractionTask:
        return msgspec.structs.replace(self._task, spec=msgspec.structs.replace(self._task.spec, window_s=window_s))


def _only(clips: Iterable[ClipVectors], wanted: Collection[Clip]) -> list[ClipVectors]:
    return [clip for clip in clips if clip.clip in wanted]


def _some_of_each_label(clips: Sequence[Clip], seed: int) -> list[Clip]:
    """All clips, or of each label as many, drawn at random, that there are few enough."""
    if len(clips) <= MAX_TRIED_CLIPS:
        return list(clips)
    by_label: dict[str, list[Clip]] = defaultdict(list)
    for i in np.random.default_rng(seed).permutation(len(clips)):
        by_label[clips[i].label].append(clips[i])
    return [clip for own in by_label.values() for clip in own[: max(1, MAX_TRIED_CLIPS // len(by_label))]]
