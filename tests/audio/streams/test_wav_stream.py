"""WAV through a real pipe, with the sizes that those write who cannot go back."""

from __future__ import annotations

import io
import logging
import os
import struct
import subprocess
import threading
from collections.abc import Sequence

import numpy as np
import pytest

from streamgmm.audio.resample import resample
from streamgmm.audio.streams.pcm import PcmPipe
from streamgmm.errors import DataError, UsageError
from tests.required import require_or_skip

sf = pytest.importorskip("soundfile")

RATE_HZ = 16000
CODES = np.random.default_rng(4).integers(-32768, 32768, 3000).astype("<i2")
SAMPLES = (CODES / 32768).astype(np.float32)
CHUNK_BODY = b"made by a recorder"


def chunk(name: bytes, body: bytes, claimed: int | None = None) -> bytes:
    return name + struct.pack("<I", len(body) if claimed is None else claimed) + body + b"\0" * (len(body) % 2)


def fmt(coding: int = 1, n_channels: int = 1, rate_hz: int = RATE_HZ, n_bits: int = 16) -> bytes:
    n_align = n_channels * n_bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", coding, n_channels, rate_hz, rate_hz * n_align, n_align, n_bits))


def wav(*chunks: bytes, form: bytes = b"RIFF", size: int = 0xFFFFFFFF) -> bytes:
    return form + struct.pack("<I", size) + b"WAVE" + b"".join(chunks)


def data(codes: np.ndarray = CODES, claimed: int | None = None) -> bytes:
    return chunk(b"data", codes.tobytes(), claimed)


def through_pipe(
    pieces: Sequence[bytes], model_rate_hz: int = RATE_HZ, **options: object
) -> tuple[np.ndarray, PcmPipe]:
    """What a source delivers of bytes that another thread writes."""
    read_fd, write_fd = os.pipe()
    source = PcmPipe(fd=read_fd, **options)  # type: ignore[arg-type]
    source.open(model_rate_hz)

    def write_all() -> None:
        with os.fdopen(write_fd, "wb", buffering=0) as file:
            for piece in pieces:
                file.write(piece)

    thread = threading.Thread(target=write_all, daemon=True)
    thread.start()
    try:
        blocks = [block.samples for block in iter(source.read, None)]
        thread.join()
    finally:
        source.close()
        os.close(read_fd)
    return np.concatenate([np.zeros(0, np.float32), *blocks]), source


STREAMS = {
    "right_sizes": [fmt(), data()],
    "ffmpeg": [fmt(), chunk(b"LIST", b"INFOISFT\x0e\0\0\0Lavf58.76.100\0"), data(claimed=0xFFFFFFFF)],
    "sox": [fmt(), data(claimed=0x7FFFFFFF - 36)],
    "arecord": [fmt(), data(claimed=0x80000000)],
    "zero": [fmt(), data(claimed=0)],
    "too_short": [fmt(), data(claimed=1000)],
    "odd": [fmt(), data(claimed=1001)],
    "chunks_before": [chunk(b"JUNK", bytes(28)), chunk(b"bext", bytes(602)), fmt(), chunk(b"fact", bytes(4)), data()],
    "odd_chunk_before": [fmt(), chunk(b"note", b"odd"), data()],
    "chunks_after": [fmt(), data(), chunk(b"LIST", CHUNK_BODY), chunk(b"id3 ", b"ID3" + CHUNK_BODY)],
    "larger_fmt": [chunk(b"fmt ", fmt()[8:] + b"\0\0"), data()],
}


@pytest.mark.parametrize("chunks", STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize("cut", ["whole", "bytes"])
def test_A28_samples_are_those_after_the_header_whatever_sizes_it_claims(chunks: list[bytes], cut: str) -> None:
    content = wav(*chunks)
    pieces = [content] if cut == "whole" else [bytes([byte]) for byte in content]
    samples, source = through_pipe(pieces)
    assert samples.tobytes() == SAMPLES.tobytes()
    assert source.n_discarded_bytes == 0


def test_rf64_has_its_sizes_in_a_chunk_of_their_own() -> None:
    ds64 = chunk(b"ds64", struct.pack("<QQQI", 6100, CODES.nbytes, CODES.size, 0))
    content = wav(ds64, fmt(), data(claimed=0xFFFFFFFF), chunk(b"LIST", CHUNK_BODY), form=b"RF64")
    assert through_pipe([content])[0].tobytes() == SAMPLES.tobytes()


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("file_format", ["WAV", "WAVEX"])
@pytest.mark.parametrize("n_channels", [1, 2, 6])
def test_every_plain_coding_and_number_of_channels_is_read_by_the_header(
    file_format: str, subtype: str, n_channels: int
) -> None:
    sound = np.random.default_rng(1).uniform(-0.9, 0.9, (500, n_channels))
    file = io.BytesIO()
    sf.write(file, sound, RATE_HZ, format=file_format, subtype=subtype)
    expected = sf.read(io.BytesIO(file.getvalue()), dtype="float32", always_2d=True)[0].mean(axis=1)
    samples, _ = through_pipe([file.getvalue()], pcm_format="s16le", rate_hz=8000, n_channels=1)
    np.testing.assert_allclose(samples, expected, atol=2e-7)


@pytest.mark.parametrize("rate_hz", [8000, 11025, 22050, 44100, 48000, 96000])
def test_the_rate_is_that_of_the_header(rate_hz: int) -> None:
    samples, _ = through_pipe([wav(fmt(rate_hz=rate_hz), data())])
    assert samples.tobytes() == resample(SAMPLES, rate_hz, RATE_HZ).tobytes()


def test_A28_what_the_header_overrules_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    through_pipe([wav(fmt(n_channels=2, rate_hz=44100), data())], pcm_format="f32le", rate_hz=48000)
    assert "takes 44100 Hz, 2 channels, s16le from the header of the WAV" in caplog.text
    assert "not source.pcm_* (48000 Hz, 1 channel, f32le)" in caplog.text


def test_a_header_that_agrees_with_the_settings_is_nothing_to_tell(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    through_pipe([wav(fmt(), data())])
    assert caplog.text == ""


@pytest.mark.parametrize("n_extra", [0, 1])
@pytest.mark.parametrize("claimed", [None, 0xFFFFFFFF, 0])
def test_wavs_one_after_the_other_are_heard_also_where_one_stopped_within_a_sample(
    claimed: int | None, n_extra: int
) -> None:
    first = wav(fmt(), chunk(b"data", CODES.tobytes(), claimed))[: None if claimed is None else -1 if n_extra else None]
    samples, source = through_pipe([first, wav(fmt(n_channels=2), data(np.repeat(CODES, 2)))])
    n_lost = int(claimed is not None and n_extra)
    np.testing.assert_array_equal(samples[: CODES.size - n_lost], SAMPLES[: CODES.size - n_lost])
    np.testing.assert_array_equal(samples[-CODES.size :], SAMPLES)
    assert source.n_discarded_bytes == n_lost


def test_a_channel_that_only_the_header_has_can_be_chosen() -> None:
    samples, _ = through_pipe([wav(fmt(n_channels=2), data())], channel=1)
    assert samples.tobytes() == SAMPLES[1::2].tobytes()


def test_samples_that_look_like_the_begin_of_a_header_are_sound() -> None:
    codes = np.frombuffer(b"RIFFRIF R" + b"RIFF1234WAV_" * 20 + b"RIFF...", "<i2")
    assert through_pipe([wav(fmt(), data(codes))])[0].tobytes() == (codes / np.float32(32768)).tobytes()


HEADERS = {
    "cut": (wav(fmt())[:20], "is cut off within `fmt `"),
    "no_data": (wav(fmt()), "is cut off before the samples"),
    "no_fmt": (wav(data()), "has samples before it says how they are written"),
    "short_fmt": (wav(chunk(b"fmt ", bytes(8)), data()), "is cut off within `fmt `"),
    "no_channels": (wav(fmt(n_channels=0), data()), "claims 0 channels"),
    "many_channels": (wav(fmt(n_channels=400), data()), "claims 400 channels"),
    "no_rate": (wav(fmt(rate_hz=0), data()), "claims 0 Hz"),
    "high_rate": (wav(fmt(rate_hz=10**9), data()), "claims 1000000000 Hz"),
    "a_law": (wav(fmt(coding=6, n_bits=8), data()), "samples of 8 bits in A-law"),
    "mu_law": (wav(fmt(coding=7, n_bits=8), data()), "samples of 8 bits in mu-law"),
    "mp3": (wav(fmt(coding=0x55, n_bits=0), data()), "in MP3"),
    "unknown": (wav(fmt(coding=0x1234), data()), "in coding 0x1234"),
    "64_bits": (wav(fmt(n_bits=64), data()), "samples of 64 bits"),
    "endless": (wav(chunk(b"JUNK", b"", 0x7FFFFFFF), fmt(), data()), "has no samples within"),
}


@pytest.mark.parametrize(("content", "reason"), HEADERS.values(), ids=HEADERS)
def test_a_header_that_makes_no_sense_is_refused_with_what_it_claims(content: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=f"pcm:-: .*{reason}") as caught:
        through_pipe([content])
    assert caught.value.exit_code == 65
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("pcm_format", "command"),
    [
        ("s16le", "ffmpeg -i - -f s16le -ar 16000 -ac 1 -"),
        ("f32le", "ffmpeg -i - -f f32le -ar 16000 -ac 1 -"),
        ("s24_3le", "ffmpeg -i - -f s24le -ar 16000 -ac 1 -"),
        ("s24_32le", "ffmpeg -i - -f wav -ar 16000 -ac 1 -"),
    ],
)
def test_A29_another_file_is_refused_with_the_command_that_decodes_it(pcm_format: str, command: str) -> None:
    with pytest.raises(DataError, match="standard input is FLAC, not raw PCM") as caught:
        through_pipe([b"fLaC\0\0\0\x22" + bytes(100)], pcm_format=pcm_format)
    assert command in str(caught.value)


@pytest.mark.parametrize("pcm_format", ["u8", "s16le", "s24le", "s24_3le", "s32le", "f32le", "f64le"])
def test_the_command_gives_what_is_read(pcm_format: str) -> None:
    file = io.BytesIO()
    sf.write(file, SAMPLES, RATE_HZ, format="FLAC", subtype="PCM_16")
    with pytest.raises(DataError) as caught:
        through_pipe([file.getvalue()], pcm_format=pcm_format)
    command = caught.value.hint.split(" | ")[1].split()
    try:
        decoded = subprocess.run(command, input=file.getvalue(), capture_output=True, check=True).stdout
    except FileNotFoundError:
        require_or_skip("ffmpeg", "it is not installed")
    samples, _ = through_pipe([decoded], pcm_format=pcm_format)
    np.testing.assert_allclose(samples, SAMPLES, atol=0.01)


def test_a_source_that_is_closed_within_a_header_ends_without_a_complaint() -> None:
    read_fd, write_fd = os.pipe()
    source = PcmPipe(fd=read_fd)
    source.open(RATE_HZ)
    os.write(write_fd, wav(fmt())[:20])
    ended: list[object] = []
    reader = threading.Thread(target=lambda: ended.append(source.read()))
    reader.start()
    source.close()
    reader.join()
    assert ended == [None]
    os.close(read_fd)
    os.close(write_fd)


def test_a_channel_that_the_header_lacks_is_refused() -> None:
    with pytest.raises(UsageError, match="no channel 2 among 2"):
        through_pipe([wav(fmt(n_channels=2), data())], channel=2)
