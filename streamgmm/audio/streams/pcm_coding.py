"""PCM sample formats: sizes and decoding to float32."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamgmm.arrays import Float32Array
from streamgmm.settings.source import PcmFormat

_DTYPES: dict[PcmFormat, str] = {
    "u8": "u1",
    "s16le": "<i2",
    "s24_32le": "<i4",  # 24 bits in the low bytes; the high byte is zero or repeats the sign
    "s32le": "<i4",
    "f32le": "<f4",
    "f64le": "<f8",
}


def bytes_per_sample(pcm_format: PcmFormat) -> int:
    """Return the size of one sample of one channel (bytes)."""
    return np.dtype(_DTYPES[pcm_format]).itemsize if pcm_format in _DTYPES else 3


def decode_pcm(data: bytes, pcm_format: PcmFormat) -> Float32Array:
    """Decode raw PCM to float32, shape (n,), full scale 1.0; exact for up to 24 bits.

    NaN and infinities in `f32le` and `f64le` are kept.
    """
    if pcm_format not in _DTYPES:
        return _scaled(_widened(data), 2.0**31)
    codes = np.frombuffer(data, _DTYPES[pcm_format])
    # The shift drops the high byte, so that it does not matter whether it repeats the sign.
    if pcm_format == "s24_32le":
        return _scaled(codes << 8, 2.0**31)
    # int16, because differences of uint8 would wrap around.
    if pcm_format == "u8":
        return _scaled(codes.astype(np.int16) - 128, 2.0**7)
    return _scaled(codes, 2.0 ** (8 * codes.itemsize - 1) if codes.dtype.kind == "i" else 1.0)


def _widened(data: bytes) -> npt.NDArray[np.int32]:
    """Move each 24-bit sample into the high bytes of an int32, because numpy has no 24-bit type."""
    # Shape (n, 4), little-endian: the low byte stays 0, so that the sign is in its place.
    wide = np.zeros((len(data) // 3, 4), np.uint8)
    wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
    return wide.view("<i4").ravel()


def _scaled(codes: npt.NDArray[np.generic], full_scale: float) -> Float32Array:
    with np.errstate(invalid="ignore", over="ignore"):  # later stages report values that are not finite
        # The scale is a power of two: only the conversion to 24 bits of mantissa can round, the division cannot.
        return codes.astype(np.float32) / np.float32(full_scale)
