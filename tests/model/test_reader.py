from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pywt

from streamgmm.model import header as header_module
from streamgmm.model.file import load_model
from streamgmm.model.header import MAX_MODEL_HEADER_BYTES
from streamgmm.model.reader import parse_model
from streamgmm.model.writer import model_bytes
from tests.model.model_rig import (
    N_FRAME_FEATURES,
    array_of,
    assemble,
    content_of,
    header_of,
    header_text,
    make_model,
    refusal,
    with_array,
    with_header,
    with_spec,
)
from tests.narrowing import present


def test_what_was_written_is_read(data: bytes) -> None:
    model, original = parse_model(data, "yard.sgm"), make_model(n_cepstral_features=N_FRAME_FEATURES)
    assert (model.name, model.spec, model.labels) == (original.name, original.spec, original.labels)
    assert (model.decision, model.card, model.tool_version) == (original.decision, original.card, original.tool_version)
    vector = np.linspace(-1.0, 1.0, original.classifier.projection.n_features)
    read, expected = model.classifier.score(vector), original.classifier.score(vector)
    assert read.log_likelihoods.tobytes() == expected.log_likelihoods.tobytes()
    assert read.background_log_likelihood == expected.background_log_likelihood
    assert header_of(data)["__metadata__"]["content_sha256"] == model.sha256
    frames, expected_frames = present(model.classifier.cepstra), present(original.classifier.cepstra)
    assert frames.weight == expected_frames.weight
    frame = np.linspace(-1.0, 1.0, N_FRAME_FEATURES)
    assert frames.score_one(frame).tobytes() == expected_frames.score_one(frame).tobytes()


def test_D4_header_lengths_beyond_the_cap_are_refused_before_reading(data: bytes) -> None:
    for length in (2**63, 100_000_000, MAX_MODEL_HEADER_BYTES + 1, 2**64 - 1):
        assert refusal(length.to_bytes(8, "little") + data[8:]).reason == "too_large"
    assert refusal(bytes(8) + data[8:]).reason == "foreign"
    assert refusal((MAX_MODEL_HEADER_BYTES).to_bytes(8, "little") + data[8:]).reason == "truncated"


def test_D4_a_key_twice_in_the_header_is_refused(data: bytes) -> None:
    text = header_text(header_of(data))
    twice = text[:-1] + b',"weights":{"data_offsets":[0,56],"dtype":"F64","shape":[7]}}'
    assert refusal(assemble(twice, content_of(data))).reason == "header"


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [2**40]},
        {"shape": [-7]},
        {"shape": [7.0]},
        {"shape": [True]},
        {"shape": "7"},
        {"shape": [7, 1]},
        {"data_offsets": [0, 48]},
        {"data_offsets": [8, 64]},
        {"data_offsets": [0, 2**50]},
        {"data_offsets": [-56, 0]},
        {"dtype": "F32"},
        {"dtype": "I64"},
        {"extra": 1},
    ],
)
def test_D5_arrays_that_the_spec_does_not_call_for_are_refused(data: bytes, changes: dict[str, Any]) -> None:
    damaged = with_header(data, lambda header: header["weights"].update(changes))
    assert refusal(damaged).reason == "layout"


def test_D5_missing_and_additional_arrays_are_refused(data: bytes) -> None:
    assert refusal(with_header(data, lambda header: header.pop("floors"))).reason == "layout"
    more = {"data_offsets": [0, 0], "dtype": "F64", "shape": [0]}
    assert refusal(with_header(data, lambda header: header.update(more=more))).reason == "layout"
    assert refusal(with_header(data, lambda header: header.update({"\ud800": more}))).reason == "header"


def test_D5_trailing_bytes_are_refused_with_their_place(data: bytes) -> None:
    error = refusal(data + b"\0")
    assert (error.reason, error.offset) == ("layout", len(data))


@pytest.mark.parametrize(
    "changes",
    [
        {"n_components": [65536] * 3},
        {"n_features": 65536, "n_dimensions": 256},
        {"n_components": [2, 3]},
        {"n_components": [2, 3, 2, 1]},
        {"n_components": [7, 0, 0]},
        {"n_components": [-1, 4, 4]},
        {"n_dimensions": 2**62},
        {"card_bytes": 2**31},
        {"labels": []},
        {"labels": [f"l{i}" for i in range(1025)]},
        {"labels": ["dog"]},
        {"labels": "dog"},
        {"covariance_type": "full"},
        {"covariance_type": "square"},
        {"surprise": 1},
        {"likelihood_scale": "1"},
    ],
)
def test_D5_D7_a_spec_that_does_not_fit_the_arrays_is_refused(data: bytes, changes: dict[str, Any]) -> None:
    assert refusal(with_spec(data, **changes)).reason in ("layout", "header")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weights", 0.9),
        ("weights", -0.1),
        ("weights", np.nan),
        ("means", np.nan),
        ("means", np.inf),
        ("means", 1e300),
        ("covariances", 0.0),
        ("covariances", -1.0),
        ("covariances", 1e-12),
        ("covariances", np.nan),
        ("projection.scale", 0.0),
        ("projection.mean", np.inf),
        ("projection.matrix", np.nan),
        ("floors", np.nan),
        ("floors", np.inf),
        ("priors", 0.0),
    ],
)
def test_D7_numbers_of_no_classifier_are_refused_though_the_hash_is_right(data: bytes, name: str, value: float) -> None:
    numbers = array_of(data, name)
    numbers.flat[0] = value
    assert refusal(with_array(data, name, numbers)).reason == "values"


@pytest.mark.parametrize("covariance_type", ["tied", "spherical"])
@pytest.mark.parametrize("has_cepstra", [False, True])
def test_covariance_types_of_earlier_releases_are_refused_by_name(covariance_type: str, has_cepstra: bool) -> None:
    data = model_bytes(make_model(n_cepstral_features=N_FRAME_FEATURES if has_cepstra else 0))
    spec = json.loads(header_of(data)["__metadata__"]["spec"])
    change = {"frames": spec["frames"] | {"covariance_type": covariance_type}} if has_cepstra else {}
    error = refusal(with_spec(data, **(change or {"covariance_type": covariance_type})))
    assert error.reason == "version"
    assert f"covariance type {covariance_type}, this build reads diag and full" in str(error)


def test_D7_covariances_that_are_not_positive_definite_are_refused() -> None:
    data = model_bytes(make_model(covariance_type="full"))
    covariances = array_of(data, "covariances")
    covariances[0] = [[1.0, 2.0], [2.0, 1.0]]
    error = refusal(with_array(data, "covariances", covariances))
    assert error.reason == "values"
    assert "positive definite" in str(error)


@pytest.mark.parametrize("scale", [0.0, -1.0, 1e9])
def test_D7_a_likelihood_scale_out_of_range_is_refused(data: bytes, scale: float) -> None:
    assert refusal(with_spec(data, likelihood_scale=scale)).reason == "values"


@pytest.mark.parametrize(
    "changes",
    [
        {"sharpness": 0.0},
        {"min_knownness": 1.1},
        {"typical": [-40.0]},
        {"typical": [-40.0, -41.0, -42.0]},
        {"typical_deviation": 0.0},
        {"typical_deviation": 1e9},
    ],
)
def test_D7_what_is_said_of_clips_has_to_fit(data: bytes, changes: dict[str, Any]) -> None:
    assert refusal(with_spec(data, **changes)).reason == "values"


def test_D7_decisions_out_of_range_or_for_no_label_are_refused(data: bytes) -> None:
    begin, end = header_of(data)["decision"]["data_offsets"]
    original = content_of(data)[begin:end]
    for old, new in ((b"0.7", b"7.0"), (b"dog", b"cat"), (b"onset", b"onzet"), (b"0.7", b"NaN")):
        assert refusal(with_array(data, "decision", original.replace(old, new))).reason in ("values", "header")


def test_D7_a_card_that_is_no_object_is_refused(data: bytes) -> None:
    begin, end = header_of(data)["card"]["data_offsets"]
    assert refusal(with_array(data, "card", b"[" + b" " * (end - begin - 2) + b"]")).reason == "values"
    assert refusal(with_array(data, "card", b"{" * (end - begin))).reason == "header"


def test_D8_a_newer_format_asks_for_an_upgrade(data: bytes) -> None:
    newer = with_header(data, lambda header: header["__metadata__"].update(format_version="3", new_field="x"))
    error = refusal(newer)
    assert error.reason == "version"
    assert "made by format 3, this build reads 1" in str(error)
    assert "upgrade" in error.hint


@pytest.mark.parametrize("version", ["0", "", "one", "\x1b[31m", 1, None])
def test_D9_other_versions_are_refused_with_what_to_do(data: bytes, version: object) -> None:
    error = refusal(with_header(data, lambda header: header["__metadata__"].update(format_version=version)))
    assert error.reason == "version"
    assert "train" in error.hint


def test_D9_the_first_format_is_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    from streamgmm.model import reader

    monkeypatch.setattr(reader, "FEATURE_VERSION", 1)
    monkeypatch.setattr(reader, "n_features", lambda _: 3)
    monkeypatch.setattr(reader, "n_cepstral_features", lambda _: 2)
    model = load_model(Path(__file__).parent / "golden" / "format_1.sgm")
    assert model.labels == ("dog", "glass", "background")
    assert model.sha256 == "ee1756ad33a75333993c791188e0a57cf7db0089ec8b24c708c0e6d7deb82b97"


def test_D10_features_of_another_version_are_refused_with_both(data: bytes) -> None:
    features = json.loads(header_of(data)["__metadata__"]["spec"])["features"]
    error = refusal(with_spec(data, features=features | {"version": 7}))
    assert error.reason == "features"
    assert "version 7, this build computes 1" in str(error)


@pytest.mark.parametrize(
    "changes",
    [
        {"sample_rate_hz": 0},
        {"sample_rate_hz": "8000"},
        {"window_s": 1e9},
        {"n_bands": 10_000},
        {"hop_s": -1.0},
        {"level": 3},
        {"n_bands": 16},
    ],
)
def test_D10_features_that_this_build_does_not_compute_are_refused(data: bytes, changes: dict[str, Any]) -> None:
    features = json.loads(header_of(data)["__metadata__"]["spec"])["features"]
    assert refusal(with_spec(data, features=features | changes)).reason == "features"


@pytest.mark.parametrize("changes", [{"wavelet": "sym99"}, {"modulation_wavelet": "db\x1b[2J"}])
def test_D11_unknown_wavelets_are_refused_at_load(data: bytes, changes: dict[str, Any]) -> None:
    features = json.loads(header_of(data)["__metadata__"]["spec"])["features"]
    assert refusal(with_spec(data, features=features | changes)).reason == "features"


def test_D11_wavelets_that_the_installed_library_lacks_are_refused(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pywt, "families", lambda: ["haar"])
    error = refusal(data)
    assert error.reason == "features"
    assert "'cmor'" in str(error)


@pytest.mark.parametrize("label", ["a\nb", "\x1b]0;x", "a\u202eb", "../etc", "-rf", "", "x" * 65, "Dog", "dog"])
def test_D15_hostile_labels_are_refused_though_the_hash_is_right(data: bytes, label: str) -> None:
    error = refusal(with_spec(data, labels=["dog", label]))
    assert error.reason == "labels"
    assert str(error).isprintable()


def test_D15_a_hostile_name_or_tool_version_is_refused(data: bytes) -> None:
    assert refusal(with_spec(data, name="a\x1bb")).reason == "labels"
    damaged = with_header(data, lambda header: header["__metadata__"].update(tool_version="1\n2"))
    assert refusal(damaged).reason == "header"


def test_D15_text_of_the_card_comes_out_printable(data: bytes) -> None:
    begin, end = header_of(data)["card"]["data_offsets"]
    card = content_of(data)[begin:end].replace(b"a.wav", b"\xe2\x80\xae\\n")
    assert parse_model(with_array(data, "card", card), "x").card["files"] == ["\\u202e\\n"]


def test_scores_that_differ_from_the_stored_ones_are_refused(data: bytes) -> None:
    scores = array_of(data, "self_test.log_likelihoods")
    assert refusal(with_array(data, "self_test.log_likelihoods", scores * (1 + 1e-7))).reason == "self_test"
    assert refusal(with_array(data, "self_test.log_likelihoods", scores * np.nan)).reason == "self_test"
    parse_model(with_array(data, "self_test.log_likelihoods", scores * (1 + 1e-12)), "x")
    means = array_of(data, "means")
    assert refusal(with_array(data, "means", means + 1e-3)).reason == "self_test"


def test_the_digest_stands_at_its_place(data: bytes) -> None:
    text = header_text(header_of(data)).replace(b'{"__metadata__":', b'{ "__metadata__":')
    assert refusal(assemble(text, content_of(data))).reason in ("header", "digest")


def test_models_over_the_cap_are_refused(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    from streamgmm.model import reader

    monkeypatch.setattr(reader, "MAX_MODEL_BYTES", len(data) - 1)
    assert refusal(data).reason == "too_large"
    assert header_module.MAX_MODEL_BYTES == 64 * 2**20
