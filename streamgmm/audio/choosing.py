"""The source that a URI names."""

from __future__ import annotations

from streamgmm.audio.known_device import KnownDevice
from streamgmm.audio.source import Source
from streamgmm.config import SourceSection
from streamgmm.errors import UsageError

_URIS = "mic, mic:NAME, mic:INDEX, file:PATH or pcm:-"


def make_source(section: SourceSection, known: KnownDevice | None = None) -> Source:
    """The source that the settings name, not yet opened.

    Args:
        section: the settings.
        known: what is known of the device from earlier sources, and learnt by this one.

    Raises:
        UsageError: there is no such kind of source.
    """
    scheme, separator, rest = section.uri.partition(":")
    if scheme == "mic" and (rest or not separator):
        return _microphone(rest, section, known)
    if scheme == "file" and rest:
        return _recording(rest, section)
    if scheme == "pcm" and rest == "-":
        return _pcm_pipe(section)
    raise UsageError("is not a source", where=section.uri, hint=f"use {_URIS}")


# Each imports what it needs when it is chosen: a daemon on a pipe needs no sound library.


def _microphone(device: str, section: SourceSection, known: KnownDevice | None) -> Source:
    from streamgmm.audio.microphone import Microphone

    is_index = device.isascii() and device.isdigit()
    return Microphone(int(device) if is_index else device or None, channel=section.channel, known=known)


def _recording(path: str, section: SourceSection) -> Source:
    from streamgmm.audio.file import RecordingFile

    return RecordingFile(path, channel=section.channel, pace=section.pace)


def _pcm_pipe(section: SourceSection) -> Source:
    from streamgmm.audio.pcm import PcmPipe

    return PcmPipe(
        pcm_format=section.pcm_format,
        rate_hz=section.pcm_rate_hz,
        n_channels=section.pcm_n_channels,
        channel=section.channel,
    )
