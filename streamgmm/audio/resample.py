"""From one sample rate to another, as a stream.

The method is that of libsoxr at its quality HQ (linear phase, 20 bit); its output does not depend on
how the input is cut into blocks, bit for bit, and `tests/audio/test_resample.py` holds it to that.
Before its beginning and after its end a stream counts as constant, not as zero: an offset must neither begin nor end
with a click.
"""

from __future__ import annotations

import logging
from functools import cache

import numpy as np
import soxr

from streamgmm.arrays import Samples

_logger = logging.getLogger(__name__)

NARROW_SHARE = 0.9
"""Below so much of the wanted rate, a recording lacks a band that may matter; 44.1 kHz for 48 kHz does not."""


HOLD_SAMPLES = 256
"""At the lower of both rates, how long the last sample is held behind the end: longer than the filter rings."""


class Resampler:
    """A stream of mono samples at another rate.

    Args:
        from_hz: rate of what is pushed.
        to_hz: rate of what comes back; if it is the same, samples pass untouched.
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
            last: nothing follows these: give back also what the filter holds, and begin anew.

        Returns:
            float32, shape (m,), at `to_hz`; empty while the filter fills up.
        """
        if self._stream is None:
            return samples
        if len(samples):
            self._n_in += len(samples)
            self._last = samples[-1]
            if self._offset is None:
                self._offset = samples[0] if np.isfinite(samples[0]) else np.float32(0.0)
        offset = np.float32(0.0) if self._offset is None else self._offset
        resampled: Samples = self._stream.resample_chunk(samples - offset) + offset
        self._n_out += len(resampled)
        if not last:
            return resampled
        end = self._stream.resample_chunk(self._held() - offset, last=True)[: self._n_expected() - self._n_out] + offset
        self._stream.clear()
        self._begin()
        return np.concatenate([resampled, end])

    def _held(self) -> Samples:
        """The last sample, for as long as the filter rings."""
        n_held = -(-HOLD_SAMPLES * self._from_hz // min(self._from_hz, self._to_hz))
        return np.full(n_held, self._last if np.isfinite(self._last) else 0.0, dtype=np.float32)

    def _n_expected(self) -> int:
        """How many samples all of the input is worth, rounded as libsoxr does."""
        return (2 * self._n_in * self._to_hz + self._from_hz) // (2 * self._from_hz)


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """The whole of a recording (float32, shape (n,)) at another rate; the same bits as a stream gives."""
    return Resampler(from_hz, to_hz).push(samples, last=True)


def is_narrow(from_hz: int, to_hz: int) -> bool:
    """Whether sound of the rate `from_hz` lacks a band that a model of the rate `to_hz` goes by."""
    return from_hz < NARROW_SHARE * to_hz


def narrow_band(from_hz: int, to_hz: int) -> str:
    """What `is_narrow` means for the user."""
    return (
        f"the sound comes at {from_hz} Hz and the model knows it at {to_hz} Hz: what it learnt above {from_hz // 2} Hz "
        f"is missing, and it will be wrong more often; train it with features.sample_rate_hz={from_hz}"
    )


@cache
def warn_if_narrow(from_hz: int, to_hz: int) -> None:
    """Log what `narrow_band` says if it is so, once for each pair of rates."""
    if is_narrow(from_hz, to_hz):
        _logger.warning("%s", narrow_band(from_hz, to_hz))
