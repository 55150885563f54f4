"""Real-time factor, and the status record formatted as a log line."""

from __future__ import annotations

import msgspec

from streamgmm.records import Status

RTF_HOPS = 50
"""Time constant of the mean real-time factor (hops): about six seconds by default."""


class RealTimeFactor:
    """Real-time factor: processing time divided by the duration of the audio.

    Attributes:
        value: exponential mean over `RTF_HOPS` hops; None before the first hop.
    """

    def __init__(self) -> None:
        self.value: float | None = None

    def update(self, took_s: float, audio_s: float) -> None:
        """Add a measurement: `audio_s` seconds of audio took `took_s` seconds."""
        factor = took_s / audio_s
        # Exponential mean with the weight 1 / `RTF_HOPS` for the newest hop; the first one starts it.
        self.value = factor if self.value is None else self.value + (factor - self.value) / RTF_HOPS


def status_line(status: Status) -> str:
    """Format the fields of `status` as `key=value`, without its envelope and without keys that have no value."""
    fields: dict[str, object] = {"state": status.state, "detail": status.detail}
    if status.paused or status.off:
        fields |= {"paused": status.paused, "paused_s": status.paused_s, "off": ",".join(status.off) or None}
    if status.health is not None:
        fields |= msgspec.structs.asdict(status.health)
        fields["model"] = status.health.model.name
        del fields["lost_samples"]
        fields |= {f"lost_{reason}": n_samples for reason, n_samples in status.health.lost_samples.items()}
    return " ".join(f"{key}={_shown(value)}" for key, value in fields.items() if value is not None)


def _shown(value: object) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return f'"{text}"' if " " in text else text
