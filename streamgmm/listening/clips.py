"""Decisions on whole clips, from the same hop scores that a stream of them gives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from streamgmm.analyser import Analyser
from streamgmm.arrays import FloatArray
from streamgmm.decision.assembly import bayes_rule
from streamgmm.decision.clip import ClipDecider, ClipDecision
from streamgmm.decision.hop_scores import HopScores
from streamgmm.model.model import Model
from streamgmm.settings.config import Config


def decide_clip(blocks: Iterable[FloatArray], model: Model, config: Config) -> ClipDecision:
    """Classify a clip, from the same hop scores that a stream of it gives.

    Args:
        blocks: samples of the clip, float, shape (n,) each, at the rate of the model, full scale 1.0.
        model: the model to use.
        config: the priors and the silence gate are used.
    """
    return decide_scores(hop_scores(blocks, model.for_clips), model.for_clips, config)


def hop_scores(blocks: Iterable[FloatArray], model: Model) -> Iterator[HopScores]:
    """Return the hop scores of a recording; arguments as for `decide_clip`."""
    analyser = Analyser(model)
    # Block by block, so that a long clip is never in memory as a whole.
    for block in blocks:
        yield from analyser.push(block)
    yield from analyser.flush()


def decide_scores(hops: Iterable[HopScores], model: Model, config: Config) -> ClipDecision:
    """Classify a clip from its hop scores by `model`, one that is made `for_clips`; see `decide_clip`."""
    decider = ClipDecider(bayes_rule(model, config), config.decision.silence_gate_dbfs, model.classifier.clips)
    for hop in hops:
        decider.add(hop)
    return decider.decide()
