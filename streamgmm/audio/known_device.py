"""What stays of a microphone when it is opened again: which device it was."""

from __future__ import annotations

import logging

import msgspec

from streamgmm.audio.device_choice import without_card_number

logger = logging.getLogger("streamgmm.capture")


class ServerSource(msgspec.Struct, frozen=True):
    """The source of a sound server that a stream records from.

    Attributes:
        name: its name there.
        description: its name for people.
        is_monitor: whether it is what a loudspeaker plays.
        is_chosen: whether it was asked for; otherwise it is what the server gives to all.
        is_fixed: whether nothing else may take its place.
    """

    name: str
    description: str = ""
    is_monitor: bool = False
    is_chosen: bool = False
    is_fixed: bool = False


class KnownDevice:
    """Remembers a device over all microphones that were opened for it, and says when it became another.

    An index, or a part of a name, is only good for the first time: it may belong to whatever device is there now.
    From then on the device is asked for by the name that it had, and a source of the sound server likewise.
    """

    def __init__(self) -> None:
        self.name: str | None = None
        self.source: ServerSource | None = None
        self._followed: str | None = None
        self._format: tuple[int, int] | None = None
        self._has_warned = False

    def request(self, device: str | int | None) -> dict[str, object]:
        """What to ask of the capture child for the configured `device` (see `Microphone`)."""
        if isinstance(device, str) and self.source is not None and self.source.is_fixed:
            return {"device": device, "pinned": {"name": self.source.name, "description": self.source.description}}
        followed = {} if self._followed is None else {"followed": self._followed}
        return {"device": device if device is None or self.name is None else self.name, **followed}

    def learn(self, name: str, source: ServerSource | None, sample_rate_hz: int, n_channels: int) -> None:
        """Take note of what was opened, and log what of it has changed."""
        if self.name is not None and without_card_number(self.name) != without_card_number(name):
            logger.warning("capture.device_changed from=%r to=%r", self.name, name)
        if self.source and source and self.source.name != source.name:
            logger.warning("capture.source_changed from=%r to=%r", self.source.name, source.name)
        if self._format not in (None, (sample_rate_hz, n_channels)):
            logger.warning("capture.format rate_hz=%d channels=%d", sample_rate_hz, n_channels)
        self.name, self.source = name, source or self.source
        self._format = (sample_rate_hz, n_channels)
        if source is not None and source.is_monitor and not source.is_chosen:
            self._warn_of_monitor(source)

    def follow(self, source: str, *, is_default: bool) -> None:
        """Take note of where the sound server has moved the stream: a default that changes is followed as it is."""
        self._followed = None if is_default else source

    def _warn_of_monitor(self, source: ServerSource) -> None:
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "capture.monitor: the default source %r is a monitor: it gives what this machine plays, "
                "not what a microphone hears; choose a source of `streamgmm devices` (mic:NAME)",
                source.name,
            )
