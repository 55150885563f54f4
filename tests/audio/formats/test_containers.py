"""Files that begin on a pipe where raw PCM is expected, and raw PCM that is never taken for one."""

from __future__ import annotations

import gzip
import io
import struct
import subprocess
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from streamgmm.audio.formats.containers import N_BYTES, recognise
from tests.required import corpus, require_or_skip

sf = pytest.importorskip("soundfile")

RATE_HZ = 16000
TONE = 0.3 * np.sin(2 * np.pi * 440.0 / RATE_HZ * np.arange(RATE_HZ))


def peek_at(data: bytes) -> Callable[[int], bytes]:
    return lambda n_bytes: data[:n_bytes]


def by_libsndfile(file_format: str, subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    sf.write(file, TONE, RATE_HZ, format=file_format, subtype=subtype)
    return file.getvalue()


def by_ffmpeg(*options: str) -> bytes:
    command = ["ffmpeg", "-v", "error", "-f", "s16le", "-ar", str(RATE_HZ), "-ac", "1", "-i", "-", *options, "-"]
    try:
        made: bytes = subprocess.run(
            command, input=(32767 * TONE).astype("<i2").tobytes(), capture_output=True, check=True
        ).stdout
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        require_or_skip("ffmpeg", f"{error}")
    return made


@pytest.mark.parametrize(
    ("file_format", "kind"),
    [
        ("WAV", "WAV"),
        ("WAVEX", "WAV"),
        ("RF64", "WAV"),
        ("W64", "Wave64"),
        ("FLAC", "FLAC"),
        ("OGG", "Ogg"),
        ("MP3", "MP3"),
        ("AU", "AU"),
        ("AIFF", "AIFF"),
        ("CAF", "CAF"),
        ("SVX", "AIFF"),
        ("NIST", "SPHERE"),
        ("VOC", "VOC"),
    ],
)
def test_files_of_libsndfile_are_recognised(file_format: str, kind: str) -> None:
    assert recognise(peek_at(by_libsndfile(file_format))) == kind


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (["-f", "wav"], "WAV"),
        (["-f", "mp3"], "MP3"),
        (["-f", "mp3", "-id3v2_version", "0", "-write_xing", "0"], "MP3"),
        (["-f", "mp3", "-id3v2_version", "0", "-ar", "22050", "-q:a", "5"], "MP3"),
        (["-f", "mp2"], "MPEG layer 2"),
        (["-f", "adts"], "AAC (ADTS)"),
        (["-f", "opus"], "Ogg"),
        (["-f", "flac"], "FLAC"),
        (["-f", "matroska"], "Matroska or WebM"),
        (["-f", "webm"], "Matroska or WebM"),
        (["-f", "mp4", "-movflags", "frag_keyframe+empty_moov"], "MP4 or M4A"),
        (["-f", "au"], "AU"),
        (["-f", "caf", "-c:a", "pcm_s16le"], "CAF"),
        (["-f", "w64"], "Wave64"),
        (["-f", "wv"], "WavPack"),
        (["-f", "asf"], "ASF (WMA)"),
        (["-f", "avi"], "AVI"),
        (["-f", "flv", "-ar", "22050"], "FLV"),
    ],
)
def test_A29_what_ffmpeg_writes_into_a_pipe_is_recognised(options: list[str], kind: str) -> None:
    assert recognise(peek_at(by_ffmpeg(*options))) == kind


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (gzip.compress(b"x" * 100, mtime=0), "gzip"),
        (b"PK\x03\x04\x14\x00" + bytes(26), "zip"),
        (b"BZh91AY&SY" + bytes(22), "bzip2"),
        (b"\xfd7zXZ\x00" + bytes(26), "xz"),
        (b"#!AMR\n" + bytes(26), "AMR"),
        (b"RIFX" + bytes(4) + b"WAVEfmt ", "WAV of the other byte order (RIFX)"),
    ],
)
def test_other_kinds_are_recognised(head: bytes, kind: str) -> None:
    assert recognise(peek_at(head)) == kind


def begins(seed: int, n: int) -> np.ndarray:
    """Beginnings of raw PCM of many levels, steps and widths, shape (n, 64)."""
    random = np.random.default_rng(seed)
    codes = random.normal(0.0, 10.0 ** random.uniform(-1.0, 4.5, (n, 1)), (n, 32))
    walks = np.cumsum(codes[: n // 2], axis=1)
    return np.vstack([walks, codes[n // 2 :]]).clip(-32768, 32767).astype("<i2").view(np.uint8)


def test_a_quarter_of_a_million_beginnings_are_raw() -> None:
    random = np.random.default_rng(0).integers(0, 256, (125_000, N_BYTES), dtype=np.uint8)
    for row in np.vstack([begins(1, 125_000)[:, :N_BYTES], random]):
        data = row.tobytes()
        assert recognise(peek_at(data)) is None, data


@pytest.mark.parametrize("first", [0xFFFB, 0xFFF3, 0xFFF1, 0xFFE3, 0xFFFA, 0xFFFD])
def test_noise_that_begins_like_a_frame_of_mp3_is_raw(first: int) -> None:
    random = np.random.default_rng(first)
    for _ in range(2000):
        data = struct.pack(">H", first) + random.bytes(4 * 8192)
        assert recognise(peek_at(data)) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        bytes(65536),
        b"\xff" * 65536,
        b"\xff\xfb" * 32768,
        b"\xff\xfb\x90\x00" * 16384,
        b"\x80" * 65536,
        b"\x00\x80\xff\x7f" * 16384,
        np.zeros(10000, "<f4").tobytes(),
        (32767 * TONE).astype("<i2").tobytes(),
        TONE.astype("<f4").tobytes(),
        TONE.astype("<f8").tobytes(),
        (-1 - 32 * TONE).astype("<i2").tobytes(),
    ],
    ids=range(13),
)
def test_silence_stuck_bits_and_tones_are_raw(data: bytes) -> None:
    assert recognise(peek_at(data)) is None


def test_real_sound_is_raw_wherever_it_begins() -> None:
    paths = sorted(corpus("esc10").rglob("*.wav"))[:8]
    for path in paths:
        codes = sf.read(path, dtype="int16")[0].reshape(-1).astype("<i2").tobytes()
        for offset in range(0, len(codes) - 65536, 2 * 97):
            piece = codes[offset : offset + 65536]
            assert recognise(peek_at(piece)) is None, (path, offset)


def test_a_header_is_recognised_by_the_bytes_that_it_needs() -> None:
    asked: list[int] = []

    def peek(n_bytes: int) -> bytes:
        asked.append(n_bytes)
        return bytes(n_bytes)

    assert recognise(peek) is None
    assert max(asked) == N_BYTES, "silence would be held back"


def wav_head(path: Path) -> bytes:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
    return path.read_bytes()


def test_an_empty_wav_is_a_wav(tmp_path: Path) -> None:
    assert recognise(peek_at(wav_head(tmp_path / "a.wav"))) == "WAV"
