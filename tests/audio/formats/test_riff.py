import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgmm.audio.formats.riff import find_zero_field
from streamgmm.audio.formats.view import FileBytes


class Memory(FileBytes):
    """The bytes of a file that need no file."""

    def __init__(self, data):
        self.data, self.size = data, len(data)

    def at(self, offset, n_bytes):
        return self.data[offset : offset + n_bytes]


def header(coding=1, n_channels=1, rate_hz=16000, n_align_bytes=2, n_bits=16, before=b"", magic=b"RIFF"):
    chunk = struct.pack("<4sIHHIIHH", b"fmt ", 16, coding, n_channels, rate_hz, 32000, n_align_bytes, n_bits)
    return magic + struct.pack("<I", 1000) + b"WAVE" + before + chunk + struct.pack("<4sI", b"data", 900)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({}, None),
        ({"magic": b"RF64"}, None),
        ({"n_channels": 0}, "nChannels"),
        ({"rate_hz": 0}, "nSamplesPerSec"),
        ({"n_align_bytes": 0}, "nBlockAlign"),
        ({"n_bits": 0}, "wBitsPerSample"),
        ({"n_bits": 0, "coding": 0x31}, None),  # GSM 6.10 has no whole number of bits
        ({"n_channels": 0, "before": b"JUNK\x03\x00\x00\x00abc\x00"}, "nChannels"),  # odd chunks are padded
        ({"n_channels": 0, "magic": b"FORM"}, None),
    ],
)
def test_B4_names_the_field_that_is_zero(changes, field):
    assert find_zero_field(Memory(header(**changes))) == field


@given(st.binary(max_size=100), st.integers(0, 60))
def test_any_bytes_are_looked_at_safely(tail, n_bytes):
    find_zero_field(Memory(header()[:n_bytes] + tail))
    find_zero_field(Memory(tail))
