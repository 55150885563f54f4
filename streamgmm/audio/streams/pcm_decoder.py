"""PCM decoder: convert the bytes of interleaved PCM to mono samples at the model's rate."""

from __future__ import annotations

import numpy as np

from streamgmm.arrays import Samples
from streamgmm.audio.channels import ChannelChoice, LiveMixer
from streamgmm.audio.resample import Resampler, warn_if_narrow
from streamgmm.audio.streams.pcm_coding import bytes_per_sample, decode_pcm
from streamgmm.audio.streams.wav_stream import Layout

_NO_SAMPLES: Samples = np.zeros(0, np.float32)

PCM_BLOCK_S = 0.05
"""Duration of the sound that is read from a pipe or decoder at once (s)."""


class PcmDecoder:
    """Decode a stream of PCM of one layout, whose chunks may end anywhere, even within a sample.

    Args:
        layout: layout of the samples; must have `channel`, see `has_channel`.
        channel: index of one channel (from 0), or the mean of all.
        sample_rate_hz: sample rate of the output.
    """

    def __init__(self, layout: Layout, channel: ChannelChoice, sample_rate_hz: int) -> None:
        self._layout = layout
        self._n_frame_bytes = bytes_per_sample(layout.pcm_format) * layout.n_channels
        self._mixer = LiveMixer(channel, layout.rate_hz)
        self._resampler = Resampler(layout.rate_hz, sample_rate_hz)
        self._partial_frame = b""
        warn_if_narrow(layout.rate_hz, sample_rate_hz)

    @property
    def n_partial_bytes(self) -> int:
        """Return the length of the incomplete frame at the end of the input so far."""
        return len(self._partial_frame)

    def push(self, data: bytes) -> Samples:
        """Decode the next bytes to float32, shape (n,); empty while a frame or the resampling filter fills up."""
        data = self._partial_frame + data
        n_whole_bytes = len(data) - len(data) % self._n_frame_bytes
        self._partial_frame = data[n_whole_bytes:]
        frames = decode_pcm(data[:n_whole_bytes], self._layout.pcm_format).reshape(-1, self._layout.n_channels)
        # Mixed first, so that one channel is resampled and not all.
        return self._resampler.push(self._mixer.mix(frames))

    def finish(self) -> Samples:
        """Return the samples that the resampling filter still holds; a partial frame is discarded."""
        return self._resampler.push(_NO_SAMPLES, last=True)
