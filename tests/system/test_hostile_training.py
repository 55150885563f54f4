"""One `train` on a folder that holds every hostile file at once, in a process with little memory and time."""

from __future__ import annotations

import json
import os
import resource
import socket
import struct
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamgmm.model.file import load_model
from tests.cli.cli_rig import spawn_cli
from tests.training.training_rig import QUICK, RATE_HZ, SOUND_LABELS, write_sounds

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits and sparse files")

MEMORY_BYTES = 2 * 2**30
CPU_S = 60
LONGEST_S = 90.0


def write_hostile(folder: Path) -> int:
    """Every kind of file that must not be learnt from; returns how many of them are there."""
    wav = next(folder.glob("*.wav")).read_bytes()
    contents = {
        "empty.wav": b"",
        "byte.wav": b"R",
        "header.wav": wav[:44],
        "zero_rate.wav": wav[:24] + bytes(4) + wav[28:],
        "many_channels.wav": wav[:22] + b"\xff\xff" + wav[24:],
        "picture.wav": b"\x89PNG\r\n\x1a\n" + os.urandom(5000),
        "program.wav": b"\x7fELF" + os.urandom(5000),
        "text.flac": b"no sound\n" * 100,
        "zip_bomb.ogg": b"PK\x03\x04" + bytes(100_000),
        "\x1b[2J\n\t.wav": b"RIFF",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    with (folder / "sparse.wav").open("wb") as file:
        file.write(wav)
        file.truncate(10 * 2**30)
    soundfile.write(folder / "nan.wav", np.full(8000, np.nan), RATE_HZ, subtype="FLOAT")
    with soundfile.SoundFile(folder / "endless.flac", "w", 8000, 1, "PCM_16") as file:
        for _ in range(31):
            file.write(np.zeros(1_000_000, np.int16))
    os.mkfifo(folder / "pipe.wav")
    (folder / "folder.wav").mkdir()
    (folder / "loop.wav").symlink_to("loop.wav")
    (folder / "zero.wav").symlink_to("/dev/zero")
    (folder / "up").symlink_to("..")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(folder / "socket.wav"))
    return len(contents) + 8  # the folder is walked through


def test_B1_B3_B9_B10_B11_B12_all_hostile_files_at_once_neither_hang_a_training_nor_make_it_grow(
    tmp_path: Path,
) -> None:
    data = write_sounds(tmp_path / "data", n_clips=3)
    folder = data / SOUND_LABELS[0]
    n_clips = len(list(data.rglob("*.wav")))
    wav = next(folder.glob("*.wav")).read_bytes()
    # Usable: a header that claims 4 GiB has as many samples as the file.
    (folder / "claims.wav").write_bytes(wav[:40] + struct.pack("<I", 2**32 - 1) + wav[44 : len(wav) - 100])
    n_hostile = write_hostile(folder)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))

    began_s = time.monotonic()
    process = spawn_cli(
        "train", data, "-o", tmp_path / "m.sgm", "--report", tmp_path / "r.json", *QUICK, preexec_fn=limit
    )
    out, err = process.communicate(timeout=LONGEST_S)
    assert process.returncode == 0, err
    assert time.monotonic() - began_s < LONGEST_S
    assert "Traceback" not in err
    assert "\x1b" not in out + err
    assert sum(load_model(tmp_path / "m.sgm").card["n_clips"].values()) == n_clips + 1
    skipped = json.loads((tmp_path / "r.json").read_text())["skipped_files"]
    assert sum(skipped.values()) == n_hostile, skipped
    reasons = {"not_regular", "symlink", "too_large", "too_long", "nonfinite", "not_audio", "empty", "bad_header"}
    assert reasons <= set(skipped)
