"""From one sample rate to another, as a stream.

The method is that of libsoxr at its quality HQ (linear phase, 20 bit); its output does not depend on
how the input is cut into blocks, bit for bit, and `tests/audio/test_resample.py` holds it to that.
"""

from __future__ import annotations

import logging
from functools import cache

import soxr

from streamgmm.audio.source import Samples

_logger = logging.getLogger(__name__)

NARROW_SHARE = 0.9
"""Below so much of the wanted rate, a recording lacks a band that may matter; 44.1 kHz for 48 kHz does not."""


class Resampler:
    """A stream of mono samples at another rate.

    Args:
        from_hz: rate of what is pushed.
        to_hz: rate of what comes back; if it is the same, samples pass untouched.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._stream = None
        if from_hz != to_hz:
            self._stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality="HQ")

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
        resampled: Samples = self._stream.resample_chunk(samples, last=last)
        if last:
            self._stream.clear()
        return resampled


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
