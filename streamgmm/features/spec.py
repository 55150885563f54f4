"""The numbers that define the features; a model carries them, so that run and training agree."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

FEATURE_VERSION = 1
"""Changes whenever the same samples would give other vectors."""

FRAME_FINE = 4
"""Points of the fine energy grid in one frame."""


class FeatureSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that the vectors depend on besides the samples.

    Attributes:
        sample_rate_hz: rate of the samples.
        window_s: samples analysed together.
        hop_s: stride of windows.
        n_bands: wavelet bands, centres mel-spaced from `min_hz` to 0.985 of Nyquist.
        min_hz: centre of the lowest band.
        wavelet: family of the bank in PyWavelets' naming.
        modulation_wavelet: wavelet of the second transform, over the envelopes.
        version: version of the feature code.
    """

    sample_rate_hz: Annotated[int, Meta(ge=1000, le=192000)]
    window_s: Annotated[float, Meta(ge=0.1, le=10.0)] = 1.0
    hop_s: Annotated[float, Meta(ge=0.016, le=2.0)] = 0.12
    n_bands: Annotated[int, Meta(ge=8, le=128)] = 32
    min_hz: Annotated[float, Meta(ge=5.0, le=4000.0)] = 30.0
    wavelet: Literal["cmor"] = "cmor"
    modulation_wavelet: Literal["haar"] = "haar"
    version: int = FEATURE_VERSION

    def __post_init__(self) -> None:
        if self.min_hz >= self.sample_rate_hz / 4:
            raise ValueError(f"min_hz {self.min_hz:g} is too high for a rate of {self.sample_rate_hz} Hz")
        if self.hop_s > self.window_s:
            raise ValueError(f"hop_s {self.hop_s:g} exceeds window_s {self.window_s:g}")

    @property
    def fine_samples(self) -> int:
        """Samples per point of the fine energy grid: the largest power of two within 4.1 ms."""
        return int(2 ** int(self.sample_rate_hz * 0.0041).bit_length()) // 2

    @property
    def frame_samples(self) -> int:
        """Samples per frame (about 12 to 16 ms)."""
        return FRAME_FINE * self.fine_samples

    @property
    def hop_frames(self) -> int:
        """Frames per hop."""
        return max(1, round(self.hop_s * self.sample_rate_hz / self.frame_samples))

    @property
    def hop_samples(self) -> int:
        """Samples per hop, a whole number of frames."""
        return self.hop_frames * self.frame_samples

    @property
    def window_frames(self) -> int:
        """Frames per window, a whole number of hops."""
        return self.hop_frames * max(1, round(self.window_s * self.sample_rate_hz / self.hop_samples))

    @property
    def window_samples(self) -> int:
        """Samples per window."""
        return self.window_frames * self.frame_samples
