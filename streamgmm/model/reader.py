"""The strict reader of model files: any byte that is not as expected is an error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import msgspec
import numpy as np

from streamgmm.arrays import AnyArray
from streamgmm.errors import DataError
from streamgmm.features.cepstra import n_cepstral_features
from streamgmm.features.spec import FEATURE_VERSION, FeatureSpec
from streamgmm.features.window import n_features
from streamgmm.labels import BACKGROUND, check_label, check_labels
from streamgmm.model.bottleneck import Bottleneck
from streamgmm.model.cepstra import CepstralMixtures
from streamgmm.model.classifier import Classifier, ClipCalibration
from streamgmm.model.density import AlarmTail, BackgroundDensity
from streamgmm.model.header import (
    DIGEST_OFFSET,
    MAX_MODEL_BYTES,
    CepstralFileSpec,
    FileSpec,
    Header,
    content_sha256,
    read_header,
)
from streamgmm.model.layout import LENGTH_BYTES, canonical_json, end_of, read_arrays
from streamgmm.model.mixture import Mixture
from streamgmm.model.model import Model
from streamgmm.model.model_error import ModelError, ModelErrorReason
from streamgmm.model.projection import Projection
from streamgmm.model.strict_json import strict_json
from streamgmm.settings.decision import LabelSection
from streamgmm.wording import escaped

SELF_TEST_TOLERANCE = 1e-9
"""Maximum relative difference of scores between machines with different linear algebra libraries."""

BOTTLENECK_TOLERANCE = 1e-4
"""The same with a bottleneck, whose units are computed in single precision."""

Arrays = dict[str, AnyArray]

# First bytes of files that other tools save models in. They are named in the error, and never opened: most of these
# formats can execute code.
_FOREIGN = {
    "a pickle or joblib file": rb"\x80[\x01-\x05]|\([ldpc]|[\]}].|c[\w.]+\n\w+\n",
    "a numpy file": rb"\x93NUMPY",
    "a zip archive": rb"PK[\x03\x05\x07]",
    "a compressed joblib file": rb"x[\x01\x5e\x9c\xda]|\x1f\x8b|BZh|\xfd7zXZ|\]\x00\x00|\x04\x22M\x18",
    "an HDF5 file": rb"\x89HDF",
}


def parse_model(data: bytes, name: str) -> Model:
    """Parse the content of the model file `name`.

    Raises:
        ModelError: the content is not a valid model.
    """
    try:
        return _parsed(data)
    except ModelError as error:
        error.where = name
        raise


def _parsed(data: bytes) -> Model:
    header = _checked_header(data)
    # Views into the file, not copies; the classifier copies what it keeps.
    arrays = read_arrays(data, header.spec.tensors(), header.data_offset)
    spec = header.spec
    with _as_model_error("labels"):
        check_label(spec.name)
        check_labels(spec.labels)
    features = _feature_spec(spec)
    offset = header.data_offset
    # The self-test finds numbers that overflow; warnings of numpy before that would only confuse.
    with _as_model_error("values", offset), np.errstate(all="ignore"):
        model = Model(
            name=spec.name,
            spec=features,
            classifier=_classifier(spec, arrays),
            decision=_decision(arrays["decision"], offset),
            card=strict_json(arrays["card"].tobytes(), offset),
            tool_version=header.metadata.tool_version,
            sha256=header.metadata.content_sha256,
            density=_density(spec, arrays),
        )
    _self_test(model, arrays, offset)
    return model


def _checked_header(data: bytes) -> Header:
    """Read the header of `data`, and check the arrays and the hash against it."""
    if len(data) > MAX_MODEL_BYTES:
        raise ModelError("too_large", f"{len(data)} bytes, at most {MAX_MODEL_BYTES} are read")
    try:
        header = read_header(data)
    except ModelError as error:
        # A user who names a pickle gets to know that, not that its header is wrong.
        raise _foreign_error(data) or error from None
    _check_layout(data, header)
    # The hash detects damage, not tampering, so all other checks remain necessary.
    if content_sha256(data) != header.metadata.content_sha256:
        raise ModelError("digest", "the content is damaged", offset=DIGEST_OFFSET, hint="copy the file again")
    return header


def _foreign_error(data: bytes) -> ModelError | None:
    """Return the error for a file of a kind that may execute code when opened; None for other kinds."""
    # The length field of a model ends in zeros, even if the file is truncated; no other kind has zeros there.
    if not any(data[3:LENGTH_BYTES]):
        return None
    for kind, pattern in _FOREIGN.items():
        if re.match(pattern, data):
            return ModelError(
                "foreign", f"{kind}, not supported for safety", hint="train a model with `streamgmm train`"
            )
    return None


def _check_layout(data: bytes, header: Header) -> None:
    """Compare the arrays and the length of the file with the spec, before any array is read."""
    spec = header.spec
    # Before the shapes are derived, which depend on the number of mixtures.
    for kind in (spec, spec.cepstra):
        if kind and len(kind.n_components) != spec.n_mixtures:
            what = f"{len(kind.n_components)} mixtures, expected {spec.n_mixtures}"
            raise ModelError("layout", what, offset=LENGTH_BYTES)
    tensors = spec.tensors()
    expected = {name: tensor.entry() for name, tensor in tensors.items()}
    # Compared as JSON text, because in Python `True == 1 == 1.0`.
    if canonical_json(header.entries) != canonical_json(expected):
        raise ModelError("layout", "the arrays are not those that the spec calls for", offset=LENGTH_BYTES)
    end = header.data_offset + end_of(tensors)
    if len(data) < end:
        raise ModelError("truncated", f"the file ends before its last byte {end}", offset=len(data))
    if len(data) > end:
        raise ModelError("layout", "bytes follow the last array", offset=end)


def _feature_spec(file_spec: FileSpec) -> FeatureSpec:
    """Return the definition of the features, after a check that this build computes them."""
    import pywt

    settings = file_spec.features
    version = settings.get("version")
    # Before the conversion: settings of another version may have other keys.
    if version != FEATURE_VERSION:
        what = f"needs features of version {escaped(str(version))}, this build computes {FEATURE_VERSION}"
        raise ModelError("features", what, offset=LENGTH_BYTES, hint="train the model again")
    try:
        spec = msgspec.convert(settings, FeatureSpec)
    except msgspec.ValidationError as error:
        raise ModelError("features", escaped(str(error)), offset=LENGTH_BYTES) from None
    for wavelet in (spec.wavelet, spec.modulation_wavelet):
        if wavelet not in pywt.families():
            raise ModelError(
                "features", f"PyWavelets has no wavelet '{wavelet}'", offset=LENGTH_BYTES, hint="upgrade PyWavelets"
            )
    _check_length(file_spec.n_features, n_features(spec))
    if file_spec.cepstra:
        _check_length(file_spec.cepstra.n_features, n_cepstral_features(spec))
    return spec


def _check_length(n_trained: int, n_computed: int) -> None:
    if n_trained != n_computed:
        what = f"was trained on {n_trained} features, this build computes {n_computed}"
        raise ModelError("features", what, offset=LENGTH_BYTES, hint="train the model again")


def _decision(data: AnyArray, offset: int) -> dict[str, LabelSection]:
    try:
        return msgspec.convert(strict_json(data.tobytes(), offset), dict[str, LabelSection])
    except msgspec.ValidationError as error:
        raise ModelError("values", f"decision: {escaped(str(error))}", offset=offset) from None


def _classifier(spec: FileSpec, arrays: Arrays) -> Classifier:
    mixtures, cepstra = _mixtures("", spec, arrays), None
    if own := spec.cepstra:
        cepstra = CepstralMixtures(_projection("frames.", arrays), _mixtures("frames.", own, arrays), own.weight)
    # The same object for the label and the background, as `Classifier` requires.
    background_index = spec.labels.index(BACKGROUND) if BACKGROUND in spec.labels else -1
    return Classifier(
        labels=tuple(spec.labels),
        projection=replace(_projection("", arrays), bottleneck=_bottleneck(arrays) if spec.n_units else None),
        mixtures=mixtures[: len(spec.labels)],
        background=mixtures[background_index],
        likelihood_scale=spec.likelihood_scale,
        floors=arrays["floors"],
        priors=arrays["priors"],
        cepstra=cepstra,
        clips=ClipCalibration(
            sharpness=spec.sharpness,
            min_in_domain_score=spec.min_in_domain_score,
            typical=tuple(spec.typical),
            typical_deviation=spec.typical_deviation,
            typical_are_ratios=spec.typical_are_ratios,
            likelihood_scale=spec.clip_likelihood_scale,
            cepstral_weight=spec.clip_cepstral_weight,
        ),
        background_prior=spec.background_prior,
    )


def _projection(prefix: str, arrays: Arrays) -> Projection:
    mean, scale, matrix = (arrays[f"{prefix}projection.{part}"] for part in ("mean", "scale", "matrix"))
    return Projection(mean, scale, matrix)


def _bottleneck(arrays: Arrays) -> Bottleneck:
    return Bottleneck(*(arrays[f"bottleneck.{part}"] for part in ("weights", "offsets", "matrix", "shift")))


def _mixtures(prefix: str, spec: FileSpec | CepstralFileSpec, arrays: Arrays) -> tuple[Mixture, ...]:
    weights, means, covariances = (arrays[prefix + part] for part in ("weights", "means", "covariances"))
    ends = np.cumsum(spec.n_components)[:-1]
    parts = zip(np.split(weights, ends), np.split(means, ends), np.split(covariances, ends), strict=True)
    return tuple(Mixture(*part, spec.covariance_type) for part in parts)


def _density(spec: FileSpec, arrays: Arrays) -> BackgroundDensity | None:
    if not (own := spec.density):
        return None
    return BackgroundDensity(
        **{name: arrays[f"density.{name}"] for name in ("mean", "weights", "centre", "axes", "variances")},
        rest_variance=own.rest_variance,
        tail=AlarmTail(own.level, own.per_hour, own.scale),
    )


def _self_test(model: Model, arrays: Arrays, offset: int) -> None:
    # A model with intact bytes can still give wrong scores, e.g. with a broken linear algebra library.
    classifier, vector = model.classifier, arrays["self_test.vector"]
    tolerance = BOTTLENECK_TOLERANCE if classifier.projection.bottleneck else SELF_TEST_TOLERANCE
    with np.errstate(all="ignore"):
        checks = [(classifier.score_mixtures(vector), arrays["self_test.log_likelihoods"], tolerance)]
        if classifier.cepstra:
            scores = classifier.cepstra.score_one(arrays["frames.self_test.vector"])
            checks.append((scores, arrays["frames.self_test.log_likelihoods"], SELF_TEST_TOLERANCE))
        if model.density:
            strangeness = np.array([model.density.strangeness(vector)])
            checks.append((strangeness, arrays["density.self_test.strangeness"], SELF_TEST_TOLERANCE))
    for scores, stored, tolerance in checks:
        differences = np.abs(scores - stored)
        # In this form, because a comparison with NaN is false.
        if not (differences <= tolerance * np.maximum(1.0, np.abs(stored))).all():
            hint = "numpy or its linear algebra library is at fault, or the model was altered"
            raise ModelError("self_test", "scores differ from those at training", offset=offset, hint=hint)


@contextmanager
def _as_model_error(reason: ModelErrorReason, offset: int = LENGTH_BYTES) -> Iterator[None]:
    """Turn errors of the parts of a model into the error of the file."""
    try:
        yield
    # A `ModelError` is a `DataError` as well, but has its reason and offset already.
    except ModelError:
        raise
    except DataError as error:
        raise ModelError(reason, error.what, offset=offset, hint=error.hint) from None
