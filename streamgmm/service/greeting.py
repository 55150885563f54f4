"""Records that introduce a stream: `hello`, and `model` after a change of the model; and the id of its run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from streamgmm import __version__, records, units
from streamgmm.model.model import Model
from streamgmm.records import Hello, ModelInfo


def model_info(model: Model) -> ModelInfo:
    """Return the description of `model` that records contain."""
    return ModelInfo(name=model.name, version=model.tool_version, sha256=model.sha256)


def file_run_id(model: Model, name: str) -> str:
    """Return a run id that depends on the model and the name of the source only, so that output is reproducible."""
    return hashlib.sha256(f"{model.sha256} {name}".encode()).hexdigest()[:12]


def make_hello(
    model: Model, labels: Sequence[str], run_id: str, sources: Sequence[str] = (), *, is_required: bool = True
) -> Hello:
    """Return the first record of a source.

    Args:
        model: the model in use.
        labels: those that the run reports, see `event_labels`.
        run_id: id of the run.
        sources: names of all sources of the run.
        is_required: see `Hello`.
    """
    spec = model.spec
    return Hello(
        t=0.0,
        run_id=run_id,
        version=__version__,
        model=model_info(model),
        labels=list(labels),
        sample_rate_hz=spec.sample_rate_hz,
        window_s=units.samples_to_seconds(spec.window_samples, spec.sample_rate_hz),
        hop_s=units.samples_to_seconds(spec.hop_samples, spec.sample_rate_hz),
        sources=list(sources),
        is_required=is_required,
    )


def make_model_record(model: Model, labels: Sequence[str], t: float) -> records.ModelChanged:
    """Return the record that announces `model`, with the labels that are reported, from stream time `t` (s) on."""
    spec = model.spec
    return records.ModelChanged(
        t=t,
        model=model_info(model),
        labels=list(labels),
        window_s=units.samples_to_seconds(spec.window_samples, spec.sample_rate_hz),
        hop_s=units.samples_to_seconds(spec.hop_samples, spec.sample_rate_hz),
    )
