"""Steps of several channels at once: hops of one model and one set of decisions are analysed as a stack."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from contextlib import ExitStack

from streamgmm.audio.stretch import Stretch
from streamgmm.features.extractor import MAX_HOPS
from streamgmm.service.channel import Channel
from streamgmm.service.turns import Turns
from streamgmm.service.watch import Watch
from streamgmm.service.worker import StackedHop, Step, Worker
from streamgmm.stack import is_stackable, records_of_stack

GATHER_FROM = 8
"""Number of channels from which the worker thread lets hops gather, so that stacks are worth their overhead."""

GATHER_SHARE = 0.25
"""Least time between two stacks as a share of a hop: records are late by that much at most."""

MAX_GATHER_S = 0.05
"""Upper limit of that time, however long hops are (s)."""


def serve(
    turns: Turns[Channel], channels: Callable[[], Sequence[Channel]], watch: Watch, clock: Callable[[], float]
) -> None:
    """Step the channels whose turn it is, one hop each at a time, until all are over; for the worker thread.

    Args:
        turns: queue of the channels that have something to analyse.
        channels: returns all channels of this moment.
        watch: records that the worker thread makes progress.
        clock: monotonic time (s).
    """
    not_before_s = 0.0
    while any(not channel.over.is_set() for channel in channels()):
        members = turns.take(MAX_HOPS, not_before_s=not_before_s)
        taken_s = time.monotonic()
        busy = step_all(members, watch, clock)
        for channel in busy:
            channel.take_turn()
        # Who is behind does not wait for others to join.
        is_behind = any(channel.is_behind for channel in busy)
        not_before_s = 0.0 if is_behind else taken_s + gather_s(channels())


def gather_s(channels: Sequence[Channel]) -> float:
    """Return the least time between two stacks (s): none where there are few channels."""
    if len(channels) < GATHER_FROM:
        return 0.0
    specs = [channel.plan.setup.model.spec for channel in channels]
    shortest_s = min(spec.hop_samples / spec.sample_rate_hz for spec in specs)
    return min(GATHER_SHARE * shortest_s, MAX_GATHER_S)


def step_all(channels: Sequence[Channel], watch: Watch, clock: Callable[[], float]) -> list[Channel]:
    """Step each of several channels, see `Channel.step`; return those that had something to analyse.

    Args:
        channels: channels whose turn it is, each at most once.
        watch: records that the worker thread makes progress.
        clock: monotonic time (s).
    """
    if len(channels) == 1:
        return [channel for channel in channels if channel.step()]
    with ExitStack() as turns:
        for channel in channels:
            turns.enter_context(channel.turn)
        steps = [channel.begin_step() for channel in channels]
        hops: dict[Channel, StackedHop] = {}
        for members in _stacks(channels, steps):
            with watch.busy("worker"):
                hops |= _analyse(members, clock)
        each = zip(channels, steps, strict=True)
        return [channel for channel, step in each if channel.finish_step(step, hops.get(channel))]


def end_all(channels: Sequence[Channel], reason: str, timeout_s: float) -> None:
    """End channels, with at most three waits of `timeout_s` seconds for each; call from any thread but the worker's."""
    # All are stopped before any is waited for, so that the waits overlap.
    for channel in channels:
        channel.stop(reason)
    for channel in channels:
        channel.over.wait(timeout_s)
        channel.abandon()
        channel.over.wait(timeout_s)
    # The capture thread closes its source last: another one may need the same device or address.
    for channel in channels:
        channel.join(timeout_s)


def _stacks(channels: Sequence[Channel], steps: Sequence[Step]) -> list[dict[Channel, Stretch]]:
    """Return the stacks of two or more hops, each with the stretches of its channels."""
    stacks: defaultdict[Hashable, dict[Channel, Stretch]] = defaultdict(dict)
    for channel, step in zip(channels, steps, strict=True):
        if step.stretch is not None and _may_join(channel.worker, step.stretch):
            stacks[channel.worker.pipeline.stack_key][channel] = step.stretch
    return [members for members in stacks.values() if len(members) > 1]


def _may_join(worker: Worker, stretch: Stretch) -> bool:
    is_sound = stretch.gap_reason is None
    return is_sound and worker.may_stack and is_stackable(worker.pipeline, stretch.samples)


def _analyse(members: dict[Channel, Stretch], clock: Callable[[], float]) -> dict[Channel, StackedHop]:
    """Analyse the hops of a stack; if that fails, each channel gets the error as that of its own hop."""
    pipelines = [channel.worker.pipeline for channel in members]
    befores = [pipeline.analyser.analysed_samples for pipeline in pipelines]
    started_s = clock()
    error: Exception | None = None
    try:
        records = records_of_stack(pipelines, [stretch.samples for stretch in members.values()])
    except Exception as failure:
        # What the streams have got to is unknown: the worker of each abandons the hop.
        error, records = failure, [[] for _ in members]
    took_s = (clock() - started_s) / len(members)
    each = zip(members, befores, records, strict=True)
    return {channel: StackedHop(before, took_s, own, error) for channel, before, own in each}
