"""All of a recording is heard, whatever its header or the decoder says of its length."""

import io
import struct

import numpy as np
import pytest
import soundfile

from streamgmm.audio.reading import RecordingError, measure_s, open_recording, read_recording
from tests.audio.making import RATE_HZ, decoded, encode, sweep, wav

CODES = np.random.default_rng(2).integers(-32768, 32768, 40_000).astype(np.int16)
SAMPLES = CODES / np.float32(32768)
LIST = b"LIST" + struct.pack("<I", 26) + b"INFOISFT" + struct.pack("<I", 14) + b"Lavf59.27.100\0"
BEXT = b"bext" + struct.pack("<I", 602) + bytes(602)
JUNK = b"JUNK" + struct.pack("<I", 4044) + bytes(4044)


@pytest.fixture
def save(tmp_path):
    def save_as(data, name="a.wav"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return save_as


def encoded(file_format, subtype="PCM_16", samples=CODES):
    file = io.BytesIO()
    soundfile.write(file, samples, RATE_HZ, format=file_format, subtype=subtype)
    return file.getvalue()


def overwritten(data, *places):
    data = bytearray(data)
    for offset, replacement in places:
        data[offset : offset + len(replacement)] = replacement
    return bytes(data)


def is_whole(recording):
    return recording.samples.tobytes() == SAMPLES.tobytes()


# MP3: a decoder guesses where no header says.


@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("xing", ["0", "1"])
@pytest.mark.parametrize("coding", [["-b:a", "64k"], ["-abr", "1", "-b:a", "56k"], ["-q:a", "5"]])
@pytest.mark.parametrize("rate_hz", [16000, 44100])
def test_B28_all_of_an_mp3_is_heard(tmp_path, coding, xing, n_channels, rate_hz):
    options = [*coding, "-c:a", "libmp3lame", "-write_xing", xing]
    data = encode(tmp_path, sweep(12, rate_hz, n_channels), options, "mp3", rate_hz=rate_hz)
    path = tmp_path / "a.mp3"
    path.write_bytes(data)
    recording = read_recording(path, channel=0)
    expected = decoded(path)
    assert recording.samples.size == pytest.approx(expected.size, abs=0.1 * rate_hz)
    n = min(recording.samples.size, expected.size)
    np.testing.assert_allclose(recording.samples[:n], expected[:n], atol=1e-4)
    assert recording.warnings == ()
    assert measure_s(path) == pytest.approx(expected.size / rate_hz, abs=0.1)


@pytest.mark.parametrize(
    "options",
    [
        ["-id3v2_version", "3", "-metadata", "title=door", "-write_id3v1", "1"],
        ["-id3v2_version", "0"],
        ["-ar", "8000", "-b:a", "8k"],
        ["-ar", "48000"],
        ["-f", "wav"],
        ["-f", "mp2", "-c:a", "mp2", "-ar", "44100"],
    ],
    ids=["tags", "no tags", "8 kHz", "48 kHz", "in WAV", "layer 2"],
)
def test_B28_all_of_an_mp3_of_a_pipe_is_heard(tmp_path, options):
    data = encode(tmp_path, sweep(10), ["-c:a", "libmp3lame", "-q:a", "5", "-f", "mp3", *options], "mp3", to_pipe=True)
    path = tmp_path / "a.mp3"
    path.write_bytes(data)
    with open_recording(path) as reader:
        heard_s = sum(block.size for block in reader) / reader.sample_rate_hz
    assert heard_s == pytest.approx(decoded(path).size / reader.sample_rate_hz, abs=0.1)
    assert reader.warnings == []
    assert reader.claimed_s == pytest.approx(heard_s, abs=0.1)


@pytest.mark.parametrize("xing", ["0", "1"])
@pytest.mark.parametrize("share", [0.3, 0.71])
def test_mp3_that_is_cut_off_is_heard_to_its_end_with_a_warning(tmp_path, save, xing, share):
    data = encode(tmp_path, sweep(12), ["-q:a", "5", "-write_xing", xing], "mp3")
    path = save(data[: int(share * len(data))], "a.mp3")
    recording = read_recording(path)
    assert recording.samples.size == pytest.approx(decoded(path).size, abs=0.1 * RATE_HZ)
    assert "truncated" in recording.warnings[0]


@pytest.mark.parametrize("start", [1, 700, 2000])
def test_mp3_that_begins_in_the_midst_of_a_frame_is_heard(tmp_path, save, start):
    data = encode(tmp_path, sweep(12), ["-q:a", "5", "-write_xing", "0", "-id3v2_version", "0"], "mp3")
    path = save(data[start:], "a.mp3")
    assert read_recording(path).samples.size == pytest.approx(decoded(path).size, abs=0.15 * RATE_HZ)


@pytest.mark.parametrize("n_bytes", [1, 40, 3000])
def test_mp3_with_damage_in_the_midst_is_heard_on_both_sides(tmp_path, save, n_bytes):
    data = encode(tmp_path, sweep(12), ["-q:a", "5", "-write_xing", "0"], "mp3")
    middle = data.index(b"\xff", len(data) // 2)
    path = save(overwritten(data, (middle, bytes(n_bytes))), "a.mp3")
    assert read_recording(path).samples.size == pytest.approx(12 * RATE_HZ, abs=1.0 * RATE_HZ)


# "Unknown" is no number.

UNKNOWN = {
    "wav ffffffff": wav(CODES, riff_bytes=0xFFFFFFFF, data_bytes=0xFFFFFFFF),
    "wav 7fffffff": wav(CODES, riff_bytes=0x7FFFFFFF, data_bytes=0x7FFFFFFF),
    "wav 7ffff000": wav(CODES, riff_bytes=0x7FFFF024, data_bytes=0x7FFFF000),
    "wav 80000000": wav(CODES, riff_bytes=0x80000024, data_bytes=0x80000000),
    "wav list": wav(CODES, riff_bytes=0xFFFFFFFF, data_bytes=0xFFFFFFFF, before=LIST),
    "au ffffffff": overwritten(encoded("AU"), (8, b"\xff" * 4)),
    "au 7fffffff": overwritten(encoded("AU"), (8, b"\x7f\xff\xff\xff")),
}


def chunk_at(data, name):
    return data.index(name) + len(name)


UNKNOWN |= {
    "aiff": overwritten(encoded("AIFF"), (4, b"\xff" * 4), (chunk_at(encoded("AIFF"), b"SSND"), b"\xff" * 4)),
    "caf": overwritten(encoded("CAF"), (chunk_at(encoded("CAF"), b"data"), b"\xff" * 8)),
    "rf64": overwritten(encoded("RF64"), (20, b"\xff" * 24)),
    "w64": overwritten(encoded("W64"), (chunk_at(encoded("W64"), b"data") + 12, b"\xff" * 7 + b"\x7f")),
    "flac": overwritten(encoded("FLAC"), (21, bytes([encoded("FLAC")[21] & 0xF0]) + bytes(4))),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_B29_an_unknown_length_means_until_the_end(save, name):
    path = save(UNKNOWN[name])
    recording = read_recording(path)
    assert is_whole(recording)
    assert recording.warnings == ()
    assert measure_s(path) == pytest.approx(CODES.size / RATE_HZ)


# Files that were never closed.

UNCLOSED = {
    "wav": wav(CODES, riff_bytes=0, data_bytes=0),
    "wav 36": wav(CODES, riff_bytes=36, data_bytes=0),
    "wav junk": wav(CODES, riff_bytes=4088, data_bytes=0, before=JUNK),
    "wav list": wav(CODES, riff_bytes=0, data_bytes=0, before=LIST),
    "wav bext": wav(CODES, riff_bytes=0, data_bytes=0, before=BEXT),
    "wav stale": wav(CODES, riff_bytes=36 + 8000, data_bytes=8000),
    "wav stale odd": wav(CODES, riff_bytes=36 + 8001, data_bytes=8001),
    "au": overwritten(encoded("AU"), (8, bytes(4))),
    "au stale": overwritten(encoded("AU"), (8, struct.pack(">I", 8000))),
    "aiff": overwritten(
        encoded("AIFF"),
        (4, bytes(4)),
        (chunk_at(encoded("AIFF"), b"COMM") + 6, bytes(4)),
        (chunk_at(encoded("AIFF"), b"SSND"), bytes(4)),
    ),
    "aiff 8": overwritten(encoded("AIFF"), (chunk_at(encoded("AIFF"), b"SSND"), struct.pack(">I", 8))),
    "rf64": overwritten(encoded("RF64"), (20, bytes(24))),
    "caf": overwritten(encoded("CAF"), (chunk_at(encoded("CAF"), b"data"), bytes(8))),
    "w64": overwritten(encoded("W64"), (chunk_at(encoded("W64"), b"data") + 12, struct.pack("<q", 24))),
}


@pytest.mark.parametrize("name", UNCLOSED)
def test_B30_a_recording_that_was_never_closed_is_used_with_a_warning(save, name):
    path = save(UNCLOSED[name])
    recording = read_recording(path)
    assert is_whole(recording)
    assert len(recording.warnings) == 1
    assert "never closed" in recording.warnings[0]
    assert measure_s(path) == pytest.approx(CODES.size / RATE_HZ)


@pytest.mark.parametrize("file_format", ["WAV", "AU", "AIFF", "RF64", "CAF", "W64"])
def test_a_header_alone_holds_no_samples(save, file_format):
    with pytest.raises(RecordingError) as caught:
        read_recording(save(encoded(file_format, samples=CODES[:0])))
    assert caught.value.reason == "empty"


def test_an_empty_recording_with_notes_after_it_holds_no_samples(save):
    with pytest.raises(RecordingError, match="holds no samples"):
        read_recording(save(wav([], after=LIST)))


@pytest.mark.parametrize(
    ("after", "n_warnings"),
    [
        (LIST, 0),
        (LIST + BEXT, 0),
        (bytes(512), 0),
        (b"TAG" + b"door".ljust(125), 0),
        (b"ID3\3\0\0\0\0\1\0" + bytes(128), 0),
        (b"\xf0\x9f" * 40, 1),
    ],
    ids=["list", "two chunks", "padding", "id3v1", "id3v2", "rubbish"],
)
def test_what_follows_the_samples_is_not_heard_as_sound(save, after, n_warnings):
    recording = read_recording(save(wav(CODES, after=after)))
    assert is_whole(recording)
    assert len(recording.warnings) == n_warnings


# Only the chunk of samples says how long the sound is.


@pytest.mark.parametrize(
    "lies",
    [
        {"byte_rate": 176400},
        {"byte_rate": 1},
        {"align": 4},
        {"align": 1},
        {"riff_bytes": 0x7FFFFFFF},
        {"riff_bytes": 0},
        {"riff_bytes": 36},
        {"riff_bytes": 0xFFFFFFFF},
        {"riff_bytes": 1_000_000},
        {"before": b"fact" + struct.pack("<II", 4, 10**9)},
        {"before": b"fact" + struct.pack("<II", 4, 5)},
    ],
    ids=str,
)
def test_B31_other_fields_are_not_taken_for_the_length(save, lies):
    recording = read_recording(save(wav(CODES, **lies)))
    assert is_whole(recording)
    assert recording.warnings == ()


@pytest.mark.parametrize(
    "options",
    [
        ["-c:a", "adpcm_ms"],
        ["-c:a", "adpcm_ima_wav"],
        ["-c:a", "adpcm_ima_wav", "-ac", "2"],
        ["-c:a", "pcm_mulaw"],
        ["-c:a", "pcm_alaw"],
        ["-c:a", "libmp3lame"],
        ["-c:a", "pcm_f64le"],
    ],
    ids=lambda options: " ".join(options[1:]),
)
@pytest.mark.parametrize("to_pipe", [False, True])
def test_B31_a_coded_wav_is_whole(tmp_path, save, options, to_pipe):
    path = save(encode(tmp_path, sweep(5), [*options, "-f", "wav"], "wav", to_pipe=to_pipe))
    recording = read_recording(path)
    assert recording.samples.size == pytest.approx(decoded(path).size, abs=0.1 * RATE_HZ)
    assert recording.warnings == ()


@pytest.mark.parametrize("subtype", ["ULAW", "IMA_ADPCM", "MS_ADPCM", "GSM610", "FLOAT"])
def test_B2_coded_wav_that_is_cut_off_is_used_with_a_warning(save, subtype):
    data = encoded("WAV", subtype, SAMPLES)
    recording = read_recording(save(data[: len(data) // 2]))
    assert recording.samples.size == pytest.approx(CODES.size / 2, rel=0.1)
    assert any("truncated" in warning for warning in recording.warnings)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_B2_B33_ogg_that_is_cut_off_is_used_with_a_warning(save, subtype):
    data = encoded("OGG", subtype, SAMPLES / 4)
    for end in (len(data) // 2, data.rindex(b"OggS")):  # in the midst of a page, and between two
        recording = read_recording(save(data[:end]))
        assert recording.samples.size
        assert "truncated" in recording.warnings[0]
    assert read_recording(save(data)).warnings == ()


@pytest.mark.parametrize("name", ["flac of unknown length", "flac"])
def test_B2_B33_flac_that_is_cut_off_is_used_with_a_warning(save, name):
    data = UNKNOWN["flac"] if "unknown" in name else encoded("FLAC")
    recording = read_recording(save(data[: len(data) // 2]))
    assert 0.3 * CODES.size < recording.samples.size < 0.6 * CODES.size
    assert "truncated" in recording.warnings[0]
