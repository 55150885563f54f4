"""The header of model files: its content, its strict reader, and the place of each array.

Model files are safetensors files (see `layout`). Any safetensors reader opens them; this reader accepts only the arrays
that follow from `FileSpec`.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from streamgmm.labels import BACKGROUND
from streamgmm.model.layout import LENGTH_BYTES, Tensor, lay_out
from streamgmm.model.mixture import covariance_shape
from streamgmm.model.model_error import ModelError
from streamgmm.model.strict_json import strict_json
from streamgmm.settings.training import Covariance
from streamgmm.wording import escaped

MODEL_FORMAT: Final = "streamgmm"
MODEL_FORMAT_VERSION = 1

MAX_MODEL_BYTES = 64 * 2**20
MAX_MODEL_HEADER_BYTES = 64 * 2**10
MAX_CARD_BYTES = 2**20
MAX_LABELS = 256
MAX_DIMENSIONS = 256
"""Factorising a covariance takes cubic time; without a limit, a hostile file could take very long to load."""

MAX_UNITS = 4096

# Keys are sorted, so the digest is the first value of the file, at a fixed offset.
DIGEST_PREFIX = b'{"__metadata__":{"content_sha256":"'
DIGEST_OFFSET = LENGTH_BYTES + len(DIGEST_PREFIX)
DIGEST_BYTES = 64

VersionText = Annotated[str, Meta(pattern=r"^[0-9A-Za-z.+-]{1,32}$")]


class CepstralFileSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sizes and settings of the mixtures over frame vectors.

    Attributes:
        covariance_type: covariance type of all mixtures.
        weight: weight of frames in hops, see `CepstralMixtures`.
        n_features: length of frame vectors.
        n_dimensions: length of projected frame vectors.
        n_components: number of components of each mixture, in the order of the mixtures over windows.
    """

    covariance_type: Covariance
    weight: float
    n_features: Annotated[int, Meta(ge=1, le=65536)]
    n_dimensions: Annotated[int, Meta(ge=1, le=MAX_DIMENSIONS)]
    n_components: Annotated[list[Annotated[int, Meta(ge=1, le=65536)]], Meta(max_length=MAX_LABELS + 1)]


class DensityFileSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sizes and numbers of the density of the background, see `BackgroundDensity` and `AlarmTail`.

    Attributes:
        n_axes: k, number of main axes.
        rest_variance: mean variance in all other directions.
        level: begin of the tail (nat).
        per_hour: peaks of the background above it (1/h).
        scale: mean excess of these peaks (nat).
    """

    n_axes: Annotated[int, Meta(ge=1, le=MAX_DIMENSIONS)]
    rest_variance: float
    level: float
    per_hour: float
    scale: float


class FileSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The sizes and settings from which every array of the file follows.

    Attributes:
        name: name of the model.
        labels: labels in the order of the arrays.
        features: `FeatureSpec` as JSON.
        covariance_type: covariance type of all mixtures over windows.
        likelihood_scale: see `Classifier`.
        n_features: f, length of window vectors.
        n_dimensions: d, length of projected window vectors.
        n_components: number of components of each mixture; that of the background is last, unless it is a label.
        decision_bytes: length of the JSON text of the decision settings of single labels.
        card_bytes: length of the JSON text of the card.
        cepstra: the mixtures over cepstral frames; None if there are none.
        sharpness: see `ClipCalibration`.
        min_in_domain_score: see `ClipCalibration`.
        typical: see `ClipCalibration` (nat).
        typical_deviation: see `ClipCalibration` (nat).
        typical_are_ratios: see `ClipCalibration`.
        background_prior: see `Classifier`.
        clip_likelihood_scale: see `ClipCalibration`.
        clip_cepstral_weight: see `ClipCalibration`.
        n_units: number of units of the bottleneck; 0 for none.
        density: the density of the background; None if there is none.
    """

    name: str
    labels: Annotated[list[str], Meta(min_length=1, max_length=MAX_LABELS)]
    features: dict[str, Any]
    covariance_type: Covariance
    likelihood_scale: float
    n_features: Annotated[int, Meta(ge=1, le=65536)]
    n_dimensions: Annotated[int, Meta(ge=1, le=MAX_DIMENSIONS)]
    n_components: Annotated[list[Annotated[int, Meta(ge=1, le=65536)]], Meta(max_length=MAX_LABELS + 1)]
    decision_bytes: Annotated[int, Meta(ge=2, le=MAX_CARD_BYTES)]
    card_bytes: Annotated[int, Meta(ge=2, le=MAX_CARD_BYTES)]
    # The key in the file is that of the first version, so that older models remain readable.
    cepstra: CepstralFileSpec | None = msgspec.field(default=None, name="frames")
    sharpness: float = 1.0
    min_in_domain_score: float = msgspec.field(default=0.0, name="min_knownness")
    typical: Annotated[list[float], Meta(max_length=MAX_LABELS)] = []
    typical_deviation: float = 1.0
    typical_are_ratios: bool = False
    background_prior: float = 0.0
    clip_likelihood_scale: float | None = None
    clip_cepstral_weight: float | None = None
    n_units: Annotated[int, Meta(ge=0, le=MAX_UNITS)] = 0
    density: DensityFileSpec | None = None

    @property
    def n_mixtures(self) -> int:
        """Number of mixtures in the file: one per label, and one for the background unless it is a label."""
        return len(self.labels) + (BACKGROUND not in self.labels)

    def shapes(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Return dtype and shape of every array, in the order of the file."""
        # Floats first: texts of any length before them would leave them unaligned.
        return {
            **_mixture_shapes("", self, self.n_mixtures),
            "floors": ("F64", (len(self.labels),)),
            "priors": ("F64", (len(self.labels),)),
            **(_mixture_shapes("frames.", self.cepstra, self.n_mixtures) if self.cepstra else {}),
            **(self._bottleneck_shapes() if self.n_units else {}),
            **(_density_shapes(self.n_features, self.density.n_axes) if self.density else {}),
            "decision": ("U8", (self.decision_bytes,)),
            "card": ("U8", (self.card_bytes,)),
        }

    def _bottleneck_shapes(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        f, u, d = self.n_features, self.n_units, self.n_dimensions
        return {
            "bottleneck.offsets": ("F64", (u,)),
            "bottleneck.matrix": ("F64", (u, d)),
            "bottleneck.shift": ("F64", (d,)),
            # In half precision, which training rounds them to: they are most of the file.
            "bottleneck.weights": ("F16", (f, u)),
        }

    def tensors(self) -> dict[str, Tensor]:
        """Return every array with its place in the file, back to back."""
        return lay_out(self.shapes())


def _mixture_shapes(
    prefix: str, spec: FileSpec | CepstralFileSpec, n_mixtures: int
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return dtype and shape of the arrays for one kind of vectors: mixtures, projection and self-test."""
    total, d, f = sum(spec.n_components), spec.n_dimensions, spec.n_features
    shapes: dict[str, tuple[int, ...]] = {
        "weights": (total,),
        "means": (total, d),
        "covariances": covariance_shape(spec.covariance_type, total, d),
        "projection.mean": (f,),
        "projection.scale": (f,),
        "projection.matrix": (f, d),
        "self_test.vector": (f,),
        "self_test.log_likelihoods": (n_mixtures,),
    }
    return {prefix + name: ("F64", shape) for name, shape in shapes.items()}


def _density_shapes(n_features: int, n_axes: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return dtype and shape of the arrays of a density; the axes, most of it, keep three digits."""
    shapes = {"mean": (n_features,), "weights": (n_features,), "centre": (n_features,), "variances": (n_axes,)}
    return {
        **{f"density.{name}": ("F64", shape) for name, shape in shapes.items()},
        "density.self_test.strangeness": ("F64", (1,)),
        "density.axes": ("F16", (n_features, n_axes)),
    }


class Metadata(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `__metadata__` of the header, in which safetensors allows only strings."""

    content_sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    format: Literal["streamgmm"] = MODEL_FORMAT
    format_version: Annotated[str, Meta(pattern=r"^[0-9]{1,9}$")] = str(MODEL_FORMAT_VERSION)
    spec: str
    tool_version: VersionText


class Header(NamedTuple):
    """A header that is strict JSON, of a version that this build reads.

    Attributes:
        metadata: the strings of `__metadata__`.
        spec: sizes and settings, parsed from `metadata.spec`.
        entries: the entries of the arrays, not checked yet.
        data_offset: position of the first array in the file (bytes).
    """

    metadata: Metadata
    spec: FileSpec
    entries: dict[str, Any]
    data_offset: int


def content_sha256(data: bytes) -> str:
    """Return the SHA-256 (hexadecimal) of the file without the bytes of the digest itself."""
    # A view, so that the file is not copied to leave out a few bytes.
    digest = hashlib.sha256(data[:DIGEST_OFFSET])
    digest.update(memoryview(data)[DIGEST_OFFSET + DIGEST_BYTES :])
    return digest.hexdigest()


def read_header(data: bytes) -> Header:
    """Read the header of the file `data`, and check all that does not depend on the arrays.

    Raises:
        ModelError: the header is not that of a model that this build reads.
    """
    # The length is checked before any of the header is parsed.
    n_bytes = int.from_bytes(data[:LENGTH_BYTES], "little")
    data_offset = LENGTH_BYTES + n_bytes
    _check_extent(data, n_bytes)
    entries = strict_json(data[LENGTH_BYTES:data_offset], LENGTH_BYTES)
    # `entries` is a dict, because `_check_extent` requires a brace as first byte.
    strings = entries.pop("__metadata__", None)
    if not isinstance(strings, dict) or strings.get("format") != MODEL_FORMAT:
        raise ModelError("foreign", "a safetensors file of another program", hint="name a model of streamgmm")
    # Before the conversion: another version may have other keys.
    _check_version(strings.get("format_version"))
    metadata = _converted(strings, Metadata)
    if not data.startswith(DIGEST_PREFIX, LENGTH_BYTES):
        raise ModelError("header", "the content hash is not at the start of the header", offset=LENGTH_BYTES)
    spec = strict_json(metadata.spec.encode(), LENGTH_BYTES)
    _check_covariance_types(spec)
    return Header(metadata, _converted(spec, FileSpec), entries, data_offset)


def _check_extent(data: bytes, n_header_bytes: int) -> None:
    if len(data) < LENGTH_BYTES:
        raise ModelError("truncated", "the file ends before its header", offset=len(data))
    # First: the size that another kind of file seems to claim tells nothing.
    if not data.startswith(b"{", LENGTH_BYTES) and (n_header_bytes == 0 or n_header_bytes > MAX_MODEL_HEADER_BYTES):
        raise _not_a_model()
    if n_header_bytes > MAX_MODEL_HEADER_BYTES:
        raise ModelError(
            "too_large", f"the header claims {n_header_bytes} bytes, at most {MAX_MODEL_HEADER_BYTES} are read"
        )
    if len(data) < LENGTH_BYTES + n_header_bytes:
        raise ModelError("truncated", "the file ends within its header", offset=len(data))
    if not data.startswith(b"{", LENGTH_BYTES) or n_header_bytes == 0:
        raise _not_a_model()


def _not_a_model() -> ModelError:
    return ModelError("foreign", "not a model", offset=LENGTH_BYTES, hint="name a file made by `streamgmm train`")


def _check_version(version: object) -> None:
    if version == str(MODEL_FORMAT_VERSION):
        return
    # Text from a file: escaped and short before it reaches a terminal.
    shown = escaped(str(version)[:9])
    is_newer = re.fullmatch("[0-9]+", shown) is not None and int(shown) > MODEL_FORMAT_VERSION
    hint = "upgrade streamgmm" if is_newer else "train the model again"
    raise ModelError("version", f"made by format {shown}, this build reads {MODEL_FORMAT_VERSION}", hint=hint)


def _check_covariance_types(spec: Any) -> None:
    # Earlier releases trained these types too; the conversion would only report an invalid value.
    kinds = (spec, spec.get("frames")) if isinstance(spec, dict) else ()
    for kind in kinds:
        if isinstance(kind, dict) and (name := kind.get("covariance_type")) in ("tied", "spherical"):
            what = f"has Gaussians of covariance type {name}, this build reads diag and full"
            raise ModelError("version", what, offset=LENGTH_BYTES, hint="train the model again")


def _converted(value: Any, kind: type[Any]) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ModelError("header", escaped(str(error)), offset=LENGTH_BYTES) from None
