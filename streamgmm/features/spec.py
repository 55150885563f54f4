"""The settings that define the features; stored in the model, so that a run uses those of its training."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from streamgmm.settings.features import BandCount, HopSeconds, LowestBandHz, WindowSeconds

FEATURE_VERSION = 1
"""Increased whenever the same samples would give other vectors."""

FRAME_FINE = 4
"""Points of the fine energy grid per frame."""


# `dict`: the lengths are computed once, as they are asked for with every hop.
class FeatureSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """All settings that the vectors depend on.

    Attributes:
        sample_rate_hz: sample rate of the input.
        window_s: length of windows; rounded, see `window_samples`.
        hop_s: distance between windows; rounded, see `hop_samples`.
        n_bands: number of wavelet bands, with mel-spaced centres from `min_hz` to 0.985 of Nyquist.
        min_hz: centre of the lowest band.
        wavelet: family of the bank in PyWavelets' naming.
        modulation_wavelet: wavelet of the second transform, of the envelopes.
        version: version of the feature code.
    """

    sample_rate_hz: Annotated[int, Meta(ge=1000, le=192000)]
    window_s: WindowSeconds = 1.0
    hop_s: HopSeconds = 0.12
    n_bands: BandCount = 32
    min_hz: LowestBandHz = 30.0
    wavelet: Literal["cmor"] = "cmor"
    modulation_wavelet: Literal["haar"] = "haar"
    version: int = FEATURE_VERSION

    def __post_init__(self) -> None:
        # The mel-spaced bands need room between the lowest one and Nyquist.
        if self.min_hz >= self.sample_rate_hz / 4:
            raise ValueError(f"min_hz {self.min_hz:g} is too high for a rate of {self.sample_rate_hz} Hz")
        # No window would contain the samples between two such windows.
        if self.hop_s > self.window_s:
            raise ValueError(f"hop_s {self.hop_s:g} exceeds window_s {self.window_s:g}")

    @cached_property
    def fine_samples(self) -> int:
        """Samples per point of the fine energy grid: the largest power of two within 4.1 ms."""
        # A power of two, because the decimations of bands are powers of two that must divide it.
        return int(2 ** int(self.sample_rate_hz * 0.0041).bit_length()) // 2

    @cached_property
    def frame_samples(self) -> int:
        """Samples per frame (8 to 16 ms)."""
        return FRAME_FINE * self.fine_samples

    @cached_property
    def hop_frames(self) -> int:
        """Frames per hop."""
        return max(1, round(self.hop_s * self.sample_rate_hz / self.frame_samples))

    @cached_property
    def hop_samples(self) -> int:
        """Samples per hop: a whole number of frames, near `hop_s`."""
        return self.hop_frames * self.frame_samples

    @cached_property
    def window_frames(self) -> int:
        """Frames per window: a whole number of hops, near `window_s`."""
        # Whole hops, so that a window always begins and ends with a hop, and no partial hop has to be stored.
        return self.hop_frames * max(1, round(self.window_s * self.sample_rate_hz / self.hop_samples))

    @cached_property
    def window_samples(self) -> int:
        """Samples per window."""
        return self.window_frames * self.frame_samples
