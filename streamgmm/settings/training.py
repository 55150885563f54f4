"""Settings of the training."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from streamgmm.settings.section import Section

Covariance = Literal["diag", "full"]
CepstraChoice = Literal["auto", "always", "never"]
BottleneckChoice = Literal["auto", "always", "never"]


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
            description="16 ms cepstral frames, for words and voices; auto: if held-out clips gain; always: for clips"
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
    bottleneck: Annotated[
        BottleneckChoice,
        Meta(
            description="small network before the mixtures; auto: where labels have many clips, if held-out ones gain"
        ),
    ] = "auto"
    search: Annotated[
        bool,
        Meta(description="try other windows and settings from above on held-out clips; those you set are kept"),
    ] = True
    copies: Annotated[bool, Meta(description="train on altered copies of the clips too")] = True
    without: Annotated[
        list[str],
        Meta(description="kinds of features to leave out, as `explain` names them", examples=[["tonality"]]),
    ] = msgspec.field(default_factory=list)
    n_speed_copies: Annotated[int, Meta(ge=0, le=16, description="copies of each clip played faster or slower")] = 2
    n_noise_copies: Annotated[int, Meta(ge=0, le=16, description="copies of each clip with noise mixed in")] = 1
    n_context_copies: Annotated[
        int, Meta(ge=0, le=16, description="copies of each clip within other sound, as it will be heard in a room")
    ] = 8
    world: Annotated[bool, Meta(description="learn everyday sounds that come with streamgmm as background")] = True
    rooms: Annotated[bool, Meta(description="simulate other rooms and microphones in these copies")] = True
    min_clips: Annotated[int, Meta(ge=1, le=1000, description="minimum number of recordings per label")] = 2
    seed: Annotated[
        # The range of seeds that scikit-learn accepts.
        int, Meta(ge=0, le=2**32 - 1, description="the same seed and data give the same model, byte for byte")
    ] = 0
    n_jobs: Annotated[int, Meta(ge=0, le=256, description="worker processes; 0: one per core")] = 0
    cache: Annotated[
        bool, Meta(description="keep measured clips in ~/.cache/streamgmm, so that no training measures them again")
    ] = True
    credit: Annotated[
        str,
        Meta(description="authors, licence and limits of the recordings; shown by `model show`"),
    ] = ""
