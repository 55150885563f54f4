"""Write samples as a file of 16 bits in memory."""

from __future__ import annotations

import io
from typing import Literal

import numpy as np

from streamgmm.arrays import Samples
from streamgmm.signals import handlers_deferred

FileFormat = Literal["wav", "flac"]


def encode_16_bit(samples: Samples, sample_rate_hz: int, file_format: FileFormat) -> bytes:
    """Return float32 samples, shape (n,), as a mono file; those beyond full scale are clipped, NaN becomes 0."""
    # Imported here: a run that stores no audio does not need the library.
    import soundfile

    finite = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0).astype(np.float64)
    # Rounded here, as libsndfile truncates: samples that had 16 bits come back the same.
    pcm = np.rint(np.clip(finite * 32768.0, -32768.0, 32767.0)).astype(np.int16)
    file = io.BytesIO()
    with handlers_deferred():  # the library calls the file's methods back
        soundfile.write(file, pcm, sample_rate_hz, format=file_format.upper(), subtype="PCM_16")
    return file.getvalue()
