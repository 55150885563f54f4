"""The pieces of work that are measured: features, stages, whole pipelines, and their peers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import numpy as np

from streamgmm.analyser import Analyser
from streamgmm.arrays import Samples
from streamgmm.bench.models import make_model
from streamgmm.bench.peers import Peer, naive_pipeline
from streamgmm.bench.rounds import Work
from streamgmm.decision.hop_scores import HopScores
from streamgmm.features.extractor import Features, FeatureStream, HopFeatures, extract
from streamgmm.features.kernel.loader import NUMPY, VARIABLE
from streamgmm.features.spec import FeatureSpec
from streamgmm.model.model import Model
from streamgmm.pipeline import Pipeline
from streamgmm.settings.config import Config

BLOCK_S = 0.02
"""Length of the blocks of a stream."""

PRODUCT_SIZE = 768
"""Rows and columns of the matrices whose product tells how fast this machine multiplies: they fill its caches."""

PRODUCT = "matrix product"
NUMPY_FALLBACK = "numpy"
NAIVE = "pywt.cwt and scikit-learn"


class PipelineKind(NamedTuple):
    """A whole pipeline that is measured.

    Attributes:
        n_labels: number of labels of its model.
        has_cepstra: whether it has cepstral frames.
    """

    n_labels: int
    has_cepstra: bool


def feature_works(samples: Samples, rate_hz: int, peers: Mapping[str, Peer], *, has_kernel: bool) -> dict[str, Work]:
    """Return the features of a sound: in blocks, whole, in numpy unless that is what runs, and by the peers."""
    spec, audio_s = FeatureSpec(sample_rate_hz=rate_hz), len(samples) / rate_hz
    works = {
        stream_name(rate_hz): Work(audio_s, lambda: _stream(FeatureStream(spec), samples, rate_hz)),
        file_name(rate_hz): Work(audio_s, lambda: FeatureStream(spec).push(samples)),
    }
    if has_kernel:
        works[numpy_name(rate_hz)] = Work(audio_s, lambda: _in_numpy(spec, samples))
    for name, peer in peers.items():
        works[peer_name(name, rate_hz)] = Work(audio_s, partial(peer.prepare(rate_hz), samples))
    return works


def pipeline_works(samples: Samples, rate_hz: int, n_labels: int) -> dict[str, Work]:
    """Return the pipelines of `n_labels`, without and with cepstral frames, in blocks and whole; stages; their peer."""
    spec, audio_s = FeatureSpec(sample_rate_hz=rate_hz), len(samples) / rate_hz
    features = extract(samples, spec, has_cepstra=True)
    naive = naive_pipeline(samples, spec, n_labels)
    works = {naive_name(n_labels): Work(audio_s, lambda: naive(samples))}
    for has_cepstra in (False, True):
        works.update(_of_model(samples, features, PipelineKind(n_labels, has_cepstra), spec))
    return works


def product_work() -> dict[str, Work]:
    """Return the product of two float32 matrices; its cost is that of one product (s)."""
    left, right = np.random.default_rng(0).standard_normal((2, PRODUCT_SIZE, PRODUCT_SIZE), dtype=np.float32)
    return {PRODUCT: Work(1.0, lambda: left @ right)}


def khz(rate_hz: int) -> str:
    """Return a sample rate for people, such as `44.1 kHz`."""
    return f"{rate_hz / 1000:g} kHz"


def stream_name(rate_hz: int) -> str:
    """Return the name of the features in blocks."""
    return f"blocks of 20 ms, {khz(rate_hz)}"


def file_name(rate_hz: int) -> str:
    """Return the name of the features in one call."""
    return f"whole file, {khz(rate_hz)}"


def numpy_name(rate_hz: int) -> str:
    """Return the name of the features in numpy."""
    return f"{NUMPY_FALLBACK}, {khz(rate_hz)}"


def peer_name(peer: str, rate_hz: int) -> str:
    """Return the name of a peer of the features."""
    return f"{peer}, {khz(rate_hz)}"


def naive_name(n_labels: int) -> str:
    """Return the name of the naive pipeline, the peer of whole pipelines."""
    return f"{NAIVE}, {n_labels} classes"


def pipeline_name(kind: PipelineKind) -> str:
    """Return the name of a whole pipeline."""
    return f"{kind.n_labels} classes{', cepstral frames' if kind.has_cepstra else ''}"


def pipeline_file_name(kind: PipelineKind) -> str:
    """Return the name of a whole pipeline that gets its sound in one call."""
    return f"{pipeline_name(kind)}, whole file"


def stage_name(stage: str, kind: PipelineKind) -> str:
    """Return the name of a stage of a pipeline."""
    return f"{stage}, {pipeline_name(kind)}"


def _of_model(samples: Samples, features: Features, kind: PipelineKind, spec: FeatureSpec) -> dict[str, Work]:
    model = make_model(spec, features, kind.n_labels, has_cepstra=kind.has_cepstra)
    rate_hz = spec.sample_rate_hz
    make_stream = partial(FeatureStream, spec, has_cepstra=kind.has_cepstra)
    hops = make_stream().push(samples)
    scores = Analyser(model).score_all(hops)
    runs = {
        pipeline_name(kind): lambda: _stream(_pipeline(model), samples, rate_hz),
        pipeline_file_name(kind): lambda: _pipeline(model).push(samples),
        stage_name("features", kind): lambda: _stream(make_stream(), samples, rate_hz),
        stage_name("scoring", kind): lambda: _score_each(Analyser(model), hops),
        stage_name("decision", kind): lambda: _decide_each(_pipeline(model), scores),
    }
    return {name: Work(len(samples) / rate_hz, run) for name, run in runs.items()}


def _pipeline(model: Model) -> Pipeline:
    return Pipeline(model, Config())


def _stream(stage: FeatureStream | Pipeline, samples: Samples, rate_hz: int) -> None:
    n_block = round(BLOCK_S * rate_hz)
    for start in range(0, len(samples), n_block):
        stage.push(samples[start : start + n_block])


def _score_each(analyser: Analyser, hops: Sequence[HopFeatures]) -> None:
    for hop in hops:
        analyser.score_all([hop])


def _decide_each(pipeline: Pipeline, scores: Sequence[HopScores]) -> None:
    for hop in scores:
        pipeline.decide([hop])


def _in_numpy(spec: FeatureSpec, samples: Samples) -> None:
    with _kernel(NUMPY):
        stream = FeatureStream(spec)
    stream.push(samples)


@contextmanager
def _kernel(name: str) -> Iterator[None]:
    """Choose the kernel of the streams that are made."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = name
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        if before is not None:
            os.environ[VARIABLE] = before
