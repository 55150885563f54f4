"""How samples are written in raw PCM, and their values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamgmm.arrays import Float32Array
from streamgmm.config import PcmFormat

_DTYPES: dict[PcmFormat, str] = {
    "u8": "u1",
    "s16le": "<i2",
    "s24_32le": "<i4",  # the high byte may be zero or repeat the sign
    "s32le": "<i4",
    "f32le": "<f4",
    "f64le": "<f8",
}


def bytes_per_sample(pcm_format: PcmFormat) -> int:
    """Return the length of one sample of one channel."""
    return np.dtype(_DTYPES[pcm_format]).itemsize if pcm_format in _DTYPES else 3


def decode_pcm(data: bytes, pcm_format: PcmFormat) -> Float32Array:
    """Return the values of raw PCM: float32, shape (n,), full scale 1.0; exact for up to 24 bits.

    NaN and infinities of `f32le` and `f64le` are passed on.
    """
    if pcm_format not in _DTYPES:
        return _scaled(_widened(data), 2.0**31)
    codes = np.frombuffer(data, _DTYPES[pcm_format])
    if pcm_format == "s24_32le":
        return _scaled(codes << 8, 2.0**31)
    if pcm_format == "u8":
        return _scaled(codes.astype(np.int16) - 128, 2.0**7)
    return _scaled(codes, 2.0 ** (8 * codes.itemsize - 1) if codes.dtype.kind == "i" else 1.0)


def _widened(data: bytes) -> npt.NDArray[np.int32]:
    """Put three bytes, of which numpy has no type, into the high ones of four."""
    wide = np.zeros((len(data) // 3, 4), np.uint8)
    wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
    return wide.view("<i4").ravel()


def _scaled(codes: npt.NDArray[np.generic], full_scale: float) -> Float32Array:
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is reported as such, not by numpy
        return codes.astype(np.float32) / np.float32(full_scale)
