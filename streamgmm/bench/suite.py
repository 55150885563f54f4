"""The whole benchmark: makes its sound and models, measures everything in the same rounds, and derives the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from streamgmm.bench.machine import describe_machine, multiply_adds_per_s
from streamgmm.bench.peers import PEERS, Peer, find_peers
from streamgmm.bench.result import BenchResult, Capacity, Figure, Multiplications, PeerFigure, Shares
from streamgmm.bench.rounds import Timings, Work, measure
from streamgmm.bench.sound import make_sound
from streamgmm.bench.works import (
    NAIVE,
    NUMPY_FALLBACK,
    PRODUCT,
    PRODUCT_SIZE,
    PipelineKind,
    feature_works,
    file_name,
    naive_name,
    numpy_name,
    peer_name,
    pipeline_file_name,
    pipeline_name,
    pipeline_works,
    product_work,
    stage_name,
    stream_name,
)
from streamgmm.cores import count_cores
from streamgmm.features.kernel.loader import NUMPY, kernel_name
from streamgmm.features.spec import FeatureSpec
from streamgmm.training.workers import ProgressTracker, untracked
from streamgmm.world.world import read_world

RATES_HZ = (16000, 44100)
PIPELINE_RATE_HZ = 16000
LABEL_COUNTS = (10, 50)
KINDS = tuple(PipelineKind(n_labels, has_cepstra) for n_labels in LABEL_COUNTS for has_cepstra in (False, True))
TYPICAL = KINDS[1]
"""Ten classes with cepstral frames: the pipeline by which microphones are counted."""

MARGIN = 0.5
"""Share of each core that is left to sinks and other programs."""

PIPELINE_NAMES = (pipeline_name, pipeline_file_name)
"""In blocks as a live stream has them, and whole."""

CAPTURE_CORE_SHARE = 0.02
"""Share of a core that a microphone at 16 kHz takes besides the analysis: its capture process, and the threads of the
daemon. Without a microphone it cannot be measured; `python -m tests.benchmarks` found 2.5 % for all processes of one
on a core of an AMD EPYC server, of which 0.6 % were the analysis."""


class BenchPlan(NamedTuple):
    """Length of a benchmark.

    Attributes:
        audio_s: duration of the sound (s).
        n_rounds: number of interleaved rounds.
    """

    audio_s: float = 10.0
    n_rounds: int = 9


BRIEF = BenchPlan(audio_s=2.0, n_rounds=5)
"""Enough to try it; short sounds favour nobody, but vary more."""


def run_bench(plan: BenchPlan, track: ProgressTracker = untracked) -> BenchResult:
    """Measure everything on one thread.

    Raises:
        ConfigError: the environment chooses a kernel that does not exist.
        DataError: the sounds that come with streamgmm cannot be read.
    """
    peers, missing = find_peers()
    timings = measure(_make_works(plan, peers), plan.n_rounds, track)
    return BenchResult(
        machine=describe_machine(["numpy", *(peer.module for peer in peers.values())]),
        n_rounds=plan.n_rounds,
        audio_s=plan.audio_s,
        features=_feature_figures(timings, peers),
        pipelines=[_figure(timings, name(kind), _naive_of(kind)) for kind in KINDS for name in PIPELINE_NAMES],
        peers=_peer_figures(timings, peers),
        missing=missing,
        shares=[_shares(timings, kind) for kind in KINDS],
        multiplications=[_multiplications(timings, rate_hz) for rate_hz in RATES_HZ],
        capacity=_capacity(timings),
    )


def _make_works(plan: BenchPlan, peers: Mapping[str, Peer]) -> dict[str, Work]:
    world = read_world()
    works = product_work()
    for rate_hz in RATES_HZ:
        samples = make_sound(world, plan.audio_s, rate_hz)
        works |= feature_works(samples, rate_hz, peers, has_kernel=kernel_name() != NUMPY)
    samples = make_sound(world, plan.audio_s, PIPELINE_RATE_HZ)
    for n_labels in LABEL_COUNTS:
        works |= pipeline_works(samples, PIPELINE_RATE_HZ, n_labels)
    return works


def _feature_figures(timings: Timings, peers: Mapping[str, Peer]) -> Sequence[Figure]:
    figures = []
    for rate_hz in RATES_HZ:
        others = {name: peer_name(name, rate_hz) for name in peers}
        if numpy_name(rate_hz) in timings.rounds:
            others[NUMPY_FALLBACK] = numpy_name(rate_hz)
        figures += [_figure(timings, name(rate_hz), others) for name in (stream_name, file_name)]
    return figures


def _naive_of(kind: PipelineKind) -> Mapping[str, str]:
    return {NAIVE: naive_name(kind.n_labels)}


def _figure(timings: Timings, name: str, others: Mapping[str, str]) -> Figure:
    return Figure(
        name=name,
        cpu_s_per_s=timings.cost(name),
        times_real_time=timings.times_real_time(name),
        faster_than={peer: timings.ratio(name, work) for peer, work in others.items()},
    )


def _peer_figures(timings: Timings, peers: Mapping[str, Peer]) -> Sequence[PeerFigure]:
    computes = {peer_name(name, rate_hz): PEERS[name].computes for rate_hz in RATES_HZ for name in peers}
    computes |= {numpy_name(rate_hz): "the same, no kernel" for rate_hz in RATES_HZ}
    computes |= {naive_name(n): "band levels, mixtures" for n in LABEL_COUNTS}
    return [
        PeerFigure(
            name=name, computes=what, cpu_s_per_s=timings.cost(name), times_real_time=timings.times_real_time(name)
        )
        for name, what in computes.items()
        if name in timings.rounds
    ]


def _shares(timings: Timings, kind: PipelineKind) -> Shares:
    costs = {stage: timings.cost(stage_name(stage, kind)) for stage in ("features", "scoring", "decision")}
    total = sum(costs.values())
    return Shares(name=pipeline_name(kind), **{stage: cost / total for stage, cost in costs.items()})


def _multiplications(timings: Timings, rate_hz: int) -> Multiplications:
    bank_per_audio_s = multiply_adds_per_s(FeatureSpec(sample_rate_hz=rate_hz))
    product_per_s = PRODUCT_SIZE**3 / timings.cost(PRODUCT)
    features_per_s = bank_per_audio_s * timings.times_real_time(file_name(rate_hz))
    return Multiplications(
        rate_hz=rate_hz,
        bank_per_audio_s=bank_per_audio_s,
        features_per_s=features_per_s,
        product_per_s=product_per_s,
        share_of_product=features_per_s / product_per_s,
    )


def _capacity(timings: Timings) -> Capacity:
    cost, free_cores = timings.cost(pipeline_name(TYPICAL)), count_cores() * (1.0 - MARGIN)
    return Capacity(
        pipeline=pipeline_name(TYPICAL),
        n_cores=count_cores(),
        margin=MARGIN,
        capture_core_share=CAPTURE_CORE_SHARE,
        n_streams=int(free_cores / cost),
        n_microphones=int(free_cores / (cost + CAPTURE_CORE_SHARE)),
    )
