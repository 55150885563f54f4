"""A hop of each of many streams at once: one call of the kernel, one matrix of scores, one array of posteriors.

Each stream gets bit for bit the records that it would get alone: all arithmetic on a stack treats every row by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from streamgmm.arrays import Float64Array, FloatArray
from streamgmm.decision.hop_scores import HopScores
from streamgmm.features.extractor import HopFeatures, push_stack
from streamgmm.model.cepstra import add_stack
from streamgmm.pipeline import Analyser, Pipeline
from streamgmm.records import Record

MAX_HOPS = 64
"""Most hops of a stack; more would only take memory, and delay the first one."""


def is_stackable(pipeline: Pipeline, samples: FloatArray) -> bool:
    """Return whether the samples are one hop of the stream, which has no incomplete one."""
    analyser = pipeline.analyser
    return not analyser.pending_samples and len(samples) == analyser.features.spec.hop_samples


def records_of_stack(pipelines: Sequence[Pipeline], samples: Sequence[FloatArray]) -> list[list[Record]]:
    """Return the records of a hop of each of several streams, those that `Pipeline.push` returns.

    Args:
        pipelines: pipelines with one `stack_key`, each at most once.
        samples: a hop of each, see `is_stackable`.
    """
    hops = score_stack([pipeline.analyser for pipeline in pipelines], samples)
    raised = [pipeline.raised(hop) for pipeline, hop in zip(pipelines, hops, strict=True)]
    deciders = [pipeline.decider for pipeline in pipelines]
    records = deciders[0].update_stack(deciders, raised)
    for pipeline in pipelines:
        pipeline.follow()
    return records


def score_stack(analysers: Sequence[Analyser], samples: Sequence[FloatArray]) -> list[HopScores]:
    """Return the scores of a hop of each of several streams of one model, those that `Analyser.push` returns."""
    hops = push_stack([analyser.features for analyser in analysers], samples)
    evidence = _evidence_of(analysers, hops)
    # A hop with a bad sample in its window has no vector, and so no scores.
    vectors = [hop.vector for hop in hops if hop.vector is not None]
    if evidence:
        evidence = [own for own, hop in zip(evidence, hops, strict=True) if hop.vector is not None]
    scores = iter(analysers[0].classifier.score_stack(vectors, evidence) if vectors else ())
    each = zip(analysers, hops, strict=True)
    return [analyser.hop_scores(hop, None if hop.vector is None else next(scores)) for analyser, hop in each]


def _evidence_of(analysers: Sequence[Analyser], hops: Sequence[HopFeatures]) -> list[Float64Array] | None:
    evidences = [analyser.evidence for analyser in analysers if analyser.evidence]
    return add_stack(evidences, [hop.cepstra for hop in hops]) if evidences else None
