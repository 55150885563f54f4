"""Session: model, settings and pipeline of one source, which a reload replaces as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from streamgmm import units
from streamgmm.audio.ring import Ring
from streamgmm.decision.anomaly import event_labels
from streamgmm.errors import ConfigError
from streamgmm.features.spec import FeatureSpec
from streamgmm.model.model import Model
from streamgmm.pipeline import Pipeline
from streamgmm.settings.config import Config
from streamgmm.sinks.registry import show_every_hop

MAX_BLOCK_S = 0.25
"""Longest block of a source (s): the place of a loss is known to within a block."""

RECORDING_RING_S = 4.0
"""Longest ring for a recording (s). A recording waits for its reader, so a short ring keeps the reader busy."""


class Setup(NamedTuple):
    """Model and settings of one source.

    Attributes:
        model: the model.
        config: the settings of this source (see `config.settings_by_source`).
    """

    model: Model
    config: Config

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that are reported."""
        return event_labels(self.model, self.config.decision)

    def is_same(self, other: Setup) -> bool:
        """Return whether `other` gives the same decisions for the same source."""
        # By hash, because models do not compare by content.
        models = [(model.sha256, model.name, model.labels, model.spec) for model in (self.model, other.model)]
        # The schedule is that of the run: a change of it must not end open events.
        configs = [msgspec.structs.replace(config, schedule=[]) for config in (self.config, other.config)]
        return configs[0] == configs[1] and models[0] == models[1]


class Session(NamedTuple):
    """A setup in use.

    Attributes:
        setup: model and settings.
        pipeline: turns samples into records, with this setup.
    """

    setup: Setup
    pipeline: Pipeline

    @property
    def model(self) -> Model:
        """Model of the setup."""
        return self.setup.model

    @property
    def silence_gate_dbfs(self) -> float:
        """Level below which the signal is quiet (dB re full scale)."""
        return self.setup.config.decision.silence_gate_dbfs


def begin_session(setup: Setup, run_id: str, *, learns_room: bool = False) -> Session:
    """Make a session at the start of a stream.

    Args:
        setup: model and settings.
        run_id: prefix of event ids.
        learns_room: whether to learn the sounds of the room (see `Pipeline`).

    Raises:
        ConfigError: the settings name a label that the model does not have.
    """
    glimpses = show_every_hop(setup.config.output)
    return Session(setup, Pipeline(setup.model, setup.config, run_id, learns_room=learns_room, glimpses=glimpses))


def make_ring(setup: Setup, on_change: Callable[[], None], *, is_live: bool) -> Ring:
    """Make the ring of a source; arguments as for `Ring`, which loses samples if the source is live."""
    spec, ring_s = setup.model.spec, setup.config.source.ring_s
    kept_s = ring_s if is_live else min(ring_s, RECORDING_RING_S)
    # At least two hops, so that half of the ring, where an overload begins, holds a whole hop.
    capacity_samples = max(units.seconds_to_samples(kept_s, spec.sample_rate_hz), 2 * spec.hop_samples)
    return Ring(capacity_samples, is_lossy=is_live, on_change=on_change)


def block_samples(spec: FeatureSpec) -> int:
    """Return in which length a source may deliver its sound: that of a hop, or an equal part of a long one."""
    parts = (spec.hop_samples // n for n in range(1, spec.hop_frames + 1) if spec.hop_frames % n == 0)
    return next(part for part in parts if part <= MAX_BLOCK_S * spec.sample_rate_hz)


def check_model(setup: Setup, running: Setup, ring: Ring) -> None:
    """Reject a setup whose model cannot replace that of the running setup on the same ring.

    Raises:
        ConfigError: the model has another sample rate, or its hop is too long for the ring.
    """
    model, spec = setup.model, setup.model.spec
    if spec.sample_rate_hz != running.model.spec.sample_rate_hz:
        rates = f"{spec.sample_rate_hz} Hz, not {running.model.spec.sample_rate_hz} Hz"
        raise ConfigError([f"model {model.name} works at {rates}: needs restart"])
    # As in `make_ring`.
    if 2 * spec.hop_samples > ring.capacity_samples:
        raise ConfigError([f"the hop of model {model.name} is too long for the ring as it is: needs restart"])
