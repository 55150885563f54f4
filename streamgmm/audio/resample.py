"""Streaming conversion between sample rates.

The method is libsoxr at quality HQ (linear phase, 20 bit). Its output is bit-identical for any division of the
input into blocks, which `tests/audio/test_resample.py` verifies.
A stream is treated as constant before its beginning and after its end, not as zero, so that a constant offset causes
no click at either.
"""

from __future__ import annotations

import logging
from functools import cache

import numpy as np
import soxr

from streamgmm.arrays import Samples

_rate_logger = logging.getLogger(__name__)

NARROW_SHARE = 0.9
"""Ratio of the input rate to the wanted rate below which a relevant band is missing; 44.1 kHz for 48 kHz is above."""


HOLD_SAMPLES = 256
"""Number of samples, at the lower of both rates, for which the last sample is repeated after the end: longer than the
filter's impulse response."""


class Resampler:
    """Resample a stream of mono samples.

    Args:
        from_hz: sample rate of the input.
        to_hz: sample rate of the output; if both are equal, samples are returned unchanged.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._from_hz, self._to_hz = from_hz, to_hz
        self._stream = None
        if from_hz != to_hz:
            self._stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality="HQ")
        self._begin()

    def _begin(self) -> None:
        self._offset: np.float32 | None = None
        self._last = np.float32(0.0)
        self._n_in = self._n_out = 0

    def push(self, samples: Samples, last: bool = False) -> Samples:
        """Resample the next samples.

        Args:
            samples: float32, shape (n,), at `from_hz`.
            last: True for the last samples of a stream: also return what the filter holds, and reset it.

        Returns:
            float32, shape (m,), at `to_hz`; may be empty while the filter fills up.
        """
        if self._stream is None:
            return samples
        if len(samples):
            self._n_in += len(samples)
            self._last = samples[-1]
            # A first sample that is NaN would, as the offset, turn the whole stream into NaN.
            if self._offset is None:
                self._offset = samples[0] if np.isfinite(samples[0]) else np.float32(0.0)
        # The filter assumes zeros before the beginning: subtract the first sample, so that they continue it.
        offset = np.float32(0.0) if self._offset is None else self._offset
        resampled: Samples = self._stream.resample_chunk(samples - offset) + offset
        self._n_out += len(resampled)
        if not last:
            return resampled
        # The repeated samples only flush the filter: cut the output to the duration of the input.
        end = self._stream.resample_chunk(self._held() - offset, last=True)[: self._n_expected() - self._n_out] + offset
        self._stream.clear()
        self._begin()
        return np.concatenate([resampled, end])

    def _held(self) -> Samples:
        """Return the last sample, repeated for the length of the filter's impulse response."""
        # `HOLD_SAMPLES` count at the lower rate; this is as much time at the input rate, rounded up.
        n_held = -(-HOLD_SAMPLES * self._from_hz // min(self._from_hz, self._to_hz))
        return np.full(n_held, self._last if np.isfinite(self._last) else 0.0, dtype=np.float32)

    def _n_expected(self) -> int:
        """Return the number of output samples for all of the input, rounded like libsoxr."""
        # n * to / from in exact integers for any length, and with halves rounded up, unlike by `round`.
        return (2 * self._n_in * self._to_hz + self._from_hz) // (2 * self._from_hz)


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """Resample a whole recording (float32, shape (n,)); bit-identical to the result of a stream."""
    return Resampler(from_hz, to_hz).push(samples, last=True)


def is_narrow(from_hz: int, to_hz: int) -> bool:
    """Return whether input at `from_hz` lacks a band that a model at `to_hz` uses."""
    return from_hz < NARROW_SHARE * to_hz


def narrow_band(from_hz: int, to_hz: int) -> str:
    """Return the warning for the user if `is_narrow`."""
    return (
        f"the sound comes at {from_hz} Hz and the model knows it at {to_hz} Hz: what it learnt above {from_hz // 2} Hz "
        f"is missing, and it will be wrong more often; train it with features.sample_rate_hz={from_hz}"
    )


@cache
def warn_if_narrow(from_hz: int, to_hz: int) -> None:
    """Log the warning of `narrow_band` if `is_narrow`, once for each pair of rates."""
    if is_narrow(from_hz, to_hz):
        _rate_logger.warning("%s", narrow_band(from_hz, to_hz))
