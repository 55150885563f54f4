"""Scores written as digits, and what an automaton makes of them."""

from __future__ import annotations

import numpy as np

from streamgmm.decision.events import EventChange, EventClosed, LabelRule, Segmenter

RULE = LabelRule(
    onset_threshold=0.6,
    offset_threshold=0.4,
    min_duration_samples=1,
    hangover_samples=0,
    refractory_samples=0,
    max_duration_samples=0,
)


def scores_of(digits: str) -> list[float]:
    return [0.0 if digit == "." else int(digit) / 10 for digit in digits]


def run(
    scores: list[float], rule: LabelRule, *, hop_samples: int = 1, start_sample: int = 0
) -> list[list[EventChange]]:
    """What each hop changes, and the flush at the end."""
    segmenter = Segmenter([rule], hop_samples)
    ends = [start_sample + (i + 1) * hop_samples for i in range(len(scores))]
    hops = [segmenter.update(np.array([score]), end) for score, end in zip(scores, ends, strict=True)]
    return [*hops, segmenter.close_all("flush")]


def closed(hops: list[list[EventChange]]) -> list[EventClosed]:
    return [change for changes in hops for change in changes if isinstance(change, EventClosed)]
