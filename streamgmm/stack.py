"""A hop of each of many streams at once: one call of the kernel, one matrix of scores, one array of posteriors.

Each stream gets bit for bit the records that it would get alone: all arithmetic on a stack treats every row by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from streamgmm.analyser import score_hops
from streamgmm.arrays import FloatArray
from streamgmm.features.extractor import push_stack
from streamgmm.pipeline import Pipeline
from streamgmm.records import Record


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
    analysers = [pipeline.analyser for pipeline in pipelines]
    hops = score_hops(analysers, push_stack([analyser.features for analyser in analysers], samples))
    raised = [pipeline.raised(hop) for pipeline, hop in zip(pipelines, hops, strict=True)]
    deciders = [pipeline.decider for pipeline in pipelines]
    records = deciders[0].update_stack(deciders, raised)
    for pipeline in pipelines:
        pipeline.follow()
    return records
