"""Source kinds: parse the URI of a source and plan the source, without opening anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from streamgmm.audio.source import Source
from streamgmm.audio.streams.credentials import read_credentials
from streamgmm.audio.streams.pcm_server import Address, PcmServer, parse_tcp, parse_unix
from streamgmm.audio.streams.url import Url, name_of, parse_place, parse_url, without_secrets
from streamgmm.errors import UsageError
from streamgmm.settings.source import SourceSection
from streamgmm.wording import did_you_mean, escaped


def _release_nothing() -> None:
    """Do nothing; most plans keep nothing open between two sources."""


class PlannedSource(NamedTuple):
    """Plan of the source that the settings configure.

    Attributes:
        name: name of the source in records.
        is_live: True if sound keeps coming while no thread reads (see `Source`).
        is_device: True for a device that may be missing at the start and is then waited for.
        make: makes a new source, not yet opened; called again whenever a live source fails.
        close: releases what is kept between two sources, e.g. a listening socket; called once at the end, after the
            last source was closed.
        is_named: whether the settings name it, so that others may come beside it.
        pace: seconds of sound that a live source delivers in a second: 1, but for a recording that is played otherwise.
    """

    name: str
    is_live: bool
    is_device: bool
    make: Callable[[], Source]
    close: Callable[[], None] = _release_nothing
    is_named: bool = False
    pace: float = 1.0


class SourceKind(NamedTuple):
    """Kind of source, identified by the scheme of its URIs.

    Attributes:
        forms: forms of its URIs, for messages.
        plan: makes a plan from the URI after its scheme and from the settings; None if the URI is not of this kind.
    """

    forms: tuple[str, ...]
    plan: Callable[[str, SourceSection], PlannedSource | None]


def plan_source(section: SourceSection, name: str = "") -> PlannedSource:
    """Plan the source that the settings configure.

    Args:
        section: settings of the source.
        name: name of the source in records; empty for the default of its kind, e.g. `mic:USB`.

    Raises:
        UsageError: the URI is of no known kind of source.
    """
    scheme, _, rest = section.uri.partition(":")
    # `mic` is complete without a colon, but after `mic:` the name was forgotten.
    kind = KINDS.get(scheme)
    planned = kind.plan(rest, section) if kind is not None and section.uri != f"{scheme}:" else None
    if planned is None:
        *forms, last = (form for kind in KINDS.values() for form in kind.forms)
        hint = f"{_suggest(section.uri)} use {', '.join(forms)} or {last}".strip()
        raise UsageError("is not a source", where=without_secrets(section.uri), hint=hint)
    return planned._replace(name=name, is_named=True) if name else planned


def _suggest(uri: str) -> str:
    """Return a suggestion for a URI of no known kind; empty if no known kind is similar."""
    scheme = uri.partition(":")[0]
    if scheme in KINDS:
        return ""
    if scheme in ("tcp", "unix"):
        return f"did you mean {KINDS[f'pcm+{scheme}'].forms[0]}?"
    # The URL is shown redacted, because it may contain a password.
    if scheme in _STREAM_SCHEMES:
        return f"did you mean ffmpeg:{parse_url(uri) or 'URL'}?"
    return did_you_mean(scheme, KINDS)


# Each kind imports its own modules only if it is used: a daemon that reads a pipe needs no sound library.


def _plan_microphone(rest: str, section: SourceSection) -> PlannedSource:
    # `isdigit` alone accepts digits such as superscripts, which `int` rejects.
    device = int(rest) if rest.isascii() and rest.isdigit() else rest or None
    # Now, so that the interface is opened with the channels of all sources that share it.
    from streamgmm.audio.microphone.interface import shared_interface

    # `make` keeps both alive: the table of interfaces and the interface refer to them only weakly.
    interface = shared_interface(device)
    wish = interface.want(section.channel)

    def make() -> Source:
        from streamgmm.audio.microphone.microphone import InterfaceChannel

        return InterfaceChannel(interface, wish.channel)

    return PlannedSource(f"mic:{device}" if rest else "mic", is_live=True, is_device=True, make=make)


def _plan_recording(rest: str, section: SourceSection) -> PlannedSource | None:
    def make() -> Source:
        from streamgmm.audio.file import RecordingFile

        return RecordingFile(rest, channel=section.channel, pace=section.pace)

    name = f"file:{escaped(rest)}"
    planned = PlannedSource(name, is_live=section.pace > 0, is_device=False, make=make, pace=section.pace or 1.0)
    return planned if rest else None


def _plan_pipe(rest: str, section: SourceSection) -> PlannedSource | None:
    def make() -> Source:
        from streamgmm.audio.streams.pcm import PcmPipe

        return PcmPipe(
            pcm_format=section.pcm_format,
            rate_hz=section.pcm_rate_hz,
            n_channels=section.pcm_n_channels,
            channel=section.channel,
        )

    return PlannedSource("pcm:-", is_live=False, is_device=False, make=make) if rest == "-" else None


def _plan_ffmpeg(rest: str, section: SourceSection) -> PlannedSource | None:
    if not rest:
        return None
    place = parse_place(rest)
    if section.secret_file:
        read_credentials(Path(section.secret_file))  # to report a mistake before anything starts

    def make() -> Source:
        from streamgmm.audio.streams.ffmpeg import FfmpegSource

        secret_file, timeout_s = section.secret_file, section.stall_timeout_s
        return FfmpegSource(place, channel=section.channel, secret_file=secret_file, timeout_s=timeout_s)

    is_stream = isinstance(place, Url)
    return PlannedSource(name_of(place), is_live=is_stream, is_device=is_stream, make=make)


def _plan_tcp_writer(rest: str, section: SourceSection) -> PlannedSource | None:
    return _plan_writer(parse_tcp(rest, section.uri), section)


def _plan_unix_writer(rest: str, section: SourceSection) -> PlannedSource | None:
    return _plan_writer(parse_unix(rest, section.uri), section)


def _plan_writer(address: Address | None, section: SourceSection) -> PlannedSource | None:
    if address is None:
        return None
    # One server for all sources of the plan: it keeps listening while a source is replaced.
    server = PcmServer(section.uri, address)

    def make() -> Source:
        from streamgmm.audio.streams.pcm_socket import PcmSocket

        return PcmSocket(server, channel=section.channel, timeout_s=section.stall_timeout_s)

    return PlannedSource(server.name, is_live=True, is_device=True, make=make, close=server.close)


_STREAM_SCHEMES = ("http", "https", "rtsp", "rtsps", "rtmp", "rtmps", "rtp", "srt", "mms", "ftp", "udp")

KINDS: dict[str, SourceKind] = {
    "mic": SourceKind(("mic", "mic:NAME", "mic:INDEX"), _plan_microphone),
    "file": SourceKind(("file:PATH",), _plan_recording),
    "pcm": SourceKind(("pcm:-",), _plan_pipe),
    "ffmpeg": SourceKind(("ffmpeg:URL",), _plan_ffmpeg),
    "pcm+tcp": SourceKind(("pcm+tcp://127.0.0.1:PORT",), _plan_tcp_writer),
    "pcm+unix": SourceKind(("pcm+unix://PATH",), _plan_unix_writer),
}
"""Kinds of sources by URI scheme; to add a kind, add a module and an entry here."""
