"""Parts of a recording: split a file into parts to decode in order, and report damage.

Decoders trust lengths in headers that were guessed or never written, and stop at the end of the first of several
concatenated recordings. So the containers are parsed here, and a decoder gets parts whose headers are correct.
"""

from __future__ import annotations

from typing import NamedTuple

from streamgmm.audio.formats import iff, mpeg, ogg
from streamgmm.audio.formats.payload import Extent, Payload, extent_of, part_of
from streamgmm.audio.formats.riff import read_wave
from streamgmm.audio.formats.view import FileBytes, Part

MAX_PARTS = 10_000
"""Largest number of parts that are read, because a crafted file may consist of headers only."""

_FLAC_START = b"fLaC\x00\x00\x00\x22"
"""First bytes of a FLAC file: its name, and the header of the STREAMINFO block."""


class Refusal(NamedTuple):
    """Reason why a recording of a known format cannot be read.

    Attributes:
        what: description of the problem.
        hint: advice for the user.
    """

    what: str
    hint: str


class Parts(NamedTuple):
    """Parts of a recording.

    Attributes:
        parts: parts in order, at least one.
        warnings: descriptions of what is wrong.
        is_judged: True if the lengths in its header were checked here, so that those of the decoder are ignored.
        refusal: reason why it cannot be read; None if none was found.
    """

    parts: list[Part]
    warnings: list[str]
    is_judged: bool = True
    refusal: Refusal | None = None


def find_parts(file: FileBytes) -> Parts:
    """Find the parts of a recording of any format.

    Raises:
        OSError: the file cannot be read.
    """
    found = Parts([], [])
    start = 0
    while start < file.size and len(found.parts) < MAX_PARTS:
        more = _parts_at(file, start)
        if start and not more.is_judged:
            break  # what follows a known container and is not another one is not decoded
        found.parts.extend(more.parts)
        found.warnings.extend(warning for warning in more.warnings if warning not in found.warnings)
        # Only the first container can be a reason for refusal: later ones are left out with a warning.
        found = found._replace(is_judged=more.is_judged, refusal=found.refusal if start else more.refusal)
        start = more.parts[-1].stop if more.parts else file.size
    return found


def _parts_at(file: FileBytes, offset: int) -> Parts:
    """Return the parts of the container that begins at `offset`; an unknown container is left to the decoder."""
    start = mpeg.skip_id3(file, offset)
    magic = file.at(start, 12)
    if magic[:4] == b"OggS":
        return _ogg_parts(file, start)
    if magic[:4] == b"fLaC":
        # FLAC has no length of the whole file: look for the beginning of the next one.
        stop = file.find(_FLAC_START, start + len(_FLAC_START), file.size)
        return Parts([Part(start, stop)], [])
    payload = _part_payload(file, start, magic)
    if payload is not None:
        return _container_parts(file, start, payload, extent_of(payload, file))
    # Four letters or digits begin some unknown container, whose content may look like MP3.
    first = None if magic[:4].isalnum() else mpeg.first_frame(file, start)
    streams = None if first is None else mpeg.find_streams(file, first, file.size)
    # Frames by themselves, as in MP3 files, which have no header of a container.
    if streams and streams.parts:
        return Parts(*streams)
    return Parts([Part(offset, file.size)], [], is_judged=False)


def _part_payload(file: FileBytes, start: int, magic: bytes) -> Payload | None:
    if magic[:4] == b".snd":
        return iff.read_au(file, start)
    if magic[:4] == b"FORM" and magic[8:] in (b"AIFF", b"AIFC"):
        return iff.read_aiff(file, start)
    if magic[:4] == b"caff":
        return iff.read_caf(file, start)
    wave = read_wave(file, start)
    return wave and wave.payload


def _container_parts(file: FileBytes, start: int, payload: Payload, extent: Extent) -> Parts:
    warnings = [extent.warning] if extent.warning else []
    if payload.is_mpeg:
        streams = mpeg.find_streams(file, payload.start, payload.start + extent.n_bytes)
        # Without frames, the decoder gets the container itself, and reports what is wrong with it.
        if streams.parts:
            return Parts(streams.parts, [*warnings, *streams.warnings])
    return Parts([part_of(payload, start, extent)], warnings)


def _ogg_parts(file: FileBytes, start: int) -> Parts:
    links = ogg.find_links(file, start)
    refusal = Refusal("holds FLAC in Ogg, which cannot be read", "ffmpeg -i X.oga -c:a copy X.flac")
    return Parts(links.parts or [Part(start, file.size)], links.warnings, refusal=refusal if links.is_flac else None)
