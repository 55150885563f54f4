"""Hops of many streams at once: each stream gets to the last bit what it gets alone."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgmm.features.kernel.loader import VARIABLE, kernel_names
from streamgmm.model.model import Model
from streamgmm.pipeline import Pipeline
from streamgmm.records import End, Record, Start
from streamgmm.settings.config import Config
from streamgmm.stack import is_stackable, records_of_stack
from tests.bells_rig import CONFIG, SPEC, lines, make_bells, make_samples

HOP = SPEC.hop_samples


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return make_samples()


@pytest.fixture(scope="module", params=kernel_names())
def kernel(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=[False, True], ids=["windows", "frames"])
def model(samples: np.ndarray, kernel: str, request: pytest.FixtureRequest) -> Model:
    """A model of each kernel, which it keeps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, kernel)
        made = make_bells(samples, has_frames=request.param)
        whole(made, samples[: 2 * HOP], CONFIG)
    return made


def whole(model: Model, samples: np.ndarray, config: Config) -> list[Record]:
    return Pipeline(model, config, "run").push(samples)


class Stream:
    """A pipeline, and beside it one that analyses the same alone."""

    def __init__(self, model: Model, config: Config, samples: np.ndarray, *, learns_room: bool) -> None:
        self.pipeline, self.alone = (Pipeline(model, config, "run", learns_room=learns_room) for _ in range(2))
        self.records: list[Record] = []
        self.expected: list[Record] = []
        self._samples = samples

    def take(self, n_samples: int) -> np.ndarray:
        taken, self._samples = self._samples[:n_samples], self._samples[n_samples:]
        return taken


class Turn(NamedTuple):
    """What happens to one stream in one round."""

    kind: str
    n: int


TURNS = st.builds(Turn, st.sampled_from(["hop"] * 12 + ["nothing", "gap", "rest", "bad"]), st.integers(1, HOP - 1))
ROUNDS = st.lists(st.lists(TURNS, min_size=9, max_size=9), min_size=12, max_size=24)


def play_round(streams: list[Stream], turns: list[Turn]) -> None:
    """Let each stream take its turn, those with a whole hop together."""
    members, hops = [], []
    for stream, turn in zip(streams, turns, strict=False):
        if turn.kind == "gap":
            stream.records += stream.pipeline.gap(turn.n, "input_overflow")
            stream.expected += stream.alone.gap(turn.n, "input_overflow")
        if turn.kind in ("nothing", "gap"):
            continue
        samples = stream.take(turn.n if turn.kind == "rest" else HOP).copy()
        if turn.kind == "bad":
            samples[turn.n :: 100] = np.nan
        stream.expected += stream.alone.push(samples)
        if is_stackable(stream.pipeline, samples):
            members.append(stream)
            hops.append(samples)
        else:
            stream.records += stream.pipeline.push(samples)
    if members:
        for stream, records in zip(members, records_of_stack([m.pipeline for m in members], hops), strict=True):
            stream.records += records


@pytest.mark.parametrize("smoothing", ["exponential", "hmm", "none"])
@given(n=st.integers(1, 9), rounds=ROUNDS, seed=st.integers(0, 99), learns_room=st.booleans())
@settings(max_examples=4, deadline=None)
def test_a_stack_gives_each_stream_what_it_gets_alone(
    model: Model,
    kernel: str,
    samples: np.ndarray,
    smoothing: str,
    n: int,
    rounds: list[list[Turn]],
    seed: int,
    learns_room: bool,
) -> None:
    rng = np.random.default_rng(seed)
    decision = msgspec.structs.replace(CONFIG.decision, smoothing=smoothing)
    config = msgspec.structs.replace(CONFIG, decision=decision)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, kernel)
        streams = [
            Stream(model, config, np.roll(samples, rng.integers(len(samples))) * gain, learns_room=learns_room)
            for gain in rng.choice([1e-6, 0.01, 0.3, 1.0], n).astype(np.float32)
        ]
        for turns in rounds:
            play_round(streams, turns)
    for stream in streams:
        assert lines(stream.records + stream.pipeline.flush()) == lines(stream.expected + stream.alone.flush())


def test_the_streams_of_a_stack_have_events(model: Model, samples: np.ndarray) -> None:
    pipelines = [Pipeline(model, CONFIG, "run") for _ in range(5)]
    found: list[Record] = []
    for hop in samples[: len(samples) // HOP * HOP].reshape(-1, HOP):
        for records in records_of_stack(pipelines, [hop] * 5):
            found += records
    found += [record for pipeline in pipelines for record in pipeline.flush()]
    n_starts, n_ends = (sum(isinstance(record, kind) for record in found) for kind in (Start, End))
    assert n_starts == n_ends >= 15


def test_only_pipelines_with_the_same_decisions_share_a_key(model: Model) -> None:
    louder = msgspec.structs.replace(CONFIG.decision, silence_gate_dbfs=-20.0)
    configs = [CONFIG, Config(decision=CONFIG.decision), msgspec.structs.replace(CONFIG, decision=louder)]
    one, same, other = (Pipeline(model, config, "run").stack_key for config in configs)
    assert hash(one) == hash(same)
    assert one == same != other


def test_a_part_of_a_hop_is_analysed_alone(model: Model, samples: np.ndarray) -> None:
    pipeline = Pipeline(model, CONFIG, "run")
    assert is_stackable(pipeline, samples[:HOP])
    assert not is_stackable(pipeline, samples[: HOP - 1])
    pipeline.push(samples[:10])
    assert not is_stackable(pipeline, samples[:HOP])
