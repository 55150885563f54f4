from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from streamgmm.errors import DataError
from streamgmm.model.classifier import ClipCalibration
from streamgmm.model.header import MAX_CARD_BYTES
from streamgmm.model.model_error import ModelError
from streamgmm.model.reader import parse_model
from streamgmm.model.writer import model_bytes
from streamgmm.settings.decision import LabelSection
from tests.model.model_rig import array_of, header_of, make_model, with_array


@pytest.mark.parametrize("covariance_type", ["diag", "full"])
@pytest.mark.parametrize("labels", [("dog",), ("dog", "background", "glass"), ("büro", "犬", "unknown")])
def test_a_model_read_and_written_again_is_the_same_file(covariance_type: str, labels: tuple[str, ...]) -> None:
    data = model_bytes(make_model(covariance_type=covariance_type, labels=labels))
    assert model_bytes(parse_model(data, "x")) == data


def test_equal_models_are_equal_files_and_other_ones_are_not() -> None:
    model = make_model()
    assert model_bytes(model) == model_bytes(make_model())
    for other in (
        make_model(seed=1),
        replace(model, name="garden"),
        replace(model, card={}),
        replace(model, decision={"glass": LabelSection()}),
        replace(model, classifier=replace(model.classifier, likelihood_scale=0.5)),
        replace(model, classifier=replace(model.classifier, priors=np.array([1.0, 2.0]))),
    ):
        assert model_bytes(other) != model_bytes(model)


def test_the_order_of_cards_and_decisions_does_not_matter() -> None:
    model = make_model()
    card = dict(reversed(list(model.card.items())))
    assert model_bytes(replace(model, card=card)) == model_bytes(model)


def test_floats_lie_aligned() -> None:
    data = model_bytes(make_model(labels=("a", "bc", "def")))
    assert int.from_bytes(data[:8], "little") % 8 == 0
    header = header_of(data)
    assert all(e["data_offsets"][0] % 8 == 0 for name, e in header.items() if e.get("dtype") == "F64")


def test_256_labels_of_64_characters_fit() -> None:
    labels = tuple(f"{i:03d}" + "界" * 61 for i in range(256))
    overrides = LabelSection(onset_threshold=0.123456789, offset_threshold=0.1, min_duration_s=0.25)
    clips = ClipCalibration(
        1.2345678901234567, 0.123456789, (-123.45678901234567,) * 256, 4.5678901234567, 0.0123456789012345, 0.0, True
    )
    model = replace(make_model(labels=labels, n_components=8), decision=dict.fromkeys(labels, overrides))
    model = replace(model, classifier=replace(model.classifier, clips=clips))
    read = parse_model(model_bytes(model), "x")
    assert read.classifier.clips == clips
    assert read.labels == labels
    assert read.decision == model.decision


def test_257_labels_are_refused_before_anything_is_written() -> None:
    with pytest.raises(ModelError):
        model_bytes(make_model(labels=tuple(f"label {i}" for i in range(257))))


def test_long_cards_fit_and_endless_ones_are_refused() -> None:
    model = make_model()
    long_card = {f"recording {i}": "0" * 64 for i in range(9_000)}
    assert parse_model(model_bytes(replace(model, card=long_card)), "x").card == long_card
    with pytest.raises(ModelError):
        model_bytes(replace(model, card={"a": "x" * MAX_CARD_BYTES}))


def test_a_score_that_is_no_number_becomes_null() -> None:
    model = replace(make_model(), card={"f1": {"dog": float("nan")}})
    assert parse_model(model_bytes(model), "x").card == {"f1": {"dog": None}}


def test_D15_file_names_in_a_card_are_escaped() -> None:
    model = replace(make_model(), card={"a\x1b[0m.wav": ["\udcff", ("\n",)]})
    assert model.card == {"a\\x1b[0m.wav": ["\\udcff", ["\\n"]]}
    assert parse_model(model_bytes(model), "x").card == model.card


@pytest.mark.parametrize(
    "change", [{"name": "a\nb"}, {"name": ""}, {"decision": {"cat": LabelSection()}}, {"card": []}]
)
def test_what_is_no_model_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        replace(make_model(), **change)


def test_reading_and_scoring_needs_no_training_library() -> None:
    code = "import sys, streamgmm.model.file; sys.exit(any(m in sys.modules for m in ('sklearn', 'scipy', 'rich')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["projection.mean", "projection.scale", "projection.matrix"])
def test_the_self_test_sees_every_number_of_the_projection(name: str) -> None:
    data = model_bytes(make_model())
    for place in range(array_of(data, name).size):
        numbers = array_of(data, name)
        numbers.flat[place] += 0.01
        with pytest.raises(ModelError) as caught:
            parse_model(with_array(data, name, numbers), "x")
        assert caught.value.reason == "self_test"
