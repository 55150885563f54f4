"""The file layout of models and training caches: safetensors with one canonical header.

A file holds the length of the header (8 bytes, little-endian), the header (a JSON object with dtype, shape and data
offsets of each array, and `__metadata__` with strings), and the arrays back to back. Any safetensors reader opens it:
https://huggingface.co/docs/safetensors, section "Format".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np

from streamgmm.arrays import AnyArray

LENGTH_BYTES = 8
ALIGNMENT_BYTES = 8
DTYPES = {name: np.dtype(code) for name, code in (("F64", "<f8"), ("I32", "<i4"), ("F16", "<f2"), ("U8", "u1"))}
"""Types of arrays by their names in the format, little-endian on every machine."""

Shapes = Mapping[str, tuple[str, tuple[int, ...]]]
"""Dtype and shape of each array, in the order of the file."""


class Tensor(NamedTuple):
    """One array of a file: dtype (a key of `DTYPES`), shape, and place in the data (bytes)."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    def entry(self) -> dict[str, Any]:
        """Return the entry of the array in the header."""
        return {"data_offsets": [self.begin, self.end], "dtype": self.dtype, "shape": list(self.shape)}


def lay_out(shapes: Shapes) -> dict[str, Tensor]:
    """Return every array with its place, back to back."""
    placed: dict[str, Tensor] = {}
    begin = 0
    # Without gaps, as the safetensors format requires.
    for name, (dtype, shape) in shapes.items():
        end = begin + math.prod(shape) * DTYPES[dtype].itemsize
        placed[name] = Tensor(dtype, shape, begin, end)
        begin = end
    return placed


def end_of(tensors: Mapping[str, Tensor]) -> int:
    """Return the length of all arrays together (bytes)."""
    return max(tensor.end for tensor in tensors.values())


def array_bytes(arrays: Mapping[str, AnyArray], tensors: Mapping[str, Tensor], header: bytes = b"") -> bytes:
    """Return `header` and the bytes of all arrays, in the order and with the dtypes of `tensors`."""
    # Joined as they are, since `tobytes` would copy each once more.
    parts = (np.ascontiguousarray(arrays[name], DTYPES[tensor.dtype]) for name, tensor in tensors.items())
    return b"".join([header, *(part.data for part in parts)])


def read_arrays(data: bytes, tensors: Mapping[str, Tensor], data_offset: int) -> dict[str, AnyArray]:
    """Return the arrays of a file whose first array is at `data_offset`, as views of `data`."""
    return {
        # Not writable, because `data` is immutable: arrays of a file cannot change unnoticed.
        name: np.frombuffer(data, DTYPES[tensor.dtype], math.prod(tensor.shape), data_offset + tensor.begin).reshape(
            tensor.shape
        )
        for name, tensor in tensors.items()
    }


def header_bytes(metadata: Any, tensors: Mapping[str, Tensor]) -> bytes:
    """Return the bytes of the file before its arrays.

    Args:
        metadata: mapping or struct of strings.
        tensors: all arrays of the file, by name.
    """
    header = canonical_json({"__metadata__": metadata, **{name: tensor.entry() for name, tensor in tensors.items()}})
    # Padded with spaces, which JSON ignores, so that the arrays are aligned in memory.
    header += b" " * (-len(header) % ALIGNMENT_BYTES)
    return len(header).to_bytes(LENGTH_BYTES, "little") + header


def canonical_json(value: Any) -> bytes:
    """Return the canonical JSON text of `value`: sorted keys, no spaces, UTF-8; non-finite numbers become null."""
    # Canonical, because the content hash covers the text: equal models must give equal files.
    return msgspec.json.encode(value, order="sorted")
