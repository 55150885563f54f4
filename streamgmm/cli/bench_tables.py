"""The figures of a benchmark on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Column, Table

from streamgmm.bench.result import BenchResult, Capacity, Figure, peers_of, ratio_text
from streamgmm.bench.works import khz
from streamgmm.wording import escaped


def print_bench(result: BenchResult, console: Console) -> None:
    """Print all figures, and which peers are missing."""
    machine = result.machine
    console.print(f"{escaped(machine.processor)}, {machine.n_cores} cores, kernel: {machine.kernel}")
    console.print(
        f"CPU time on one core, medians of {result.n_rounds} interleaved rounds of {result.audio_s:g} s of sound"
    )
    console.print("Columns of others: how many times as long they take for the whole file.\n")
    console.print(_figures_table("features", result.features))
    console.print(_figures_table("samples to records, 16 kHz", result.pipelines))
    console.print(_peers_table(result))
    console.print(_shares_table(result))
    for note in _notes(result):
        console.print(note, soft_wrap=True)


def _figures_table(title: str, figures: Sequence[Figure]) -> Table:
    """Return a table with a column for each peer: how many times as long it takes."""
    table = Table(Column(title, no_wrap=True))
    peers = peers_of(figures)
    table.add_column("x real time", justify="right")
    for peer in peers:
        table.add_column(peer, justify="right", no_wrap=True)
    for figure in figures:
        ratios = (f"{ratio_text(figure.faster_than[peer])} x" if peer in figure.faster_than else "" for peer in peers)
        table.add_row(figure.name, f"{figure.times_real_time:.0f}", *ratios)
    return table


def _peers_table(result: BenchResult) -> Table:
    table = Table("others, whole file in one call", "computes")
    table.add_column("x real time", justify="right")
    for peer in result.peers:
        table.add_row(peer.name, peer.computes, f"{peer.times_real_time:.0f}")
    return table


def _shares_table(result: BenchResult) -> Table:
    table = Table("where the time goes")
    for heading in ("features", "scoring", "decision"):
        table.add_column(heading, justify="right")
    for row in result.shares:
        table.add_row(row.name, *(f"{share:.0%}" for share in (row.features, row.scoring, row.decision)))
    return table


def _notes(result: BenchResult) -> Iterable[str]:
    for own in result.multiplications:
        yield (
            f"{khz(own.rate_hz)}: the features reach {own.share_of_product:.0%} of the multiply-adds per second of a "
            f"float32 matrix product ({own.features_per_s / 1e9:.1f} of {own.product_per_s / 1e9:.1f} billion)"
        )
    yield (
        "Counted are two multiply-adds for each tap of each coefficient of the filter bank, and nothing else; the "
        "kernel needs half of them, because wavelets are symmetric."
    )
    yield _capacity_note(result.capacity)
    for peer in result.missing:
        yield f"{peer.name} was not measured: {escaped(peer.reason)} ({peer.install})"


def _capacity_note(capacity: Capacity) -> str:
    return (
        f"With a process for each of {capacity.n_cores} cores, and {capacity.margin:.0%} of each left free, this "
        f"machine carries the analysis of {capacity.n_streams} sources at 16 kHz ({capacity.pipeline}), or "
        f"{capacity.n_microphones} microphones if the capture of each takes {capacity.capture_core_share:.0%} of a "
        "core, which was not measured here."
    )
