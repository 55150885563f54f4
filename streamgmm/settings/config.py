"""Settings: typed sections, each value with its default, range, unit and description.

`config.yaml` at the top of the project is generated from these types, and a test compares the two. Sections are
frozen; a run has one `Config`, which only a reload replaces.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from streamgmm.settings.schema import Place

PcmFormat = Literal["u8", "s16le", "s24le", "s24_3le", "s24_32le", "s32le", "f32le", "f64le"]
Covariance = Literal["diag", "full"]
CepstraChoice = Literal["auto", "always", "never"]

RENAMED_KEYS = {
    "training.frames": "training.cepstra",
    "training.n_frame_components": "training.n_cepstral_components",
}
"""Dotted keys of renamed settings: the name in earlier versions, and the present one."""

TextFormat = Literal["jsonl", "text", "label", "dcase", "audacity"]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all sections."""


SourceName = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$", description="1 to 64 letters, digits and _ . -")
]
"""Name of one of several sources in records: 1 to 64 letters, digits and `_ . -`."""


class SourceSection(Section, frozen=True, kw_only=True):
    """The audio source."""

    uri: Annotated[
        Place,
        Meta(
            min_length=1,
            description="mic, mic:NAME, mic:INDEX, file:PATH, pcm:-, ffmpeg:URL, pcm+tcp://127.0.0.1:PORT or "
            "pcm+unix://PATH",
        ),
    ] = "mic"
    channel: Annotated[
        Annotated[int, Meta(ge=0, le=63)] | Literal["mean"],
        Meta(description="one channel (from 0), or the mean of all channels"),
    ] = "mean"
    pcm_format: Annotated[
        PcmFormat, Meta(description="format of raw pcm:-; ALSA S24_3LE is s24le, S24_LE is s24_32le")
    ] = "s16le"
    pcm_rate_hz: Annotated[
        int,
        Meta(ge=1000, le=384000, description="sample rate of raw pcm:-; a WAV declares its own", extra={"unit": "Hz"}),
    ] = 16000
    pcm_n_channels: Annotated[int, Meta(ge=1, le=64, description="interleaved channels of raw pcm:-")] = 1
    pace: Annotated[
        float,
        Meta(
            ge=0.0,
            le=1000.0,
            description="playback speed of file:PATH; 0 is as fast as possible",
            extra={"unit": "x real time"},
        ),
    ] = 0.0
    secret_file: Annotated[
        Place, Meta(description="file with `user:password` for ffmpeg:URL, closed to other users; empty: none")
    ] = ""
    stall_timeout_s: Annotated[
        float,
        Meta(
            ge=0.5,
            le=10.0,
            description="ffmpeg:URL and pcm+...: a stream without sound for this long is opened again",
            extra={"unit": "s"},
        ),
    ] = 10.0
    ring_s: Annotated[
        float,
        Meta(
            ge=2.0,
            le=600.0,
            description="audio kept while the worker is busy; hops are skipped once half of it waits",
            extra={"unit": "s"},
        ),
    ] = 30.0


class ModelSection(Section, frozen=True, kw_only=True):
    """The model, and prior probabilities of its labels."""

    path: Annotated[
        Place, Meta(description="model file written by `streamgmm train`; empty: the bundled model of ten sounds")
    ] = ""
    priors: Annotated[
        dict[str, Annotated[float, Meta(gt=0.0, le=1e6)]],
        Meta(
            description="relative prior of each label; 1 for labels not listed",
            examples=[{"doorbell": 2.0}],
        ),
    ] = {}


class LabelSection(Section, frozen=True, kw_only=True):
    """Decision settings of one label; None takes the value of the decision section."""

    onset_threshold: Annotated[float, Meta(gt=0.0, le=1.0)] | None = None
    offset_threshold: Annotated[float, Meta(ge=0.0, le=1.0)] | None = None
    min_duration_s: Annotated[float, Meta(ge=0.0, le=3600.0, extra={"unit": "s"})] | None = None
    hangover_s: Annotated[float, Meta(ge=0.0, le=3600.0, extra={"unit": "s"})] | None = None
    refractory_s: Annotated[float, Meta(ge=0.0, le=86400.0, extra={"unit": "s"})] | None = None


def _require_hysteresis(of_label: str, onset_threshold: float, offset_threshold: float) -> None:
    if offset_threshold > onset_threshold:
        raise ValueError(
            f"offset_threshold{of_label} ({offset_threshold:g}) must not exceed onset_threshold ({onset_threshold:g})"
        )


class DecisionSection(Section, frozen=True, kw_only=True):
    """Turning the posteriors of hops into events."""

    smoothing: Annotated[
        Literal["exponential", "hmm", "none"],
        Meta(description="exponential forgets smoothly; hmm is the forward pass of a sticky hidden Markov model"),
    ] = "exponential"
    smoothing_s: Annotated[
        float, Meta(ge=0.0, le=60.0, description="time constant of exponential smoothing", extra={"unit": "s"})
    ] = 0.25
    hmm_mean_duration_s: Annotated[
        float,
        Meta(
            gt=0.0,
            le=3600.0,
            description="mean time that the hmm stays in one label; longer is calmer",
            extra={"unit": "s"},
        ),
    ] = 2.0
    onset_threshold: Annotated[
        float, Meta(gt=0.0, le=1.0, description="an event starts at this smoothed posterior")
    ] = 0.7
    offset_threshold: Annotated[
        float,
        Meta(ge=0.0, le=1.0, description="an event ends below this posterior; lower than the onset, to avoid flicker"),
    ] = 0.4
    min_duration_s: Annotated[
        float,
        Meta(
            ge=0.0,
            le=3600.0,
            description="shorter events are not reported, so that a click is no alarm",
            extra={"unit": "s"},
        ),
    ] = 0.24
    hangover_s: Annotated[
        float,
        Meta(
            ge=0.0,
            le=3600.0,
            description="an event survives gaps this short, so that two barks are one event",
            extra={"unit": "s"},
        ),
    ] = 0.5
    refractory_s: Annotated[
        float,
        Meta(
            ge=0.0,
            le=86400.0,
            description="no new event of the same label this soon after one has ended",
            extra={"unit": "s"},
        ),
    ] = 0.0
    max_duration_s: Annotated[
        float,
        Meta(
            ge=0.0,
            le=86400.0,
            description="a longer event is ended and a new one started; 0: never",
            extra={"unit": "s"},
        ),
    ] = 0.0
    silence_gate_dbfs: Annotated[
        float,
        Meta(ge=-200.0, le=0.0, description="hops below this level are labelled `silence`", extra={"unit": "dBFS"}),
    ] = -75.0
    min_llr: Annotated[
        float,
        Meta(
            ge=-1e6,
            le=1e6,
            description="minimum log-likelihood ratio of a label to the background",
            extra={"unit": "nat"},
        ),
    ] = 0.0
    labels: Annotated[
        dict[str, LabelSection],
        Meta(
            description="per label: onset_threshold, offset_threshold, min_duration_s, hangover_s, refractory_s",
            examples=[{"doorbell": {"onset_threshold": 0.8}}],
        ),
    ] = {}

    def __post_init__(self) -> None:
        _require_hysteresis("", self.onset_threshold, self.offset_threshold)
        for label, own in self.labels.items():
            onset = self.onset_threshold if own.onset_threshold is None else own.onset_threshold
            offset = self.offset_threshold if own.offset_threshold is None else own.offset_threshold
            _require_hysteresis(f" of {label}", onset, offset)


RecordType = Literal[
    "hello", "start", "update", "end", "window", "gap", "status", "dropped", "heartbeat", "model", "error", "bye"
]
"""Types of records (see `streamgmm.records`)."""


class SinkSection(Section, frozen=True, kw_only=True):
    """One sink, and which records it gets; a filter that is left out or empty passes everything."""

    uri: Annotated[Place, Meta(min_length=1, description="as an item of `sinks` that is a URI alone")]
    format: Annotated[TextFormat | None, Meta(description="of stdout: and file://PATH; null: output.format")] = None
    labels: Annotated[list[str], Meta(description="only events and windows of these labels")] = []
    records: Annotated[list[RecordType], Meta(description="only records of these types")] = []
    sources: Annotated[list[SourceName], Meta(description="only records of these sources")] = []
    min_score: Annotated[float, Meta(ge=0.0, le=1.0, description="only events that start with at least this score")] = (
        0.0
    )
    max_running: Annotated[
        Annotated[int, Meta(ge=1, le=64)] | None, Meta(description="of exec: commands that run at once; null: 4")
    ] = None
    timeout_s: Annotated[
        Annotated[float, Meta(ge=0.1, le=3600.0, extra={"unit": "s"})] | None,
        Meta(description="of exec: a command that runs for longer is ended; null: 10 s"),
    ] = None


class OutputSection(Section, frozen=True, kw_only=True):
    """Outputs and their format."""

    sinks: Annotated[
        list[Place | SinkSection],
        Meta(
            description="stdout:, file://PATH, unix://PATH, tcp://HOST:PORT, exec:COMMAND; or a mapping with `uri`",
            examples=[[{"uri": "stdout:", "labels": ["doorbell"]}]],
        ),
    ] = msgspec.field(default_factory=lambda: ["stdout:"])
    format: Annotated[TextFormat, Meta(description="format of stdout: and file://PATH; sockets always get jsonl")] = (
        "jsonl"
    )
    windows: Annotated[
        bool, Meta(description="emit a record for every hop, to see why something was or was not reported")
    ] = False
    updates: Annotated[bool, Meta(description="emit a record for every hop of an open event")] = False
    heartbeat_s: Annotated[
        float,
        Meta(
            ge=0.0,
            le=86400.0,
            description="interval of heartbeat records; 0: none",
            extra={"unit": "s of audio"},
        ),
    ] = 0.0
    queue_records: Annotated[
        int, Meta(ge=16, le=1_000_000, description="records queued for a slow reader; the oldest are dropped first")
    ] = 1024
    n_clients: Annotated[int, Meta(ge=1, le=10_000, description="maximum number of subscribers of one socket")] = 64
    allow_remote: Annotated[
        bool, Meta(description="accept other machines on tcp://; needs a token, which is sent in the clear")
    ] = False
    token_file: Annotated[
        Place, Meta(description="file with the token that a tcp:// client must send as its first line; empty: none")
    ] = ""


def sections_of_sinks(output: OutputSection) -> list[SinkSection]:
    """Return the settings of each sink, with defaults for a URI alone."""
    return [SinkSection(uri=item) if isinstance(item, str) else item for item in output.sinks]


class NamedSourceSection(SourceSection, frozen=True, kw_only=True):
    """One of several sources; what it leaves out is as in the sections `source`, `model` and `decision`."""

    model: Annotated[Place, Meta(description="model file of this source; empty: that of all")] = ""
    decision: Annotated[DecisionSection, Meta(description="how this source decides")] = DecisionSection()
    is_required: Annotated[bool, Meta(description="`status` fails while no audio flows from it")] = True


class FeaturesSection(Section, frozen=True, kw_only=True):
    """Features that `train` computes; a model stores its own, and `run` uses those."""

    sample_rate_hz: Annotated[
        int,
        Meta(
            ge=0,
            le=192000,
            description="sample rate of the model; 0: that of most recordings",
            extra={"unit": "Hz"},
        ),
    ] = 0
    window_s: Annotated[
        float, Meta(ge=0.1, le=10.0, description="length of the windows that are analysed", extra={"unit": "s"})
    ] = 1.0
    hop_s: Annotated[
        float,
        Meta(ge=0.016, le=2.0, description="stride of windows: how often a decision is made", extra={"unit": "s"}),
    ] = 0.12
    n_bands: Annotated[int, Meta(ge=8, le=128, description="wavelet bands, spaced on the mel scale")] = 32
    min_hz: Annotated[
        float,
        Meta(
            ge=5.0,
            le=4000.0,
            description="centre of the lowest band; wind and traffic are below it",
            extra={"unit": "Hz"},
        ),
    ] = 30.0

    def __post_init__(self) -> None:
        if self.hop_s > self.window_s:
            raise ValueError(f"hop_s ({self.hop_s:g}) must not exceed window_s ({self.window_s:g})")


class TrainingSection(Section, frozen=True, kw_only=True):
    """Fitting of the mixtures by `train`."""

    covariance: Annotated[
        Covariance, Meta(description="covariance type of the Gaussians; diag is enough for projected features")
    ] = "diag"
    n_components: Annotated[
        Annotated[int, Meta(ge=1, le=256)] | Literal["bic"],
        Meta(description="Gaussians per label; bic: chosen by the Bayesian information criterion"),
    ] = 3
    max_components: Annotated[
        int, Meta(ge=1, le=256, description="maximum number of Gaussians that bic may choose")
    ] = 8
    cepstra: Annotated[
        CepstraChoice,
        Meta(
            description="16 ms cepstral frames beside the windows, for words and voices; auto: if held-out clips gain"
        ),
    ] = "auto"
    n_cepstral_components: Annotated[
        int, Meta(ge=1, le=256, description="Gaussians per label over cepstral frames, always diagonal")
    ] = 32
    variance_floor: Annotated[
        float,
        Meta(ge=1e-6, le=10.0, description="added to every variance, relative to the variance of the projected data"),
    ] = 0.05
    lda_shrinkage: Annotated[
        float, Meta(ge=0.0, le=1.0, description="shrinkage of the within-class covariance towards a sphere")
    ] = 0.3
    n_principal: Annotated[
        int, Meta(ge=0, le=128, description="principal components used in addition to the discriminants")
    ] = 15
    refinement: Annotated[bool, Meta(description="refine fitted diag mixtures to discriminate between the labels")] = (
        True
    )
    search: Annotated[
        bool,
        Meta(description="try other windows and settings from above on held-out clips; those you set are kept"),
    ] = True
    copies: Annotated[bool, Meta(description="train on altered copies of the clips too")] = True
    without: Annotated[
        list[str],
        Meta(description="kinds of features to leave out, as `explain` names them", examples=[["tonality"]]),
    ] = []
    n_speed_copies: Annotated[int, Meta(ge=0, le=16, description="copies of each clip played faster or slower")] = 2
    n_noise_copies: Annotated[int, Meta(ge=0, le=16, description="copies of each clip with noise mixed in")] = 1
    rooms: Annotated[bool, Meta(description="simulate other rooms and microphones in these copies")] = True
    min_clips: Annotated[int, Meta(ge=1, le=1000, description="minimum number of recordings per label")] = 2
    seed: Annotated[
        int, Meta(ge=0, le=2**32 - 1, description="the same seed and data give the same model, byte for byte")
    ] = 0
    n_jobs: Annotated[int, Meta(ge=0, le=256, description="worker processes; 0: one per core")] = 0
    credit: Annotated[
        str,
        Meta(description="authors, licence and limits of the recordings; shown by `model show`"),
    ] = ""


class Config(Section, frozen=True, kw_only=True):
    """All settings."""

    source: SourceSection = SourceSection()
    sources: Annotated[
        dict[SourceName, NamedSourceSection],
        Meta(
            description="several sources by name, in place of source.uri: each a URI, or a mapping with settings of "
            "the section `source`, `model`, `decision` and `is_required`",
            examples=[{"kitchen": "mic:USB", "yard": "mic:Jabra"}],
        ),
    ] = {}
    model: ModelSection = ModelSection()
    decision: DecisionSection = DecisionSection()
    output: OutputSection = OutputSection()
    features: FeaturesSection = FeaturesSection()
    training: TrainingSection = TrainingSection()


def settings_by_source(config: Config) -> dict[str, Config]:
    """Return the settings of each source by its name, or `config` under "" for a single source without a name.

    In each of several, `source`, `model.path` and `decision` are those of the source, and `sources` is empty.
    """
    if not config.sources:
        return {"": config}
    return {
        name: msgspec.structs.replace(
            config,
            source=SourceSection(**{key: getattr(own, key) for key in SourceSection.__struct_fields__}),
            sources={},
            model=msgspec.structs.replace(config.model, path=own.model or config.model.path),
            decision=own.decision,
        )
        for name, own in config.sources.items()
    }
