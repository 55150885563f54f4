"""Recordings made on the spot for the tests of reading, in formats that `soundfile` cannot write."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import numpy as np
import soundfile

from tests.required import ffmpeg

RATE_HZ = 16000


def sweep(duration_s, rate_hz=RATE_HZ, n_channels=1, seed=0):
    """A sweep that comes and goes with noise, so that a coder of variable rate has something to vary."""
    t = np.arange(round(duration_s * rate_hz)) / rate_hz
    noise = np.random.default_rng(seed).normal(0, 0.05, t.size) * (t % 4 > 2)
    mono = 0.3 * np.sin(2 * np.pi * (300 + 20 * t) * t) * np.sin(2 * np.pi * 0.15 * t) ** 2 + noise
    return np.stack([mono * 0.8**i for i in range(n_channels)], axis=1).astype(np.float32)


def encode(folder, samples, options, suffix, *, rate_hz=RATE_HZ, to_pipe=False):
    """What `ffmpeg` makes of samples, as bytes; into a pipe it cannot go back to write a length."""
    source = Path(folder) / "source.wav"
    soundfile.write(source, samples, rate_hz, subtype="PCM_16")
    target = Path(folder) / f"encoded.{suffix}"
    command = [ffmpeg(), "-v", "error", "-y", "-i", str(source), *options]
    if to_pipe:
        return subprocess.run([*command, "-"], stdout=subprocess.PIPE, check=True).stdout
    subprocess.run([*command, str(target)], check=True)
    return target.read_bytes()


def decoded(path):
    """What `ffmpeg` hears in a recording: float32, shape (n,), of its first channel."""
    probe = ["-v", "error", "-i", str(path), "-af", "pan=mono|c0=c0", "-f", "f32le", "-"]
    done = subprocess.run([ffmpeg(), *probe], stdout=subprocess.PIPE, check=False)
    return np.frombuffer(done.stdout, np.float32)


def wav(codes, *, riff_bytes=None, data_bytes=None, before=b"", after=b"", byte_rate=None, align=None, rate_hz=RATE_HZ):
    """A WAV file of 16 bits with any lies in its header."""
    data = np.asarray(codes, "<i2").tobytes()
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate_hz, byte_rate or 2 * rate_hz, align or 2, 16)
    size = len(data) if data_bytes is None else data_bytes
    body = b"WAVE" + form + before + struct.pack("<4sI", b"data", size) + data + after
    return struct.pack("<4sI", b"RIFF", len(body) if riff_bytes is None else riff_bytes) + body
