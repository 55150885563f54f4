from __future__ import annotations

from pathlib import Path

import pytest

from streamgmm.audio.formats.foreign import conversion_of
from streamgmm.audio.reading import RecordingError, read_recording

HEADS = {
    "m4a": b"\0\0\0\x20ftypM4A \0\0\0\0",
    "3gp": b"\0\0\0\x18ftyp3gp4\0\0\0\0",
    "mov": b"\0\0\0\x14ftypqt  \0\0\0\0",
    "wma": b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9",
    "amr": b"#!AMR\n\x3c\x91\x17\x16",
    "webm": b"\x1a\x45\xdf\xa3\x01\0\0\0",
    "adts": b"\xff\xf1\x60\x40\x1b\x7f\xfc",
    "ape": b"MAC \x96\x0f\0\0",
    "wv": b"wvpk\x18\0\0\0",
    "ac3": b"\x0b\x77\x5d\x3c",
    "caf": b"caff\0\1\0\0desc\0\0\0\0\0\0\0\x20\x40\xe5\x88\x80\0\0\0\0aac \0\0\0\0",
}


def refusal(path: Path) -> RecordingError:
    with pytest.raises(RecordingError) as caught:
        read_recording(path)
    return caught.value


@pytest.mark.parametrize("kind", sorted(HEADS))
@pytest.mark.parametrize("suffix", ["wav", "own"])
def test_a_format_of_other_programs_is_told_by_its_content(tmp_path: Path, kind: str, suffix: str) -> None:
    path = tmp_path / f"a.{kind if suffix == 'own' else suffix}"
    path.write_bytes(HEADS[kind] + bytes(range(1, 200)) * 9)
    error = refusal(path)
    assert error.reason == "unsupported"
    assert error.hint == f"convert it: {conversion_of(str(path))}"


@pytest.mark.parametrize("content", [b"hello, world\n" * 9, b"\x89PNG\r\n\x1a\n" + bytes(100), b"\x7fELF" + bytes(99)])
def test_what_is_no_sound_is_not_to_be_converted(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    assert refusal(tmp_path / "a.wav").reason == "not_audio"


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("a.m4a", "ffmpeg -i a.m4a a.wav"),
        ("my dog/a.m4a", "ffmpeg -i 'my dog/a.m4a' 'my dog/a.wav'"),
        ("a.wav", "ffmpeg -i a.wav a_converted.wav"),
        ("$(x).AMR", "ffmpeg -i '$(x).AMR' '$(x).wav'"),
        ("Tür.3gp", "ffmpeg -i 'Tür.3gp' 'Tür.wav'"),
    ],
)
def test_the_command_is_fit_for_a_shell(name: str, command: str) -> None:
    assert conversion_of(name) == command
