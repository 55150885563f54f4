"""The result of a benchmark; its fields are the keys of the JSON report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from streamgmm.bench.peers import MissingPeer


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The machine and the versions that were measured.

    Attributes:
        processor: its name.
        n_cores: number of cores that this process may use.
        kernel: kernel of the features: a level of instructions, or `numpy`.
        versions: of streamgmm, Python, and the libraries that were measured, by name.
    """

    processor: str
    n_cores: int
    kernel: str
    versions: Mapping[str, str]


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measured piece of work.

    Attributes:
        name: the work.
        cpu_s_per_s: median CPU time per second of sound (s).
        times_real_time: seconds of sound per second on one core.
        faster_than: for each peer, how many times as long it takes for the same sound: median of the ratios of the
            rounds.
    """

    name: str
    cpu_s_per_s: float
    times_real_time: float
    faster_than: Mapping[str, float]


class PeerFigure(msgspec.Struct, frozen=True, kw_only=True):
    """A peer at one rate, or with one number of classes.

    Attributes:
        name: its name.
        computes: what it computes.
        cpu_s_per_s: median CPU time per second of sound (s).
        times_real_time: seconds of sound per second on one core.
    """

    name: str
    computes: str
    cpu_s_per_s: float
    times_real_time: float


class Shares(msgspec.Struct, frozen=True, kw_only=True):
    """Where the time of a pipeline goes: shares of the sum of its stages, 0 to 1.

    Attributes:
        name: the pipeline.
        features: from samples to vectors, in blocks.
        scoring: from vectors to scores.
        decision: from scores to records.
    """

    name: str
    features: float
    scoring: float
    decision: float


class Multiplications(msgspec.Struct, frozen=True, kw_only=True):
    """Multiply-adds of the filter bank, beside those of a float32 matrix product.

    Attributes:
        rate_hz: sample rate.
        bank_per_audio_s: multiply-adds of the bank per second of sound: two (real and imaginary part) for each tap of
            each coefficient. The kernel needs half as many, because wavelets are symmetric.
        features_per_s: multiply-adds of the bank per second while whole files are analysed, all else included.
        product_per_s: multiply-adds per second of a product of two square float32 matrices.
        share_of_product: `features_per_s` relative to `product_per_s`.
    """

    rate_hz: int
    bank_per_audio_s: float
    features_per_s: float
    product_per_s: float
    share_of_product: float


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """Number of live sources that this machine carries, with a process for each core.

    Attributes:
        pipeline: the measured pipeline that is counted with.
        n_cores: number of cores.
        margin: share of each core that is left free.
        capture_core_share: share of a core that a microphone takes besides the analysis; assumed, not measured here.
        n_streams: sources whose analysis the machine carries: cores times seconds of sound per second, less the margin.
        n_microphones: the same with capture.
    """

    pipeline: str
    n_cores: int
    margin: float
    capture_core_share: float
    n_streams: int
    n_microphones: int


class BenchResult(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was measured.

    Attributes:
        machine: where.
        n_rounds: number of interleaved rounds, of which all figures are medians.
        audio_s: duration of the sound (s).
        features: features by rate, in blocks and whole.
        pipelines: from samples to records.
        peers: the other libraries.
        missing: peers that are not installed.
        shares: where the time of pipelines goes.
        multiplications: by rate.
        capacity: number of microphones.
    """

    machine: Machine
    n_rounds: int
    audio_s: float
    features: Sequence[Figure]
    pipelines: Sequence[Figure]
    peers: Sequence[PeerFigure]
    missing: Sequence[MissingPeer]
    shares: Sequence[Shares]
    multiplications: Sequence[Multiplications]
    capacity: Capacity


def peers_of(figures: Sequence[Figure]) -> list[str]:
    """Return the peers of figures, in their order."""
    return list(dict.fromkeys(peer for figure in figures for peer in figure.faster_than))


def ratio_text(ratio: float) -> str:
    """Return a ratio in two digits, or whole from 100 on."""
    return f"{ratio:.2g}" if ratio < 99.5 else f"{ratio:.0f}"
