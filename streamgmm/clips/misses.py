"""Sounds that were no event: labels that came close to their threshold, and sounds that fit no label."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from streamgmm.clips.naming import ClipKind
from streamgmm.decision.events import LabelRule
from streamgmm.decision.judge import Judgement
from streamgmm.settings.clips import ClipsSection


@dataclass(slots=True)
class Miss:
    """One such sound.

    Attributes:
        kind: near miss or unknown.
        label: label that came close, or that an unknown sound resembles most.
        onset_sample: stream position of the first hop of it.
        offset_sample: stream position after its last hop so far.
        max_score: highest score so far.
        is_over: whether it ended without an event.
    """

    kind: ClipKind
    label: str
    onset_sample: int
    offset_sample: int
    max_score: float = 0.0
    is_over: bool = False

    def extend(self, end_sample: int, score: float) -> None:
        """Add the hop that ends at `end_sample`."""
        self.offset_sample = end_sample
        self.max_score = max(self.max_score, score)


class Misses:
    """Detect such sounds from the judgement of each hop.

    A miss begins where its condition does, survives pauses as an event does (its hangover), and is dropped once its
    label has an event; an unknown sound, once any label has one.

    Args:
        section: which misses are wanted.
        labels: labels of the model.
        rules: the rule of each label.
        hop_samples: length of one hop.
    """

    def __init__(
        self, section: ClipsSection, labels: Sequence[str], rules: Sequence[LabelRule], hop_samples: int
    ) -> None:
        self._labels = tuple(labels)
        self._hop_samples = hop_samples
        self._hangover_samples = [rule.hangover_samples for rule in rules]
        self._min_unknown_samples = min((rule.min_duration_samples for rule in rules), default=0)
        self._wants_unknown = section.unknown
        is_wanted = np.array([not section.labels or label in section.labels for label in self._labels])
        onsets = np.array([rule.onset_threshold for rule in rules])
        # A label that is not wanted never comes close; neither does one that a gate rejected, whose score is 0.
        self._floors = np.where(is_wanted & (section.near_miss_margin > 0.0), onsets - section.near_miss_margin, np.inf)
        # Labels after an event, until their score has fallen once.
        self._spent: set[int] = set()
        self._near: dict[int, Miss] = {}
        self._unknown: Miss | None = None

    def update(self, judgement: Judgement, end_sample: int, active: Collection[str]) -> list[Miss]:
        """Process one hop, and return the misses that are open or ended with it.

        Args:
            judgement: result of the hop.
            end_sample: stream position after the hop.
            active: labels that have an event.
        """
        is_near = (judgement.scores > 0.0) & (judgement.scores >= self._floors)
        ended = self._follow_near(is_near, judgement, end_sample, active)
        if self._wants_unknown:
            ended += self._follow_unknown(judgement, end_sample, is_event=bool(active))
        return [*ended, *self._open()]

    def end(self) -> list[Miss]:
        """End all, as before a loss of audio or at the end; return them."""
        misses = self._open()
        for miss in misses:
            self._finish(miss)
        self._near.clear()
        self._unknown = None
        return [miss for miss in misses if miss.is_over]

    def _open(self) -> list[Miss]:
        return [*self._near.values(), *([self._unknown] if self._unknown else [])]

    def _follow_near(
        self, is_near: np.ndarray, judgement: Judgement, end_sample: int, active: Collection[str]
    ) -> list[Miss]:
        near = set(np.flatnonzero(is_near).tolist())
        self._spent &= near
        ended: list[Miss] = []
        for i_label in near | self._near.keys():
            miss = self._near.get(i_label)
            if self._labels[i_label] in active:
                self._near.pop(i_label, None)
                self._spent |= {i_label} & near
            elif i_label in near and i_label not in self._spent:
                if miss is None:
                    miss = Miss("near_miss", self._labels[i_label], end_sample - self._hop_samples, end_sample)
                    self._near[i_label] = miss
                miss.extend(end_sample, float(judgement.scores[i_label]))
            elif miss and end_sample - miss.offset_sample > self._hangover_samples[i_label]:
                ended.append(self._finish(self._near.pop(i_label)))
        return ended

    def _follow_unknown(self, judgement: Judgement, end_sample: int, *, is_event: bool) -> list[Miss]:
        verdict, miss = judgement.verdict, self._unknown
        if is_event:
            self._unknown = None
        elif verdict.reject == "unknown":
            best = self._labels[int(judgement.posteriors.argmax())]
            miss = miss or Miss("unknown", best, end_sample - self._hop_samples, end_sample)
            miss.extend(end_sample, verdict.score)
            self._unknown = miss
        elif miss and end_sample - miss.offset_sample > max(self._hangover_samples, default=0):
            self._unknown = None
            self._finish(miss)
            return [miss] if miss.is_over else []
        return []

    def _finish(self, miss: Miss) -> Miss:
        # As for events, what is shorter than the minimum duration is a click.
        is_click = miss.offset_sample - miss.onset_sample < self._min_unknown_samples
        miss.is_over = miss.kind == "near_miss" or not is_click
        return miss
