"""Detection of audio formats that cannot be read here, by suffix or first bytes; phones record in some of them."""

from __future__ import annotations

import shlex
from pathlib import PurePath

# fmt: off
FOREIGN_SUFFIXES = frozenset({
    ".3ga", ".3gp", ".3gpp", ".3g2", ".aa3", ".aac", ".aax", ".ac3", ".adts", ".amr", ".ape", ".asf", ".avi", ".awb",
    ".dff", ".dsf", ".dts", ".dss", ".ds2", ".eac3", ".f4a", ".flv", ".gsm", ".m4a", ".m4b", ".m4p", ".m4r", ".m4v",
    ".mka", ".mkv", ".mov", ".mp4", ".mpc", ".mpeg", ".mpg", ".ogv", ".oma", ".qcp", ".qta", ".ra", ".ram", ".rm",
    ".spx", ".tak", ".tta", ".vob", ".weba", ".webm", ".wma", ".wmv", ".wv",
})
"""Suffixes of audio files that must be converted before they can be read."""
# fmt: on

_FOREIGN_SIGNATURES = (
    (4, b"ftyp"),  # MPEG-4 and QuickTime: m4a, 3gp, mov
    (4, b"moov"),
    (0, b"#!AMR"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),  # ASF: wma
    (0, b"\x1a\x45\xdf\xa3"),  # Matroska: webm, mka
    (0, b"MAC "),
    (0, b"wvpk"),
    (0, b"TTA1"),
    (0, b"MPCK"),
    (0, b"MP+"),
    (0, b"ADIF"),
    (0, b"DSD "),
    (0, b"FRM8"),
    (0, b"FLV\x01"),
    (0, b".RMF"),
    (0, b".ra\xfd"),
    (8, b"AVI "),
    (0, b"\x0b\x77"),  # AC-3
    (0, b"\x7f\xfe\x80\x01"),  # DTS
    (0, b"\x00\x00\x01\xba"),  # MPEG program stream
    (28, b"Speex   "),
)
_COMPRESSED_CAF = (b"aac ", b"aace", b"aach", b"aacl", b"aacp", b"ilbc", b"opus", b".mp3", b".mp2", b".mp1")
_CAF_FORMAT_BYTE = 28
"""Offset of the codec in a CAF file: after a file header of 8 bytes, a chunk header of 12, and the sample rate."""


def is_foreign(name: str, head: bytes) -> bool:
    """Return whether a file that could not be opened is audio in a format that must be converted.

    Args:
        name: name of the file.
        head: first bytes of the file.
    """
    # 12 sync bits and layer 0: AAC, because the layer of MPEG audio is 1 to 3.
    is_adts = head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xF6 == 0xF0
    is_signed = any(head[at : at + len(mark)] == mark for at, mark in _FOREIGN_SIGNATURES)
    codec = head[_CAF_FORMAT_BYTE : _CAF_FORMAT_BYTE + 4] if head.startswith(b"caff") else b""
    # Some of these formats have no signature: for them, the suffix decides.
    return is_adts or is_signed or codec in _COMPRESSED_CAF or PurePath(name).suffix.lower() in FOREIGN_SUFFIXES


def conversion_of(name: str) -> str:
    """Return the shell command that converts the file `name` to WAV."""
    source = PurePath(name)
    # FFmpeg must not write into the file that it reads.
    target = source.with_name(source.stem + ("_converted.wav" if source.suffix.lower() == ".wav" else ".wav"))
    return f"ffmpeg -i {shlex.quote(str(source))} {shlex.quote(str(target))}"
