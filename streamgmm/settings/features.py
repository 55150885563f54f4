"""Settings of the features."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from streamgmm.settings.section import Section

WindowSeconds = Annotated[float, Meta(ge=0.1, le=10.0, extra={"unit": "s"})]
HopSeconds = Annotated[float, Meta(ge=0.016, le=2.0, extra={"unit": "s"})]
BandCount = Annotated[int, Meta(ge=8, le=128)]
LowestBandHz = Annotated[float, Meta(ge=5.0, le=4000.0, extra={"unit": "Hz"})]


class FeaturesSection(Section, frozen=True, kw_only=True):
    """Features that `train` computes; a model stores its own, and `run` uses those."""

    sample_rate_hz: Annotated[
        int,
        Meta(
            ge=0,
            le=192000,
            description="sample rate of the model; 0: that of most recordings",
            extra={"unit": "Hz"},
        ),
    ] = 0
    window_s: Annotated[WindowSeconds, Meta(description="length of the windows that are analysed")] = 1.0
    hop_s: Annotated[HopSeconds, Meta(description="stride of windows: how often a decision is made")] = 0.12
    n_bands: Annotated[BandCount, Meta(description="wavelet bands, spaced on the mel scale")] = 32
    min_hz: Annotated[LowestBandHz, Meta(description="centre of the lowest band; wind and traffic are below it")] = 30.0

    def __post_init__(self) -> None:
        if self.hop_s > self.window_s:
            raise ValueError(f"hop_s ({self.hop_s:g}) must not exceed window_s ({self.window_s:g})")
