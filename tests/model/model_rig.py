"""Small models, and tools that damage their files on purpose."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from streamgmm.features.cepstra import n_cepstral_features
from streamgmm.features.spec import FeatureSpec
from streamgmm.features.window import n_features
from streamgmm.model.bottleneck import Bottleneck
from streamgmm.model.cepstra import CepstralMixtures
from streamgmm.model.classifier import Classifier
from streamgmm.model.header import DIGEST_BYTES, DIGEST_OFFSET, content_sha256
from streamgmm.model.layout import LENGTH_BYTES
from streamgmm.model.mixture import Mixture
from streamgmm.model.model import Model
from streamgmm.model.model_error import ModelError
from streamgmm.model.projection import Projection
from streamgmm.model.reader import parse_model
from streamgmm.settings.decision import LabelSection

SPEC = FeatureSpec(sample_rate_hz=8000, window_s=0.5, n_bands=8)
N_FEATURES = n_features(SPEC)
N_FRAME_FEATURES = n_cepstral_features(SPEC)


def make_mixture(rng: np.random.Generator, n_components: int, n_dimensions: int, covariance_type="diag") -> Mixture:
    roots = rng.normal(size=(n_components, n_dimensions, n_dimensions))
    full = roots @ roots.swapaxes(1, 2) + np.eye(n_dimensions)
    covariances = {
        "full": full,
        "diag": rng.uniform(0.5, 2.0, (n_components, n_dimensions)),
    }[covariance_type]
    weights = rng.dirichlet(np.full(n_components, 5.0))
    return Mixture(weights, rng.normal(size=(n_components, n_dimensions)), covariances, covariance_type)


def make_classifier(
    labels=("dog", "glass"),
    *,
    n_components=2,
    n_dimensions=2,
    n_features=N_FEATURES,
    covariance_type="diag",
    n_cepstral_features=0,
    n_units=0,
    seed=0,
) -> Classifier:
    """A classifier of random numbers; with mixtures of frames, or a bottleneck, if their number is not 0."""
    rng = np.random.default_rng(seed)
    mixtures = [make_mixture(rng, n_components + i % 2, n_dimensions, covariance_type) for i in range(len(labels))]
    background = make_mixture(rng, n_components, n_dimensions, covariance_type)
    if "background" in labels:
        background = mixtures[labels.index("background")]
    projection = make_projection(rng, n_features, n_dimensions)
    if n_units:
        projection = replace(projection, bottleneck=make_bottleneck(rng, n_features, n_units, n_dimensions))
    classifier = Classifier(tuple(labels), projection, tuple(mixtures), background, 0.25, np.full(len(labels), -40.0))
    if not n_cepstral_features:
        return classifier
    mixtures = [make_mixture(rng, n_components + 1, n_dimensions, covariance_type) for _ in classifier.all_mixtures]
    frames = CepstralMixtures(make_projection(rng, n_cepstral_features, n_dimensions), tuple(mixtures), 2.5)
    return replace(classifier, cepstra=frames)


def make_projection(rng: np.random.Generator, n_features: int, n_dimensions: int) -> Projection:
    matrix = rng.normal(size=(n_features, n_dimensions)) / n_features**0.5
    return Projection(rng.normal(size=n_features), rng.uniform(0.5, 2.0, n_features), matrix)


def make_bottleneck(rng: np.random.Generator, n_features: int, n_units: int, n_dimensions: int) -> Bottleneck:
    weights = (rng.normal(size=(n_features, n_units)) / n_features**0.5).astype(np.float16).astype(np.float64)
    matrix = rng.normal(size=(n_units, n_dimensions)) / n_units**0.5
    return Bottleneck(weights, 0.5 * rng.normal(size=n_units), matrix, rng.normal(size=n_dimensions))


def make_model(**settings) -> Model:
    return Model(
        name="yard",
        spec=SPEC,
        classifier=make_classifier(**settings),
        decision={"dog": LabelSection(onset_threshold=0.7)} if "dog" in settings.get("labels", ["dog"]) else {},
        card={"n_clips": {"dog": 12}, "f1": 0.91, "files": ["a.wav"]},
    )


def refusal(data: bytes) -> ModelError:
    """The error that reading `data` ends in: one line that names the file."""
    with pytest.raises(ModelError) as caught:
        parse_model(data, "yard.sgm")
    assert str(caught.value).startswith("yard.sgm: ")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 65
    return caught.value


def header_of(data: bytes) -> dict[str, Any]:
    n_bytes = int.from_bytes(data[:LENGTH_BYTES], "little")
    header: dict[str, Any] = json.loads(data[LENGTH_BYTES : LENGTH_BYTES + n_bytes])
    return header


def content_of(data: bytes) -> bytes:
    return data[LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES], "little") :]


def assemble(header: bytes, content: bytes) -> bytes:
    """A file of any header text; the hash of what results stands in it, if there is a place for it."""
    return rehash(len(header).to_bytes(LENGTH_BYTES, "little") + header + content)


def rehash(data: bytes) -> bytes:
    digest = content_sha256(data).encode()
    return data[:DIGEST_OFFSET] + digest + data[DIGEST_OFFSET + DIGEST_BYTES :]


def header_text(header: dict[str, Any]) -> bytes:
    return json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    )


def with_header(data: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The file with its header changed in place by `change`, and hashed anew."""
    header = header_of(data)
    change(header)
    return assemble(header_text(header), content_of(data))


def with_spec(data: bytes, **changes: Any) -> bytes:
    """The file with other values in its spec, and hashed anew."""

    def change(header: dict[str, Any]) -> None:
        spec = json.loads(header["__metadata__"]["spec"])
        spec.update(changes)
        header["__metadata__"]["spec"] = json.dumps(spec, sort_keys=True)

    return with_header(data, change)


def with_array(data: bytes, name: str, values: Any) -> bytes:
    """The file with other values in one array (of the same size), and hashed anew."""
    begin, end = header_of(data)[name]["data_offsets"]
    encoded = values if isinstance(values, bytes) else np.asarray(values, "<f8").tobytes()
    assert len(encoded) == end - begin
    content = content_of(data)
    return rehash(data[: len(data) - len(content)] + content[:begin] + encoded + content[end:])


def array_of(data: bytes, name: str) -> np.ndarray:
    """A writable copy of one float array of the file."""
    entry = header_of(data)[name]
    begin, end = entry["data_offsets"]
    return np.frombuffer(content_of(data)[begin:end], "<f8").reshape(entry["shape"]).copy()


def make_parts(seed: int, n_features: int, n_dimensions: int, n_units: int = 0) -> tuple[Projection, list[Mixture]]:
    """Return a random projection, and some diagonal mixtures behind it."""
    rng = np.random.default_rng(seed)
    mean, scale = rng.normal(size=n_features), np.exp(rng.normal(size=n_features))
    bottleneck = make_bottleneck(rng, n_features, n_units, n_dimensions) if n_units else None
    projection = Projection(mean, scale, rng.normal(size=(n_features, n_dimensions)), bottleneck)
    mixtures = []
    for k in rng.integers(1, 20, size=rng.integers(1, 6)):
        variances = np.exp(2.0 * rng.normal(size=(k, n_dimensions)))
        mixtures.append(Mixture(rng.dirichlet(np.ones(k)), 3.0 * rng.normal(size=(k, n_dimensions)), variances, "diag"))
    return projection, mixtures
