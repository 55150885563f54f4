"""What travels to other programs: one frozen struct per record type, JSON Lines on the wire.

The names are a contract: `tests/test_records.py` holds every key of every type. Readers ignore keys
that they do not know; `v` changes only when an existing key changes its meaning.

The pipeline makes records with their stream time `t` alone; a `Stamper` adds the rest of the envelope
(sequence number, wall-clock time, name of the source) where they leave for the sinks.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal, TypeVar

import msgspec

from streamgmm import units

SCHEMA_VERSION = 1

R = TypeVar("R", bound="Record")

GapReason = Literal[
    "input_overflow", "ring_overwrite", "device_lost", "suspend", "driver_loss", "overload", "worker_error"
]
"""Why audio was lost. Lost before it was captured: the driver said that it lost input, it lost input and said
nothing (the clock shows it), the device was gone, the machine slept. Lost of what was captured: overwritten in
the ring, skipped because the machine is too slow, given up because its analysis failed."""

EndReason = Literal["offset", "gap", "flush", "max_duration"]
RejectReason = Literal["silence", "background", "unknown", "nonfinite"]


class Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=str.lower):
    """The envelope of every record.

    Attributes:
        v: major version of the schema.
        seq: strictly increasing number of the record within one run.
        time: wall-clock time of `t` (RFC 3339, UTC); null for a recording whose hour nobody knows.
        t: stream time in seconds, by sample count.
        source: name of the source.
    """

    v: int = SCHEMA_VERSION
    seq: int = 0
    time: str | None = None
    t: float
    source: str = ""


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Which model decides.

    Attributes:
        name: name given at training, or the file's.
        version: version of the model format and tool that made it.
        sha256: content hash of the model file, 64 hexadecimal digits.
    """

    name: str
    version: str
    sha256: str


class Hello(Record, frozen=True, kw_only=True):
    """First line of a stream, also to each new subscriber."""

    run_id: str
    version: str
    model: ModelInfo
    labels: list[str]
    sample_rate_hz: int
    window_s: float
    hop_s: float


class Start(Record, frozen=True, kw_only=True):
    """An event began; `start_t` is back-dated to the onset of the sound.

    `score` is the smoothed posterior that crossed `threshold`; `llr` the log-likelihood ratio of the
    label to the background.
    """

    id: str
    label: str
    score: float
    llr: float
    threshold: float
    start_time: str | None = None
    start_t: float


class Update(Record, frozen=True, kw_only=True):
    """An event goes on (opt-in, one per hop)."""

    id: str
    label: str
    score: float
    max_score: float
    duration_s: float


class End(Record, frozen=True, kw_only=True):
    """An event ended.

    `reason` says why; `gap` whether audio was lost within it; `clip` names a recording of it, if kept.
    """

    id: str
    label: str
    start_time: str | None = None
    end_time: str | None = None
    start_t: float
    end_t: float
    duration_s: float
    max_score: float
    mean_score: float
    reason: EndReason
    gap: bool = False
    clip: str | None = None


class Window(Record, frozen=True, kw_only=True):
    """The decision of one hop (opt-in); `reject` names the gate that refused a label, null if none did."""

    label: str
    score: float
    scores: dict[str, float]
    llr: float | None
    level_dbfs: float
    reject: RejectReason | None = None


class Gap(Record, frozen=True, kw_only=True):
    """Audio was lost: `lost_samples` at the model's rate, just before `t`."""

    lost_samples: int
    reason: GapReason


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How a run stands at one moment. All counts of samples are at the model's rate.

    Captured = analysed + in flight + lost for the reasons ring_overwrite, overload and worker_error; what was
    lost for other reasons was never captured.

    Attributes:
        level_dbfs: level of the last second; null before the first sound.
        uptime_s: since the start of the run.
        captured_samples: came in.
        analysed_samples: went through the features.
        in_flight_samples: wait to be analysed.
        lost_samples: by reason.
        n_clipped_samples: at full scale.
        n_reopened: how often sound came again after a failure of the microphone.
        n_failures: how many bugs the worker survived.
        n_clients: subscribers of all sockets.
        rtf: real-time factor of the worker, below 1 if it is fast enough; null before the first hop.
        drift_ppm: how much faster than nominal the device samples; null where it is not known yet.
        model: which model decides.
    """

    level_dbfs: float | None
    uptime_s: float
    captured_samples: int
    analysed_samples: int
    in_flight_samples: int
    lost_samples: dict[str, int]
    n_clipped_samples: int
    n_reopened: int
    n_failures: int
    n_clients: int
    rtf: float | None
    drift_ppm: float | None
    model: ModelInfo


class Status(Record, frozen=True, kw_only=True):
    """The state changed; in a greeting: how it stands at this moment, with the `seq` of the last change.

    `state` is one word (see `streamgmm.service.health`), `detail` says why in one line.
    """

    state: str
    detail: str
    health: Health | None = None


class Dropped(Record, frozen=True, kw_only=True):
    """This subscriber was too slow: `count` records, from `from_seq` on, were dropped for it alone."""

    count: int
    from_seq: int


class Heartbeat(Record, frozen=True, kw_only=True):
    """Sign of life (opt-in) with the sample counters (at the model's rate)."""

    captured_samples: int
    analysed_samples: int
    lost_samples: int


class ModelChanged(Record, frozen=True, kw_only=True, tag="model"):
    """The model changed; labels, windows and hops of later records are these instead of those of `hello`."""

    model: ModelInfo
    labels: list[str]
    window_s: float
    hop_s: float


class Error(Record, frozen=True, kw_only=True):
    """Something went wrong that the reader should know."""

    message: str


class Bye(Record, frozen=True, kw_only=True):
    """Last line of a stream; captured = analysed + lost + in flight (samples at the model's rate)."""

    reason: str
    captured_samples: int
    analysed_samples: int
    lost_samples: int
    in_flight_samples: int


AnyRecord = Hello | Start | Update | End | Window | Gap | Status | Dropped | Heartbeat | ModelChanged | Error | Bye

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyRecord] = msgspec.json.Decoder(AnyRecord)


def encode_json(record: Record) -> bytes:
    """One JSON line with its newline; UTF-8, a number that is not finite becomes null."""
    return _encoder.encode(record) + b"\n"


def decode_json(line: bytes | str) -> AnyRecord:
    """The record of one JSON line; unknown keys are ignored.

    Raises:
        msgspec.DecodeError: the line is not a record.
    """
    return _decoder.decode(line)


class Stamper:
    """Completes the envelope of the records of one run.

    Args:
        source: name that goes into every record.
        origin: wall-clock time of `t` = 0, or None for a recording whose hour nobody knows.
    """

    def __init__(self, source: str, origin: datetime | None = None) -> None:
        # The name of a file may hold bytes that are not UTF-8, and JSON cannot.
        self.source = source.encode("utf-8", "backslashreplace").decode()
        self.origin = origin
        self._next_seq = 0

    def time_of(self, t: float) -> str | None:
        """Wall-clock time of stream time `t` (s) as RFC 3339 text; None without an origin."""
        return None if self.origin is None else units.rfc3339(self.origin + timedelta(seconds=t))

    def stamp(self, record: R) -> R:
        """A copy of `record` with seq, time, source, and the wall-clock times of an event's ends."""
        changes: dict[str, object] = {"seq": self._next_seq, "time": self.time_of(record.t), "source": self.source}
        if isinstance(record, Start | End):
            changes["start_time"] = self.time_of(record.start_t)
        if isinstance(record, End):
            changes["end_time"] = self.time_of(record.end_t)
        self._next_seq += 1
        return msgspec.structs.replace(record, **changes)
