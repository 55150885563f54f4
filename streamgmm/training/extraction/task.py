"""How the recordings of a training are measured."""

from __future__ import annotations

import hashlib

import msgspec

from streamgmm.audio.channels import ChannelChoice
from streamgmm.dataset.clips import Clip
from streamgmm.features.spec import FeatureSpec
from streamgmm.settings.training import TrainingSection


class ExtractionTask(msgspec.Struct, frozen=True, kw_only=True):
    """Settings for measuring recordings, the same for all of one training.

    Attributes:
        training: number of copies, and the seed.
        silence_gate_dbfs: windows below this level are silent.
        backgrounds: clips to mix with as many copies as are made in noise; empty for none.
        heard_over: hash of the backgrounds of an earlier training, whose recordings are not at hand any more; empty for
            none.
    """

    spec: FeatureSpec
    training: TrainingSection
    channel: ChannelChoice
    silence_gate_dbfs: float
    backgrounds: tuple[Clip, ...] = ()
    heard_over: str = ""

    @property
    def background_keys(self) -> list[tuple[str, int, float | None, float | None]]:
        """What tells each background from others: hash of its content, rate (Hz), onset and offset (s)."""
        return [(clip.content_sha256, clip.sample_rate_hz, clip.onset_s, clip.offset_s) for clip in self.backgrounds]

    @property
    def backgrounds_sha256(self) -> str:
        """Hash of the backgrounds, and of the channel that is taken of them; empty for none."""
        if not self.backgrounds:
            return ""
        return hashlib.sha256(msgspec.json.encode([self.channel, *self.background_keys])).hexdigest()
