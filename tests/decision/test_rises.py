from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamgmm.decision.change_point import LevelHistory
from streamgmm.decision.events import LabelRule
from streamgmm.decision.rises import Rises

HOP = 10
SCORES = st.sampled_from([0.0, 0.1, 0.3, 0.5, 1.0])
HANGOVERS = st.sampled_from([0, 5, HOP, 2 * HOP, 35])


def rule(offset_threshold: float, hangover_samples: int) -> LabelRule:
    return LabelRule(1.0, offset_threshold, 0, hangover_samples, 0, 0)


def slow_onset(
    scores: list[float], i_hop: int, offset_threshold: float, hangover_samples: int, max_samples: int
) -> int | None:
    """Go back from a hop over all before it that are above the threshold, or in a stretch below it that is short."""
    rose = i_hop
    for i in range(i_hop - 1, -1, -1):
        if scores[i] >= offset_threshold and scores[i] > 0.0:
            if (rose - i - 1) * HOP > hangover_samples:
                break
            rose = i
    # Without a change of level, a sound begins with its hop.
    return rose * HOP if (i_hop - rose) * HOP <= max_samples else None


@given(
    scores=st.lists(st.tuples(SCORES, SCORES), min_size=1, max_size=30),
    thresholds=st.tuples(SCORES, SCORES),
    hangovers=st.tuples(HANGOVERS, HANGOVERS),
    max_samples=st.sampled_from([0, HOP, 8 * HOP, 1000]),
)
def test_rises_are_those_that_going_back_finds(scores, thresholds, hangovers, max_samples):
    rises, history = Rises(list(map(rule, thresholds, hangovers)), HOP, max_samples), LevelHistory(2, HOP, -75.0)
    for i, own in enumerate(scores):
        history.append(np.full(1, -30.0), (i + 1) * HOP)
        rises.update(np.array(own), (i + 1) * HOP, history)
        for label in range(2):
            # Where the score is above its threshold, as it is when it reaches that of an onset.
            if own[label] >= thresholds[label] and own[label] > 0.0:
                heard = [score[label] for score in scores[: i + 1]]
                expected = slow_onset(heard, i, thresholds[label], hangovers[label], max_samples)
                assert rises.onset_before(label, i * HOP) == expected
