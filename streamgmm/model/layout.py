"""The layout that the files of a model and of its memory share: safetensors, with one canonical header.

8 bytes with the length of the header (little-endian), the header (a JSON object: dtype, shape and data offsets of each
array, and a `__metadata__` of strings), the arrays back to back. Any safetensors reader opens it:
https://huggingface.co/docs/safetensors, section "Format".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

LENGTH_BYTES = 8
ALIGNMENT_BYTES = 8
ITEM_BYTES = {"F64": 8, "I32": 4, "F16": 2, "U8": 1}

Shapes = Mapping[str, tuple[str, tuple[int, ...]]]
"""Dtype and shape of each array, in the order of the file."""


class Tensor(NamedTuple):
    """One array of a file: dtype (a key of `ITEM_BYTES`), shape, and place in the data (bytes)."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    def entry(self) -> dict[str, Any]:
        """Its line in the header."""
        return {"data_offsets": [self.begin, self.end], "dtype": self.dtype, "shape": list(self.shape)}


def lay_out(shapes: Shapes) -> dict[str, Tensor]:
    """Every array with its place, back to back."""
    placed: dict[str, Tensor] = {}
    begin = 0
    for name, (dtype, shape) in shapes.items():
        end = begin + math.prod(shape) * ITEM_BYTES[dtype]
        placed[name] = Tensor(dtype, shape, begin, end)
        begin = end
    return placed


def header_bytes(metadata: Any, tensors: Mapping[str, Tensor]) -> bytes:
    """The file up to its arrays.

    Args:
        metadata: a mapping or struct of strings.
        tensors: all arrays.
    """
    header = canonical_json({"__metadata__": metadata, **{name: tensor.entry() for name, tensor in tensors.items()}})
    header += b" " * (-len(header) % ALIGNMENT_BYTES)
    return len(header).to_bytes(LENGTH_BYTES, "little") + header


def canonical_json(value: Any) -> bytes:
    """The one JSON text of `value`: sorted keys, no spaces, UTF-8; a number that is not finite becomes null."""
    return msgspec.json.encode(value, order="sorted")
