"""The kinds of sources: what a URI names, before anything of it is opened."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from streamgmm.audio.known_device import KnownDevice
from streamgmm.audio.source import Source
from streamgmm.config import SourceSection
from streamgmm.errors import UsageError
from streamgmm.wording import did_you_mean, escaped


class PlannedSource(NamedTuple):
    """A source that the settings name.

    Attributes:
        name: what records call it.
        is_live: whether the sound goes on when nobody reads (see `Source`).
        is_device: whether it is a device that may be missing at the start and is then waited for.
        make: make a fresh source, not yet opened; called again whenever a live one fails.
    """

    name: str
    is_live: bool
    is_device: bool
    make: Callable[[], Source]


class SourceKind(NamedTuple):
    """One kind of source.

    Attributes:
        forms: what its URIs look like, for messages.
        plan: make a plan from what follows the scheme and from the settings; None if that is no such URI.
    """

    forms: tuple[str, ...]
    plan: Callable[[str, SourceSection], PlannedSource | None]


def plan_source(section: SourceSection, name: str = "") -> PlannedSource:
    """Plan the source that the settings name.

    Args:
        section: the settings.
        name: what records call it; empty for the name of its own kind, e.g. `mic:USB`.

    Raises:
        UsageError: there is no such kind of source.
    """
    scheme, _, rest = section.uri.partition(":")
    kind = KINDS.get(scheme)
    planned = kind.plan(rest, section) if kind is not None and section.uri != f"{scheme}:" else None
    if planned is None:
        *forms, last = (form for kind in KINDS.values() for form in kind.forms)
        guess = "" if kind is not None else did_you_mean(scheme, KINDS)
        hint = f"{guess} use {', '.join(forms)} or {last}".strip()
        raise UsageError("is not a source", where=section.uri, hint=hint)
    return planned._replace(name=name) if name else planned


# Each kind imports what it needs when a source is made: a daemon on a pipe needs no sound library.


def _plan_microphone(rest: str, section: SourceSection) -> PlannedSource:
    device = int(rest) if rest.isascii() and rest.isdigit() else rest or None
    known = KnownDevice()

    def make() -> Source:
        from streamgmm.audio.microphone import Microphone

        return Microphone(device, channel=section.channel, known=known)

    return PlannedSource(f"mic:{device}" if rest else "mic", is_live=True, is_device=True, make=make)


def _plan_recording(rest: str, section: SourceSection) -> PlannedSource | None:
    def make() -> Source:
        from streamgmm.audio.file import RecordingFile

        return RecordingFile(rest, channel=section.channel, pace=section.pace)

    name = f"file:{escaped(rest)}"
    return PlannedSource(name, is_live=section.pace > 0, is_device=False, make=make) if rest else None


def _plan_pipe(rest: str, section: SourceSection) -> PlannedSource | None:
    def make() -> Source:
        from streamgmm.audio.pcm import PcmPipe

        return PcmPipe(
            pcm_format=section.pcm_format,
            rate_hz=section.pcm_rate_hz,
            n_channels=section.pcm_n_channels,
            channel=section.channel,
        )

    return PlannedSource("pcm:-", is_live=False, is_device=False, make=make) if rest == "-" else None


KINDS: dict[str, SourceKind] = {
    "mic": SourceKind(("mic", "mic:NAME", "mic:INDEX"), _plan_microphone),
    "file": SourceKind(("file:PATH",), _plan_recording),
    "pcm": SourceKind(("pcm:-",), _plan_pipe),
}
"""The kinds of sources by the scheme of their URIs; a new one is a module and an entry here."""
