"""The writer of model files, in one canonical form: the same training gives the same file."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from streamgmm.arrays import AnyArray, Float64Array
from streamgmm.model.cepstra import CepstralMixtures
from streamgmm.model.classifier import Classifier
from streamgmm.model.density import BackgroundDensity
from streamgmm.model.header import (
    DIGEST_BYTES,
    DIGEST_OFFSET,
    CepstralFileSpec,
    DensityFileSpec,
    FileSpec,
    Metadata,
    content_sha256,
)
from streamgmm.model.layout import array_bytes, canonical_json, header_bytes
from streamgmm.model.mixture import Mixture
from streamgmm.model.model import Model
from streamgmm.model.projection import Projection
from streamgmm.model.reader import parse_model


def model_bytes(model: Model) -> bytes:
    """Return the content of the file of `model`; the same model gives the same bytes.

    Raises:
        ModelError: the model exceeds a limit of the format.
    """
    texts = {"decision": canonical_json(model.decision), "card": canonical_json(model.card)}
    spec = _file_spec(model, len(texts["decision"]), len(texts["card"]))
    arrays = _arrays(model.classifier) | _density_arrays(model)
    arrays |= {name: np.frombuffer(text, np.uint8) for name, text in texts.items()}
    # In the order of the spec, from which the reader derives all offsets.
    data = _with_digest(_header_bytes(spec, model.tool_version) + array_bytes(arrays, spec.tensors()))
    # Reading it back checks the limits, which so are defined in one place only, the reader.
    parse_model(data, model.name)
    return data


def _header_bytes(spec: FileSpec, tool_version: str) -> bytes:
    """Return the length and header of the file, with a placeholder for the digest."""
    metadata = Metadata(
        content_sha256="0" * DIGEST_BYTES, spec=canonical_json(spec).decode(), tool_version=tool_version
    )
    return header_bytes(metadata, spec.tensors())


def _file_spec(model: Model, decision_bytes: int, card_bytes: int) -> FileSpec:
    classifier = model.classifier
    return FileSpec(
        name=model.name,
        labels=list(model.labels),
        features=msgspec.to_builtins(model.spec),
        # One for all: `MixtureBank` rejects a mix of covariance types.
        covariance_type=classifier.background.covariance_type,
        likelihood_scale=float(classifier.likelihood_scale),
        n_features=classifier.projection.n_features,
        n_dimensions=classifier.projection.n_dimensions,
        n_components=[mixture.n_components for mixture in classifier.all_mixtures],
        decision_bytes=decision_bytes,
        card_bytes=card_bytes,
        cepstra=_cepstral_spec(classifier.cepstra) if classifier.cepstra else None,
        sharpness=float(classifier.clips.sharpness),
        min_in_domain_score=float(classifier.clips.min_in_domain_score),
        typical=list(classifier.clips.typical),
        typical_deviation=float(classifier.clips.typical_deviation),
        typical_are_ratios=classifier.clips.typical_are_ratios,
        background_prior=float(classifier.background_prior),
        clip_likelihood_scale=classifier.clips.likelihood_scale,
        clip_cepstral_weight=classifier.clips.cepstral_weight,
        n_units=classifier.projection.n_units,
        density=_density_spec(model.density) if model.density else None,
    )


def _density_spec(density: BackgroundDensity) -> DensityFileSpec:
    numbers = (float(number) for number in density.tail)
    return DensityFileSpec(
        n_axes=density.n_axes,
        rest_variance=float(density.rest_variance),
        **dict(zip(("level", "per_hour", "scale"), numbers, strict=True)),
    )


def _cepstral_spec(frames: CepstralMixtures) -> CepstralFileSpec:
    return CepstralFileSpec(
        covariance_type=frames.mixtures[0].covariance_type,
        weight=float(frames.weight),
        n_features=frames.projection.n_features,
        n_dimensions=frames.projection.n_dimensions,
        n_components=[mixture.n_components for mixture in frames.mixtures],
    )


def _arrays(classifier: Classifier) -> dict[str, AnyArray]:
    """Return the arrays of the file by name, without the JSON texts."""
    arrays = _mixture_arrays("", classifier.all_mixtures, classifier.projection, classifier.score_mixtures)
    arrays |= {"floors": classifier.floors, "priors": classifier.priors}
    if frames := classifier.cepstra:
        arrays |= _mixture_arrays("frames.", frames.mixtures, frames.projection, frames.score_one)
    if own := classifier.projection.bottleneck:
        arrays |= {f"bottleneck.{name}": getattr(own, name) for name in ("offsets", "matrix", "shift", "weights")}
    return arrays


def _density_arrays(model: Model) -> dict[str, AnyArray]:
    if (density := model.density) is None:
        return {}
    arrays = {f"density.{name}": getattr(density, name) for name in ("mean", "weights", "centre", "axes", "variances")}
    strangeness = density.strangeness(_self_test_vector(model.classifier.projection))
    return {**arrays, "density.self_test.strangeness": np.array([strangeness])}


def _mixture_arrays(
    prefix: str, mixtures: Sequence[Mixture], projection: Projection, score: Callable[[Float64Array], Float64Array]
) -> dict[str, AnyArray]:
    """Return the arrays for one kind of vectors: mixtures, projection, and self-test vector with its scores."""
    vector = _self_test_vector(projection)
    arrays = {
        "weights": np.concatenate([mixture.weights for mixture in mixtures]),
        "means": np.concatenate([mixture.means for mixture in mixtures]),
        "covariances": np.concatenate([mixture.covariances for mixture in mixtures]),
        "projection.mean": projection.mean,
        "projection.scale": projection.scale,
        "projection.matrix": projection.matrix,
        "self_test.vector": vector,
        "self_test.log_likelihoods": score(vector),
    }
    return {prefix + name: array for name, array in arrays.items()}


def _self_test_vector(projection: Projection) -> Float64Array:
    """Return features within one scale of the mean but never equal to it, so that all of the projection is tested."""
    # Odd ninths are never 0, and integer arithmetic gives the same numbers on every machine.
    spread = (np.arange(projection.n_features) * 14 % 20 - 9) / 9.0
    vector: Float64Array = projection.mean + spread * projection.scale
    return vector


def _with_digest(data: bytes) -> bytes:
    # The hash leaves out the bytes of the digest, so the placeholder does not affect it.
    digest = content_sha256(data).encode()
    return data[:DIGEST_OFFSET] + digest + data[DIGEST_OFFSET + DIGEST_BYTES :]
