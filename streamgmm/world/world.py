"""Read the sounds of the world: 1.5 s at most each, mono, with their kind and the recording that they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from streamgmm.arrays import Samples
from streamgmm.audio.reading import checked_blocks, open_whole_recording
from streamgmm.errors import DataError

SHIPPED = Path(__file__).parent

HINT = "install streamgmm again"


class SoundEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Entry of one sound in `world.json`.

    Attributes:
        id: identifier, unique in the file.
        kind: what it is, e.g. `doorbell`.
        start_sample: index of its first sample in `world.ogg`.
        n_samples: length in samples.
        source_id: recording that it was cut from; sounds of one recording are never divided between training and test.
        package: Debian package that holds the recording.
        file: path of the recording in the package.
        author: author to credit.
        licence: SPDX identifier of the licence.
        url: address of the recording or the package.
        rate_hz: sample rate of the recording (Hz); nothing above half of it is to be heard.
        gain_db: amplification (dB).
    """

    id: str
    kind: str
    start_sample: int
    n_samples: int
    source_id: str
    package: str
    file: str
    author: str
    licence: str
    url: str
    rate_hz: int
    gain_db: float


class WorldIndex(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Content of `world.json`.

    Attributes:
        sha256: hash of `world.ogg`, in hexadecimal.
        rate_hz: sample rate of `world.ogg` (Hz).
        sounds: all sounds, in their order.
    """

    sha256: str
    rate_hz: int
    sounds: tuple[SoundEntry, ...]


class WorldSound(NamedTuple):
    """A sound: its entry, and its samples, float32, shape (n,), full scale 1.0."""

    entry: SoundEntry
    samples: Samples


class World(NamedTuple):
    """All sounds, and their sample rate (Hz)."""

    rate_hz: int
    sounds: list[WorldSound]


def read_index(folder: Path = SHIPPED) -> WorldIndex:
    """Return the index of the world in `folder`.

    Raises:
        DataError: the file is missing, or is no index.
    """
    path = folder / "world.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=WorldIndex)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise DataError(f"the sounds of the world cannot be read: {error}", where=str(path), hint=HINT) from error


def read_world(folder: Path = SHIPPED, kinds: Collection[str] | None = None) -> World:
    """Return the sounds of the world in `folder`; decoding takes about half a second.

    Args:
        folder: holds `world.json` and `world.ogg`.
        kinds: of the sounds to return; None for all, which take 84 MB.

    Raises:
        DataError: a file is missing or damaged, or the audio is not that of the index.
    """
    index, path = read_index(folder), folder / "world.ogg"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"the sounds of the world cannot be read: {error}", where=str(path), hint=HINT) from error
    # With the audio of another build, the index would cut at the wrong places without an error.
    if hashlib.sha256(content).hexdigest() != index.sha256:
        raise DataError("the sounds of the world are not those of their index", where=str(path), hint=HINT)
    with open_whole_recording(path) as reader:
        cut = _cut_sounds(checked_blocks(reader), index.sounds)
        return World(index.rate_hz, [sound for sound in cut if kinds is None or sound.entry.kind in kinds])


def _cut_sounds(blocks: Iterator[Samples], entries: Iterable[SoundEntry]) -> Iterator[WorldSound]:
    """Yield the sounds while the recording is decoded: all of it takes five times the memory of those that last."""
    held: list[Samples] = []
    n_read = 0
    for entry in entries:
        end = entry.start_sample + entry.n_samples
        while n_read < end and (block := next(blocks, None)) is not None:
            held.append(block)
            n_read += len(block)
        samples = np.concatenate(held)
        first = n_read - len(samples)
        yield WorldSound(entry, samples[entry.start_sample - first : end - first].copy())
        # Sounds are in the order of the recording, so the next one begins in the last block or later.
        held = held[-1:]
