"""Settings of a source."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from streamgmm.settings.section import Place, Section

PcmFormat = Literal["u8", "s16le", "s24le", "s24_3le", "s24_32le", "s32le", "f32le", "f64le"]


class SourceSection(Section, frozen=True, kw_only=True):
    """The audio source."""

    uri: Annotated[
        Place,
        Meta(
            min_length=1,
            description="mic, mic:NAME, mic:INDEX, file:PATH, pcm:-, ffmpeg:URL, pcm+tcp://127.0.0.1:PORT or "
            "pcm+unix://PATH",
        ),
    ] = "mic"
    channel: Annotated[
        # The last of the 64 channels that `pcm_n_channels` allows.
        Annotated[int, Meta(ge=0, le=63)] | Literal["mean"],
        Meta(description="one channel (from 0), or the mean of all channels"),
    ] = "mean"
    pcm_format: Annotated[
        PcmFormat, Meta(description="format of raw pcm:-; ALSA S24_3LE is s24le, S24_LE is s24_32le")
    ] = "s16le"
    pcm_rate_hz: Annotated[
        int,
        Meta(ge=1000, le=384000, description="sample rate of raw pcm:-; a WAV declares its own", extra={"unit": "Hz"}),
    ] = 16000
    pcm_n_channels: Annotated[int, Meta(ge=1, le=64, description="interleaved channels of raw pcm:-")] = 1
    pace: Annotated[
        float,
        Meta(
            ge=0.0,
            le=1000.0,
            description="playback speed of file:PATH; 0 is as fast as possible",
            extra={"unit": "x real time"},
        ),
    ] = 0.0
    secret_file: Annotated[
        Place, Meta(description="file with `user:password` for ffmpeg:URL, closed to other users; empty: none")
    ] = ""
    stall_timeout_s: Annotated[
        float,
        Meta(
            ge=0.5,
            le=10.0,
            description="ffmpeg:URL and pcm+...: a stream without sound for this long is opened again",
            extra={"unit": "s"},
        ),
    ] = 10.0
    ring_s: Annotated[
        float,
        Meta(
            ge=2.0,
            le=600.0,
            description="audio kept while the worker is busy; hops are skipped once half of it waits",
            extra={"unit": "s"},
        ),
    ] = 30.0
