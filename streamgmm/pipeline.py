"""The pipeline from samples to records, shared by live streams, recordings and evaluations.

The pipeline has no thread, clock or file. The same samples give bitwise the same records, whatever the blocks in which
they arrive.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from streamgmm.analyser import Analyser
from streamgmm.arrays import FloatArray
from streamgmm.decision.assembly import assemble
from streamgmm.decision.decider import Decider, Timing
from streamgmm.decision.events import EventState
from streamgmm.decision.hop_scores import HopScores, stacks_of
from streamgmm.features.extractor import MAX_HOPS
from streamgmm.model.model import Model
from streamgmm.records import GapReason, Record
from streamgmm.room.room import Room
from streamgmm.settings.config import Config


class Pipeline:
    """Turns samples into records.

    Args:
        model: defines features, classifier and labels.
        config: the priors and the sections `decision` and `output` are used.
        run_id: prefix of the ids of events.
        learns_room: whether to learn the sounds of the room while nothing is detected. The records then depend on all
            that came before.
        glimpses: whether to make a record of every hop for sinks that show it (see `Glimpse`).

    Attributes:
        analyser: the first half, from samples to hop scores.
        decider: the second half, from hop scores to records.
        room: what is learnt of the room, as a part of the background; None if nothing is.
        stack_key: equal for pipelines whose hops can be analysed together (see `stack`).

    Raises:
        ConfigError: the settings name a label that the model does not have, or ask for anomalies of a model that was
            not taught a background.
    """

    def __init__(
        self, model: Model, config: Config, run_id: str = "", *, learns_room: bool = False, glimpses: bool = False
    ) -> None:
        parts, spec = assemble(model, config), model.spec
        has_spectrum = config.output.windows or glimpses
        self.analyser = Analyser(model, has_projected=learns_room, has_spectrum=has_spectrum, density=parts.density)
        self.stack_key = (model, msgspec.json.encode((config.decision, config.model.priors)))
        self.room = Room(model, config, parts.rules[: len(model.labels)]) if learns_room else None
        self.decider = Decider(
            parts.judge,
            parts.rules,
            Timing(spec.sample_rate_hz, spec.hop_samples, spec.window_samples, spec.frame_samples),
            run_id=run_id,
            windows=config.output.windows,
            glimpses=glimpses,
            updates=config.output.updates,
        )

    def push(self, samples: FloatArray) -> list[Record]:
        """Add samples, shape (n,), at the rate of the model, full scale 1.0; return the records of finished hops."""
        hops = self.analyser.push(samples)
        return self.decide(hops) if hops else []

    def gap(self, lost_samples: int, reason: GapReason) -> list[Record]:
        """Process a loss of audio just after the samples so far; return its records."""
        # The samples before the loss still count: their incomplete hop is scored first.
        records = self.decide(self.analyser.flush())
        self.analyser.skip(lost_samples)
        return records + self.lost(lost_samples, reason)

    def lost(self, lost_samples: int, reason: GapReason) -> list[Record]:
        """Return the records of a loss that the analyser has already processed (see `Analyser.abandon`)."""
        if self.room:
            self.room.skip()
        return self.decider.gap(lost_samples, reason, self.analyser.end_sample)

    def flush(self) -> list[Record]:
        """Complete an incomplete hop with silence, end all events; return the last records of the stream."""
        # The rest of the samples first: their hop may still begin or continue an event.
        return self.decide(self.analyser.flush()) + self.decider.flush()

    def continue_from(self, other: Pipeline) -> list[Record]:
        """Continue the stream of `other` in this new pipeline; `other` must not be used again.

        Positions, counts and ids of events continue. The audio before is not taken into account.

        Args:
            other: pipeline of a model with the same sample rate, whose events have ended.

        Returns:
            Records of the hops that the samples of the incomplete hop of `other` complete, if hops are shorter here.
        """
        self.decider.continue_from(other.decider)
        return self.decide(self.analyser.continue_from(other.analyser))

    def reset(self) -> None:
        """Start a new stream at t = 0."""
        self.analyser.reset()
        self.decider.reset()
        if self.room:
            self.room.skip()

    def decide(self, hops: Iterable[HopScores]) -> list[Record]:
        """Return the records of hop scores from `analyser`, e.g. to try other settings without computing them again."""
        # The room learns from each hop before it judges the next one.
        n_together = MAX_HOPS if self.room is None else 1
        return [record for stack in stacks_of(hops, n_together) for record in self._decide(stack)]

    def _decide(self, hops: Sequence[HopScores]) -> list[Record]:
        if len(hops) == 1:
            records = self.decider.update(self.raised(hops[0]))
            self.follow()
            return records
        found = self.decider.update_stack([self.decider] * len(hops), hops)
        return [record for records in found for record in records]

    def raised(self, hop: HopScores) -> HopScores:
        """Return `hop` with what is learnt of the room as a part of the background."""
        return hop if self.room is None else self.room.raised(hop)

    def follow(self) -> None:
        """Learn of the room, once the last hop that was `raised` is decided."""
        if self.room is not None:
            self.room.follow(is_idle=all(state is EventState.IDLE for state in self.decider.states))
