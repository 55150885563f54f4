"""The records that are emitted to other programs: one frozen struct per type, encoded as JSON Lines.

The keys are a public interface: `tests/test_records.py` lists all keys of all types. Readers should ignore unknown
keys; `v` changes only if an existing key changes its meaning.

The pipeline makes records with their stream time `t` alone; the `Stamper` of a source adds the wall-clock time and the
name of the source, and whoever joins the records of all sources to one stream (the hub) numbers them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from streamgmm import units

SCHEMA_VERSION = 1

R = TypeVar("R", bound="Record")

GapReason = Literal[
    "input_overflow", "ring_overwrite", "device_lost", "suspend", "driver_loss", "overload", "worker_error"
]
"""Causes of lost audio. Lost before capture: the driver reported an overflow, or the source read its device too slowly
(`input_overflow`), the driver lost input silently, as the clock shows (`driver_loss`), the device was gone, the machine
slept. Lost after capture: overwritten in the ring, skipped because the machine is too slow (`overload`), or dropped
because the analysis failed (`worker_error`)."""

EndReason = Literal["offset", "gap", "flush", "max_duration", "switched_off"]
"""Causes of the end of an event: its sound, lost audio, the end of the stream or of its model, its longest duration, or
that listening was paused or its label switched off."""

RejectReason = Literal["silence", "background", "unknown", "nonfinite"]

Measured = Annotated[float, Meta(extra_json_schema={"nullable": True})]
"""A measured number, which JSON has as null if it is not finite (see `encode_json` and `record_schema`)."""


class Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=str.lower):
    """The envelope of every record.

    Attributes:
        v: major version of the schema.
        seq: strictly increasing number of the record within one run.
        time: wall-clock time of `t` (RFC 3339, UTC); null for a recording without a known date.
        t: stream time in seconds, by sample count.
        source: name of the source.
    """

    v: int = SCHEMA_VERSION
    seq: int = 0
    time: str | None = None
    t: float
    source: str = ""


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Identity of a model.

    Attributes:
        name: name given at training, or name of the file.
        version: version of the model format and of the tool that trained the model.
        sha256: content hash of the model file, 64 hexadecimal digits.
    """

    name: str
    version: str
    sha256: str


class Hello(Record, frozen=True, kw_only=True):
    """First record of a source, also to each new subscriber.

    Attributes:
        sources: names of all sources of the stream; empty if this one is the only one.
        is_required: whether `streamgmm status` fails while no audio flows from it.
    """

    run_id: str
    version: str
    model: ModelInfo
    labels: list[str]
    sample_rate_hz: int
    window_s: float
    hop_s: float
    # msgspec copies an empty default for each instance, so it is not shared.
    sources: list[str] = []
    is_required: bool = True


class Start(Record, frozen=True, kw_only=True):
    """An event started; `start_t` is back-dated to the onset of the sound.

    `score` is the smoothed posterior, which has crossed `threshold`; `llr` is the log-likelihood ratio of the label to
    the background. That of `anomaly` is null, and its score is 1 / (1 + r), where the background alone would be as
    strange r times an hour.
    """

    id: str
    label: str
    score: Measured
    llr: Measured
    threshold: float
    start_time: str | None = None
    start_t: float


class Update(Record, frozen=True, kw_only=True):
    """An event continues (opt-in, one record per hop)."""

    id: str
    label: str
    score: Measured
    max_score: Measured
    duration_s: float


class End(Record, frozen=True, kw_only=True):
    """An event ended.

    `reason` is the cause of the end; `gap` is true if audio was lost within the event; `clip` names a recording of the
    event, if one is kept.
    """

    id: str
    label: str
    start_time: str | None = None
    end_time: str | None = None
    start_t: float
    end_t: float
    duration_s: float
    max_score: Measured
    mean_score: Measured
    reason: EndReason
    gap: bool = False
    clip: str | None = None


class Window(Record, frozen=True, kw_only=True):
    """The decision on one hop (opt-in); `reject` names the gate that rejected the label, null if it passed.

    `thresholds` are those that the `scores` have to reach to start an event, of the labels that can start one.
    `spectrum_db` has the level of each band over the window (dB re full scale), lowest first; empty without a vector.
    """

    label: str
    score: Measured
    scores: dict[str, Measured]
    llr: Measured | None
    level_dbfs: Measured
    reject: RejectReason | None = None
    thresholds: dict[str, float] = {}
    spectrum_db: list[int] = []


class Glimpse(Window, frozen=True, kw_only=True, tag="window"):
    """A window for those sinks alone that show every hop; it repeats the last number, so that others miss none."""


class Gap(Record, frozen=True, kw_only=True):
    """Audio was lost: `lost_samples` samples, at the rate of the model, just before `t`."""

    lost_samples: int
    reason: GapReason


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Health of a run at one moment. All counts of samples are at the rate of the model.

    captured = analysed + in flight + lost for the reasons ring_overwrite, overload and worker_error. Samples lost for
    other reasons were never captured.

    Attributes:
        level_dbfs: level of the last second (dB re full scale); null before the first audio.
        uptime_s: time since the start of the run.
        captured_samples: samples that came in.
        analysed_samples: samples whose features were computed.
        in_flight_samples: samples that wait for their analysis.
        lost_samples: lost samples by `GapReason`.
        n_clipped_samples: samples at full scale.
        n_reopened: number of times that audio came back after a failure of the microphone.
        n_failures: number of unexpected exceptions that the worker survived.
        n_clients: number of subscribers of all sockets.
        rtf: real-time factor of the worker, below 1 if it is fast enough; null before the first hop.
        drift_ppm: deviation of the sample rate of the device from nominal, positive if faster; null if not known yet.
        model: the model in use.
        room_s: sound of the room that was learnt and is not forgotten (s); null if the room is not learnt.
        room_weight: weight of the room beside the background of the model, 0 to 1; null if the room is not learnt.
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
    room_s: float | None = None
    room_weight: float | None = None


class Status(Record, frozen=True, kw_only=True):
    """The state of the daemon changed; in a greeting, the current state with the `seq` of the last change.

    `state` is one word (see `streamgmm.service.health`), `detail` explains it in one line. While `paused`, no events
    are reported; `paused_s` is the rest of a pause that ends by itself (s), else null. `off` are the labels that are
    switched off.
    """

    state: str
    detail: str
    health: Health | None = None
    paused: bool = False
    paused_s: float | None = None
    off: list[str] = []


class Dropped(Record, frozen=True, kw_only=True):
    """This subscriber was too slow: `count` records from `from_seq` on were dropped, for this subscriber only."""

    count: int
    from_seq: int


class Heartbeat(Record, frozen=True, kw_only=True):
    """Sign of life (opt-in) with sample counters, at the rate of the model."""

    captured_samples: int
    analysed_samples: int
    lost_samples: int


class ModelChanged(Record, frozen=True, kw_only=True, tag="model"):
    """The model changed; for later records, these labels, windows and hops replace those of `hello`."""

    model: ModelInfo
    labels: list[str]
    window_s: float
    hop_s: float


class Error(Record, frozen=True, kw_only=True):
    """An error that concerns the reader."""

    message: str


class Bye(Record, frozen=True, kw_only=True):
    """Last record of a stream; captured = analysed + lost + in flight (samples at the rate of the model)."""

    reason: str
    captured_samples: int
    analysed_samples: int
    lost_samples: int
    in_flight_samples: int


AnyRecord = Hello | Start | Update | End | Window | Gap | Status | Dropped | Heartbeat | ModelChanged | Error | Bye

_encoder = msgspec.json.Encoder()
# A union of tagged structs: the field `type` selects the struct.
_decoder: msgspec.json.Decoder[AnyRecord] = msgspec.json.Decoder(AnyRecord)


def encode_json(record: Record) -> bytes:
    """Return one JSON line with its newline, in UTF-8; numbers that are not finite become null."""
    return _encoder.encode(record) + b"\n"


def decode_json(line: bytes | str) -> AnyRecord:
    """Decode one JSON line; unknown keys are ignored.

    Raises:
        msgspec.DecodeError: the line is not a record.
    """
    return _decoder.decode(line)


def numbered(records: Iterable[R], first_seq: int = 0) -> Iterator[R]:
    """Number the records of a stream: 0, 1, 2 ... from `first_seq` on."""
    for seq, record in enumerate(records, first_seq):
        yield msgspec.structs.replace(record, seq=seq)


class Stamper:
    """Adds the time and the source to the records of one source; `seq` is given by whoever publishes them.

    Args:
        source: name of the source, for every record.
        origin: wall-clock time of `t` = 0; None for a recording without a known date.
        pace: seconds of stream time in a second of wall-clock time.
    """

    def __init__(self, source: str, origin: datetime | None = None, pace: float = 1.0) -> None:
        # The name of a file may have bytes that are not UTF-8, which JSON does not allow.
        self.source = source.encode("utf-8", "backslashreplace").decode()
        self.origin = origin
        self._pace = pace

    def time_of(self, t: float) -> str | None:
        """Return the wall-clock time of stream time `t` (s) as RFC 3339 text; None without an origin."""
        return None if self.origin is None else units.rfc3339(self.origin + self.elapsed(t))

    def elapsed(self, t: float) -> timedelta:
        """Return the wall-clock time that passes until stream time `t` (s)."""
        return timedelta(seconds=t / self._pace)

    def stamp(self, record: R) -> R:
        """Return a copy of `record` with time, source, and the wall-clock times of an event's ends."""
        # Records are frozen, because the queues of several sinks share them.
        changes: dict[str, object] = {"time": self.time_of(record.t), "source": self.source}
        if isinstance(record, Start | End):
            changes["start_time"] = self.time_of(record.start_t)
        if isinstance(record, End):
            changes["end_time"] = self.time_of(record.end_t)
        return msgspec.structs.replace(record, **changes)
