"""Identity of a microphone's device, kept while the microphone is reopened."""

from __future__ import annotations

import logging

import msgspec

from streamgmm.audio.microphone.device_choice import without_card_number

logger = logging.getLogger("streamgmm.capture")


class ServerSource(msgspec.Struct, frozen=True):
    """Source of a sound server from which a stream records.

    Attributes:
        name: name on the server.
        description: name for people.
        is_monitor: True if the source records what an output plays.
        is_chosen: True if the source was requested; False if the server assigned it.
        is_fixed: True if no other source may replace it.
    """

    name: str
    description: str = ""
    is_monitor: bool = False
    is_chosen: bool = False
    is_fixed: bool = False


class KnownDevice:
    """Remember a device across all `Microphone` objects that are opened for it, and log when it changes.

    An index, or a part of a name, is used only to open the device first, because it may match another device later.
    From then on the device is requested by its full name, and so is a source of the sound server.
    """

    def __init__(self) -> None:
        self.name: str | None = None
        self.source: ServerSource | None = None
        self._followed: str | None = None
        self._format: tuple[int, int] | None = None
        self._has_warned = False

    def request(self, device: str | int | None) -> dict[str, object]:
        """Return the request to the capture child for the configured `device` (see `Microphone`)."""
        # Only a source that the user named is pinned: `mic` follows the default source of the server.
        if isinstance(device, str) and self.source is not None and self.source.is_fixed:
            return {"device": device, "pinned": {"name": self.source.name, "description": self.source.description}}
        followed = {} if self._followed is None else {"followed": self._followed}
        return {"device": device if device is None or self.name is None else self.name, **followed}

    def learn(self, name: str, source: ServerSource | None, sample_rate_hz: int, n_channels: int) -> None:
        """Record the device and format that were opened, and log what has changed since the last time."""
        if self.name is not None and without_card_number(self.name) != without_card_number(name):
            logger.warning("capture.device_changed from=%r to=%r", self.name, name)
        if self.source and source and self.source.name != source.name:
            logger.warning("capture.source_changed from=%r to=%r", self.source.name, source.name)
        if self._format not in (None, (sample_rate_hz, n_channels)):
            logger.warning("capture.format rate_hz=%d channels=%d", sample_rate_hz, n_channels)
        # An opening without a server must not forget the source that a name refers to.
        self.name, self.source = name, source or self.source
        self._format = (sample_rate_hz, n_channels)
        if source is not None and source.is_monitor and not source.is_chosen:
            self._warn_of_monitor(source)

    def follow(self, source: str, *, is_default: bool) -> None:
        """Record the source to which the sound server moved the stream; nothing is recorded for the default source."""
        self._followed = None if is_default else source

    def _warn_of_monitor(self, source: ServerSource) -> None:
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "capture.monitor: the default source %r is a monitor: it gives what this machine plays, "
                "not what a microphone hears; choose a source of `streamgmm devices` (mic:NAME)",
                source.name,
            )
