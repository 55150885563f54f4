"""Choose the length of windows: compare a few lengths on held-out clips."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from streamgmm.arrays import Float64Array
from streamgmm.dataset.clips import Clip
from streamgmm.settings.features import FeaturesSection
from streamgmm.training.extraction.clip_vectors import ClipVectors
from streamgmm.training.extraction.extraction import Extraction, extract_clips, without_contexts
from streamgmm.training.extraction.task import ExtractionTask
from streamgmm.training.fitting.fitting import unconverged_allowed
from streamgmm.training.selection.search import is_better
from streamgmm.training.selection.validation import validate
from streamgmm.training.workers import ProgressTracker, prefixed, untracked

DEFAULT_S = FeaturesSection().window_s

OTHERS_S = (0.5, 2.0)
"""Other lengths to try: spoken words last half a second, and steady sounds are recognised better from two."""

LONGEST_S = 5.0
"""Tried where the longest of the others is best: music and machines vary over seconds."""

MAX_TRIED_CLIPS = 1500
"""Most clips to compare lengths on, an equal share of each label: more clips would hardly change the choice."""


class Chosen(NamedTuple):
    """The clips to fit on, measured with the chosen window length.

    Attributes:
        task: how the clips were measured.
        clips: their vectors.
        notes: the choice and its reason; empty if no other length was tried.
    """

    task: ExtractionTask
    clips: list[ClipVectors]
    notes: tuple[str, ...] = ()


class WindowLengths:
    """Clips measured in windows of the configured length, and of other lengths while these are compared.

    Args:
        clips: the clips to measure.
        task: how to measure them; a window length that differs from the default is the user's choice, and is kept.
        track: shows the progress.
    """

    def __init__(self, clips: Sequence[Clip], task: ExtractionTask, track: ProgressTracker = untracked) -> None:
        self._clips = clips
        self._task = task
        self._track = track
        self._tried = set(_subset_per_label(clips, task.training.seed))
        self._measured: dict[float, Extraction] = {}
        self._compared: dict[float, list[ClipVectors]] = {}

    def measured(self, window_s: float | None = None) -> Extraction:
        """Return all clips measured in windows of a length, by default the configured one; the result is cached."""
        window_s = self._task.spec.window_s if window_s is None else window_s
        if window_s not in self._measured:
            self._measured[window_s] = extract_clips(self._clips, self._task_of(window_s), self._track_of(window_s))
        return self._measured[window_s]

    def choose(self, usable: Iterable[Clip], labels: Sequence[str]) -> Chosen:
        """Return the clips measured with the window length of least held-out log loss.

        Another length than the default has to be better by as many standard errors as any other setting. The losses are
        those of clips, not of windows, because a longer window is recognised better whatever the task.

        Args:
            usable: clips that may be trained on; others are ignored.
            labels: of these clips, sorted.
        """
        known = set(usable)
        default_s = self._task.spec.window_s
        kept = Chosen(self._task, _only(self.measured().clips, known))
        if not self._task.training.search or default_s != DEFAULT_S or len(labels) < 2:
            return kept
        # A window is at least one hop long.
        others_s = [window_s for window_s in OTHERS_S if window_s >= self._task.spec.hop_s]
        tried = {window_s: self._some(window_s, known) for window_s in (default_s, *others_s)}
        # Only clips that every length could measure, so that the losses are paired.
        common = set.intersection(*({clip.clip for clip in clips} for clips in tried.values()))
        losses = {
            window_s: own
            for window_s, clips in tried.items()
            if (own := self._losses(window_s, _only(clips, common), labels)) is not None
        }
        # Some length has too few usable clips of a label to compare: keep the default.
        if len(losses) < len(tried):
            return kept
        best_s = min(others_s, key=lambda window_s: float(losses[window_s].mean()))
        is_chosen = is_better(losses[default_s], losses[best_s])
        if is_chosen and best_s == max(OTHERS_S):
            longest = self._losses(LONGEST_S, _only(self._some(LONGEST_S, known), common), labels)
            # Paired with those of the shorter windows, unless a clip cannot be measured in this length.
            if longest is not None and len(longest) == len(common):
                losses[LONGEST_S] = longest
                best_s = LONGEST_S if is_better(losses[best_s], longest) else best_s
        # At least 0: posteriors have a small offset in a log loss, which may give -0.000.
        losses_text = ", ".join(
            f"{max(0.0, own.mean()):.3f} with {window_s:g} s" for window_s, own in sorted(losses.items())
        )
        if not is_chosen:
            note = f"windows of {default_s:g} s kept, as no others are surely better: held-out log loss of clips"
            return kept._replace(notes=(f"{note} {losses_text}",))
        note = f"windows of {best_s:g} s: held-out log loss of clips {losses_text}"
        return Chosen(self._task_of(best_s), _only(self.measured(best_s).clips, known), (note,))

    def _some(self, window_s: float, known: Collection[Clip]) -> list[ClipVectors]:
        """Return the clips to compare a length on: an equal share of each label, without what takes longest."""
        if window_s not in self._compared:
            measured = self._measured.get(window_s)
            # Whole clips are measured in this length already, unless it is another one than the configured.
            light = None if measured is None else without_contexts(measured.clips, len(self._clips))
            self._compared[window_s] = self._measured_lightly(window_s) if light is None else _only(light, self._tried)
        return _only(self._compared[window_s], known)

    def _measured_lightly(self, window_s: float) -> list[ClipVectors]:
        task = self._task_of(window_s)
        training = msgspec.structs.replace(task.training, n_context_copies=0, cepstra="never")
        tried = [clip for clip in self._clips if clip in self._tried]
        track = prefixed(self._track, f"windows of {window_s:g} s: ")
        return extract_clips(tried, msgspec.structs.replace(task, training=training), track).clips

    def _track_of(self, window_s: float) -> ProgressTracker:
        is_other = window_s != self._task.spec.window_s
        return prefixed(self._track, f"windows of {window_s:g} s: ") if is_other else self._track

    def _losses(self, window_s: float, clips: Sequence[ClipVectors], labels: Sequence[str]) -> Float64Array | None:
        """Return the log loss of each clip, without a search of settings; None if no clip could be held out."""
        # All else is chosen at the chosen length later; for each length it would take far longer.
        training = self._task.training
        bottleneck = "always" if training.bottleneck == "always" else "never"
        training = msgspec.structs.replace(training, search=False, bottleneck=bottleneck, cepstra="never")
        if {clip.clip.label for clip in clips} != set(labels):
            return None
        with unconverged_allowed():
            track = prefixed(self._track, f"windows of {window_s:g} s: ")
            return validate(clips, labels, training, track).log_losses

    def _task_of(self, window_s: float) -> ExtractionTask:
        return msgspec.structs.replace(self._task, spec=msgspec.structs.replace(self._task.spec, window_s=window_s))


def _only(clips: Iterable[ClipVectors], wanted: Collection[Clip]) -> list[ClipVectors]:
    return [clip for clip in clips if clip.clip in wanted]


def _subset_per_label(clips: Sequence[Clip], seed: int) -> list[Clip]:
    """Return all clips, or a random subset of at most `MAX_TRIED_CLIPS` with equal shares of the labels."""
    if len(clips) <= MAX_TRIED_CLIPS:
        return list(clips)
    by_label: dict[str, list[Clip]] = defaultdict(list)
    for i in np.random.default_rng(seed).permutation(len(clips)):
        by_label[clips[i].label].append(clips[i])
    return [clip for own in by_label.values() for clip in own[: max(1, MAX_TRIED_CLIPS // len(by_label))]]
