"""All settings of a run, composed of the sections of its parts.

`config.yaml` at the top of the project is generated from these types, and a test compares the two. Sections are
frozen; a run has one `Config`, which only a reload replaces.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from streamgmm.settings.clips import ClipsSection
from streamgmm.settings.decision import DecisionSection
from streamgmm.settings.features import FeaturesSection
from streamgmm.settings.output import OutputSection
from streamgmm.settings.schedule import OffSection
from streamgmm.settings.section import RELOADS, Place, Section, SourceName
from streamgmm.settings.source import SourceSection
from streamgmm.settings.training import TrainingSection

RENAMED_KEYS = {
    "training.frames": "training.cepstra",
    "training.n_frame_components": "training.n_cepstral_components",
}
"""Dotted keys of renamed settings: the name in earlier versions, and the present one."""


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
    ] = msgspec.field(default_factory=dict)


class NamedSourceSection(SourceSection, frozen=True, kw_only=True):
    """One of several sources; what it leaves out is as in the sections `source`, `model` and `decision`."""

    model: Annotated[Place, Meta(description="model file of this source; empty: that of all")] = ""
    decision: Annotated[DecisionSection, Meta(description="how this source decides")] = DecisionSection()
    is_required: Annotated[bool, Meta(description="`status` fails while no audio flows from it")] = True


class Config(Section, frozen=True, kw_only=True):
    """All settings."""

    source: SourceSection = SourceSection()
    sources: Annotated[
        dict[SourceName, NamedSourceSection],
        Meta(
            description="several sources by name, in place of source.uri: each a URI, or a mapping with settings of "
            "the section `source`, `model`, `decision` and `is_required`",
            examples=[{"kitchen": "mic:USB", "yard": "mic:Jabra"}],
            extra=RELOADS,
        ),
    ] = msgspec.field(default_factory=dict)
    model: Annotated[ModelSection, Meta(extra=RELOADS)] = ModelSection()
    decision: Annotated[DecisionSection, Meta(extra=RELOADS)] = DecisionSection()
    output: OutputSection = OutputSection()
    clips: ClipsSection = ClipsSection()
    schedule: Annotated[
        list[OffSection],
        Meta(
            description="times at which labels are off, all or those named, of microphones and other live sources; a "
            "command of `control` holds until the next change",
            examples=[[{"time": "22:00-07:00", "labels": ["doorbell"]}]],
            extra=RELOADS,
        ),
    ] = msgspec.field(default_factory=list)
    # A run uses the features of its model: the last two sections are for `train`, and a reload may change them.
    features: Annotated[FeaturesSection, Meta(extra=RELOADS)] = FeaturesSection()
    training: Annotated[TrainingSection, Meta(extra=RELOADS)] = TrainingSection()


def settings_by_source(config: Config) -> dict[str, Config]:
    """Return the settings of each source by its name, or `config` under "" for a single source without a name.

    In each of several, `source`, `model.path` and `decision` are those of the source, and `sources` is empty.
    """
    if not config.sources:
        return {"": config}
    return {
        name: msgspec.structs.replace(
            config,
            # Without the other fields of the named section, so that a reload which changes only those keeps the source
            # running.
            source=SourceSection(**{key: getattr(own, key) for key in SourceSection.__struct_fields__}),
            sources={},
            model=msgspec.structs.replace(config.model, path=own.model or config.model.path),
            decision=own.decision,
        )
        for name, own in config.sources.items()
    }
