"""All settings: typed sections, each value with its default, range, unit and reason.

`config.yaml` at the top of the project shows the same, and a test holds the two equal. Sections are
frozen; a run gets one `Config` and nobody changes it.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from streamgmm.config_schema import Place

PcmFormat = Literal["u8", "s16le", "s24le", "s24_3le", "s24_32le", "s32le", "f32le", "f64le"]
Covariance = Literal["diag", "full", "tied", "spherical"]
CepstraChoice = Literal["auto", "always", "never"]

RENAMED_KEYS = {
    "training.frames": "training.cepstra",
    "training.n_frame_components": "training.n_cepstral_components",
}
"""Settings of earlier versions, by their dotted keys, and what they are called now."""

TextFormat = Literal["jsonl", "text", "label", "dcase", "audacity"]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all sections."""


SourceName = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$", description="1 to 64 letters, digits and _ . -")
]
"""What records call one of several sources: letters, digits and `_ . -`."""


class SourceSection(Section, frozen=True, kw_only=True):
    """Where the samples come from."""

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
        Meta(description="one channel (from 0), or the mean of all of them"),
    ] = "mean"
    pcm_format: Annotated[PcmFormat, Meta(description="raw samples; ALSA: S24_3LE is s24le, S24_LE s24_32le")] = "s16le"
    pcm_rate_hz: Annotated[
        int,
        Meta(ge=1000, le=384000, description="sample rate of raw pcm:-; a WAV has its own", extra={"unit": "Hz"}),
    ] = 16000
    pcm_n_channels: Annotated[int, Meta(ge=1, le=64, description="interleaved channels of raw pcm:-")] = 1
    pace: Annotated[
        float,
        Meta(
            ge=0.0,
            le=1000.0,
            description="speed at which file:PATH is played; 0 is as fast as possible",
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
    """Which model decides."""

    path: Annotated[
        Place, Meta(description="model file made by `streamgmm train`; empty: the one in the box, of ten sounds")
    ] = ""
    priors: Annotated[
        dict[str, Annotated[float, Meta(gt=0.0, le=1e6)]],
        Meta(
            description="relative prior of a label; a label that is not named has 1",
            examples=[{"doorbell": 2.0}],
        ),
    ] = {}


class LabelSection(Section, frozen=True, kw_only=True):
    """What one label decides otherwise than the rest; None leaves it as it is."""

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
    """From the posterior of each hop to events."""

    smoothing: Annotated[
        Literal["exponential", "hmm", "none"],
        Meta(description="exponential forgets smoothly; hmm is the forward pass of a sticky hidden Markov model"),
    ] = "exponential"
    smoothing_s: Annotated[
        float, Meta(ge=0.0, le=60.0, description="time constant of exponential smoothing", extra={"unit": "s"})
    ] = 0.25
    hmm_mean_duration_s: Annotated[
        float,
        Meta(gt=0.0, le=3600.0, description="mean stay in one label of the hmm; longer is calmer", extra={"unit": "s"}),
    ] = 2.0
    onset_threshold: Annotated[
        float, Meta(gt=0.0, le=1.0, description="an event starts at this smoothed posterior")
    ] = 0.7
    offset_threshold: Annotated[
        float, Meta(ge=0.0, le=1.0, description="and ends below this one; lower, so that it does not flicker")
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
        Meta(ge=0.0, le=86400.0, description="a longer event is ended and begun anew; 0: never", extra={"unit": "s"}),
    ] = 0.0
    silence_gate_dbfs: Annotated[
        float, Meta(ge=-200.0, le=0.0, description="below this level the answer is `silence`", extra={"unit": "dBFS"})
    ] = -75.0
    min_llr: Annotated[
        float,
        Meta(
            ge=-1e6,
            le=1e6,
            description="log-likelihood ratio to the background that a label needs",
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


class OutputSection(Section, frozen=True, kw_only=True):
    """Who is told, and how."""

    sinks: Annotated[
        list[Place], Meta(description="any of stdout:, file://PATH, unix://PATH and tcp://HOST:PORT, several at once")
    ] = msgspec.field(default_factory=lambda: ["stdout:"])
    format: Annotated[TextFormat, Meta(description="what stdout: and file://PATH get; sockets always speak jsonl")] = (
        "jsonl"
    )
    windows: Annotated[
        bool, Meta(description="a record for every hop, to see why something was or was not reported")
    ] = False
    updates: Annotated[bool, Meta(description="a record for every hop of an open event")] = False
    heartbeat_s: Annotated[
        float,
        Meta(
            ge=0.0,
            le=86400.0,
            description="a record this often as a sign of life; 0: none",
            extra={"unit": "s of audio"},
        ),
    ] = 0.0
    queue_records: Annotated[
        int, Meta(ge=16, le=1_000_000, description="records kept for a slow reader, the oldest dropped first")
    ] = 1024
    n_clients: Annotated[int, Meta(ge=1, le=10_000, description="most subscribers of one socket")] = 64
    allow_remote: Annotated[
        bool, Meta(description="let tcp:// be reached from other machines; needs a token, which travels in the clear")
    ] = False
    token_file: Annotated[
        Place, Meta(description="file with the word that a client of tcp:// has to send as its first line; empty: none")
    ] = ""


class NamedSourceSection(SourceSection, frozen=True, kw_only=True):
    """One of several sources; what it leaves out is as in the sections `source`, `model` and `decision`."""

    model: Annotated[Place, Meta(description="model file of this source; empty: that of all")] = ""
    decision: Annotated[DecisionSection, Meta(description="how this source decides")] = DecisionSection()
    is_required: Annotated[bool, Meta(description="`status` fails while no audio flows from it")] = True


class FeaturesSection(Section, frozen=True, kw_only=True):
    """What `train` measures; a model carries its own and `run` follows it."""

    sample_rate_hz: Annotated[
        int,
        Meta(
            ge=0,
            le=192000,
            description="rate that the model works at; 0: that of most recordings",
            extra={"unit": "Hz"},
        ),
    ] = 0
    window_s: Annotated[float, Meta(ge=0.1, le=10.0, description="samples analysed together", extra={"unit": "s"})] = (
        1.0
    )
    hop_s: Annotated[
        float,
        Meta(ge=0.016, le=2.0, description="stride of windows: how often a decision is made", extra={"unit": "s"}),
    ] = 0.12
    n_bands: Annotated[int, Meta(ge=8, le=128, description="wavelet bands, spaced on the mel scale")] = 32
    min_hz: Annotated[
        float,
        Meta(
            ge=5.0, le=4000.0, description="centre of the lowest band; wind and traffic lie below", extra={"unit": "Hz"}
        ),
    ] = 30.0

    def __post_init__(self) -> None:
        if self.hop_s > self.window_s:
            raise ValueError(f"hop_s ({self.hop_s:g}) must not exceed window_s ({self.window_s:g})")


class TrainingSection(Section, frozen=True, kw_only=True):
    """How `train` fits the mixtures."""

    covariance: Annotated[
        Covariance, Meta(description="shape of the Gaussians; diag is enough once the features are projected")
    ] = "diag"
    n_components: Annotated[
        Annotated[int, Meta(ge=1, le=256)] | Literal["bic"],
        Meta(description="Gaussians per label, or chosen by the Bayesian information criterion"),
    ] = 3
    max_components: Annotated[int, Meta(ge=1, le=256, description="most that bic may choose")] = 8
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
        float, Meta(ge=1e-6, le=10.0, description="added to every variance, in units of the projected data's")
    ] = 0.05
    lda_shrinkage: Annotated[
        float, Meta(ge=0.0, le=1.0, description="how far the within-class covariance is drawn to a sphere")
    ] = 0.3
    n_principal: Annotated[
        int, Meta(ge=0, le=128, description="principal components that the mixtures see beside the discriminants")
    ] = 15
    refinement: Annotated[
        bool, Meta(description="move diag mixtures, once fitted, to where they tell the labels apart")
    ] = True
    search: Annotated[
        bool,
        Meta(
            description="try other windows and values of the settings above on held-out clips; those you changed stay"
        ),
    ] = True
    copies: Annotated[bool, Meta(description="learn from altered copies of the clips too")] = True
    without: Annotated[
        list[str],
        Meta(description="kinds of features not to learn from, as `explain` names them", examples=[["tonality"]]),
    ] = []
    n_speed_copies: Annotated[int, Meta(ge=0, le=16, description="copies of each clip played faster or slower")] = 2
    n_noise_copies: Annotated[int, Meta(ge=0, le=16, description="copies of each clip with noise mixed in")] = 1
    rooms: Annotated[bool, Meta(description="hear these copies in other rooms, through other microphones")] = True
    min_clips: Annotated[int, Meta(ge=1, le=1000, description="fewer recordings of a label are refused")] = 2
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1, description="same seed and data, same model, byte for byte")] = 0
    n_jobs: Annotated[int, Meta(ge=0, le=256, description="worker processes; 0: one per core")] = 0
    credit: Annotated[
        str,
        Meta(description="whose recordings they are, their licence and limits; shown by `model show`"),
    ] = ""


class Config(Section, frozen=True, kw_only=True):
    """Everything that can be set."""

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
    """Return the settings of each source by its name; of a single source without a name, `config` under "".

    In each of them `source`, `model.path` and `decision` are those of the source, and `sources` is empty.
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
