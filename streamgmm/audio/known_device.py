"""What stays of a microphone when it is opened again: which device it was."""

from __future__ import annotations

import logging

from streamgmm.audio.capture_child import without_card_number

logger = logging.getLogger("streamgmm.capture")


class KnownDevice:
    """Remembers a device over all microphones that were opened for it, and says when it became another.

    An index is only good for the first time: it belongs to whatever device has it now. From then on the
    device is asked for by the name that it had.
    """

    def __init__(self) -> None:
        self.name: str | None = None
        self.server_source: str | None = None
        self._format: tuple[int, int] | None = None

    def wanted(self, device: str | int | None) -> str | int | None:
        """What to open for the configured `device` (see `Microphone`)."""
        return self.name if isinstance(device, int) and self.name is not None else device

    def learn(self, name: str, server_source: str | None, sample_rate_hz: int, n_channels: int) -> None:
        """Take note of what was opened, and log what of it has changed."""
        if self.name is not None and without_card_number(self.name) != without_card_number(name):
            logger.warning("capture.device_changed from=%r to=%r", self.name, name)
        if self.server_source and server_source and self.server_source != server_source:
            logger.warning("capture.source_changed from=%r to=%r", self.server_source, server_source)
        if self._format not in (None, (sample_rate_hz, n_channels)):
            logger.warning("capture.format rate_hz=%d channels=%d", sample_rate_hz, n_channels)
        self.name, self.server_source = name, server_source or self.server_source
        self._format = (sample_rate_hz, n_channels)
