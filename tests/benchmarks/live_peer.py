"""openSMILE on a live microphone: `python -m tests.benchmarks.live_peer RATE_HZ`; what `live` compares a daemon with.

It reads the microphone as our capture does (PortAudio, blocks of 20 ms) and hands each block to openSMILE at once,
which computes the low-level descriptors of eGeMAPSv02 (Eyben et al., IEEE Trans. Affective Computing, 2016). Each line
of the output is the time of the last frame (s): as little as a program can do with its results.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import numpy as np
import opensmile
import sounddevice
from opensmile.core.lib import OpenSMILE

BLOCK_S = 0.02
CONFIG = Path(opensmile.__file__).parent / "core" / "config"
FRAMES_PER_LINE = 10
"""Ten frames of 10 ms: as often as our daemon tells of a window."""


def main() -> None:
    rate_hz = int(sys.argv[1])
    smile = OpenSMILE()
    shared = CONFIG / "shared"
    options = {
        "source": shared / "standard_external_wave_input.conf.inc",
        "sampleRate": rate_hz,
        "nBits": 16,
        "sink": shared / "standard_external_data_output_single.conf.inc",
        "sinkLevel": "lld",
        "bufferModeRbConf": shared / "BufferModeRb.conf.inc",
        "frameModeFunctionalsConf": shared / "FrameModeFunctionals.conf.inc",
    }
    smile.initialize(str(CONFIG / "egemaps" / "v02" / "eGeMAPSv02.conf"), options, loglevel=0)
    n_frames = 0

    def take(frame: np.ndarray, meta: object) -> None:
        nonlocal n_frames
        n_frames += 1
        if not n_frames % FRAMES_PER_LINE:
            print(f"{n_frames * 0.01:.2f}", flush=True)

    smile.external_sink_set_callback_ex("extsink", take)
    threading.Thread(target=smile.run, daemon=True).start()
    n_samples = round(BLOCK_S * rate_hz)
    with sounddevice.RawInputStream(rate_hz, n_samples, channels=1, dtype="int16") as stream:
        while True:
            block, _ = stream.read(n_samples)
            if not smile.external_audio_source_write_data("extsource", bytes(block)):
                raise SystemExit("openSMILE does not keep up")


if __name__ == "__main__":
    main()
