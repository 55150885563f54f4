from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from streamgmm.errors import OutputError
from streamgmm.explanation.explaining import Explained, explain
from streamgmm.explanation.result import by_kind_and_band
from streamgmm.features.bank import band_limits_hz, hz_to_mel
from streamgmm.features.window import window_layout
from streamgmm.model.model import Model
from streamgmm.report.explanation_picture import (
    DOTS_PER_INCH,
    HEIGHT_INCHES,
    OTHER_COLOURS,
    WIDTH_INCHES,
    draw_explanation,
    make_figure,
)
from streamgmm.report.palette import BAD, GOOD
from tests.explanation.explanation_rig import CONFIG, SILENT_S, in_blocks, noise, random_model
from tests.model.model_rig import SPEC

image = pytest.importorskip("matplotlib.image")
colors = pytest.importorskip("matplotlib.colors")

HOSTILE = "$x_{1$ <b>\n\udcff\N{HEADPHONE}.wav"
LABELS = ("dog", "glass", "owl", "bell", "door", "_rain")
AT_S = 2.7


def explained(model: Model, at_s=AT_S, against=None) -> Explained:
    return explain(in_blocks(noise()), model, CONFIG, at_s, against)


@pytest.fixture(scope="module")
def model() -> Model:
    return random_model(LABELS, has_cepstra=True)


@pytest.fixture(scope="module")
def found(model) -> Explained:
    return explained(model)


@pytest.fixture(scope="module")
def axes(found, model):
    spectrogram, posteriors, bands, kinds = make_figure(found, model, "a.wav").axes
    return {"spectrogram": spectrogram, "posteriors": posteriors, "bands": bands, "kinds": kinds}


def test_a_png_has_its_size_and_ink_of_several_colours(found, model, tmp_path):
    draw_explanation(tmp_path / "e.png", found, model, HOSTILE)
    pixels = image.imread(tmp_path / "e.png")
    assert pixels.shape[:2] == (HEIGHT_INCHES * DOTS_PER_INCH, WIDTH_INCHES * DOTS_PER_INCH)
    for colour in (GOOD, BAD, *OTHER_COLOURS):
        assert np.all(np.abs(pixels[..., :3] - colors.to_rgb(colour)) < 0.01, axis=-1).any()


def test_an_svg_is_well_formed(found, model, tmp_path):
    draw_explanation(tmp_path / "e.svg", found, model, HOSTILE)
    assert ElementTree.parse(tmp_path / "e.svg").getroot().tag.endswith("svg")


def test_a_picture_that_cannot_be_written_is_an_error(found, model, tmp_path):
    with pytest.raises(OutputError):
        draw_explanation(tmp_path / "none" / "e.png", found, model, "a.wav")


def test_bars_of_bands_are_at_their_frequencies_and_as_long_as_their_contributions(axes, found):
    _, table = by_kind_and_band(found.explanation.comparison.parts, SPEC.n_bands)
    edges = [hz_to_mel(limit_hz) for limit_hz in band_limits_hz(SPEC)]
    bars = axes["bands"].patches
    assert [bar.get_width() for bar in bars] == pytest.approx(table[:, :-1].sum(axis=0).tolist())
    for bar, low, high in zip(bars, edges[:-1], edges[1:], strict=True):
        assert low < bar.get_y() < bar.get_y() + bar.get_height() < high
    assert axes["bands"].get_ylim() == axes["spectrogram"].get_ylim() == (0.0, hz_to_mel(SPEC.sample_rate_hz / 2))


def test_bars_of_kinds_with_frames_and_baseline_add_up_to_the_ratio(axes, found):
    bars = axes["kinds"].patches
    assert sum(bar.get_width() for bar in bars) == pytest.approx(found.explanation.comparison.llr)
    names = [label.get_text() for label in axes["kinds"].get_yticklabels()]
    assert names[-2:] == ["frames", "at training mean"]
    n_kinds = len({block.kind for block in window_layout(SPEC)})
    assert len(names) == len(bars) == n_kinds + 2
    weights = [abs(bar.get_width()) for bar in bars[:-2]]
    assert weights == sorted(weights, reverse=True)


def test_curves_are_the_smoothed_posteriors_on_the_time_axis_of_the_sound(axes, found, model):
    comparison, moments = found.explanation.comparison, found.surroundings.moments
    curves = {line.get_label(): line for line in axes["posteriors"].lines}
    for label, colour in ((comparison.label, GOOD), (comparison.against, BAD)):
        line = curves[label.replace("_", " ")]
        i_label = model.labels.index(label)
        assert line.get_ydata() == pytest.approx([moment.judgement.posteriors[i_label] for moment in moments])
        assert line.get_xdata() == pytest.approx([one.scores.end_sample / SPEC.sample_rate_hz for one in moments])
        assert line.get_color() == colour
    assert axes["posteriors"].get_xlim() == axes["spectrogram"].get_xlim()


def test_a_label_that_a_gate_rejects_has_hollow_marks(axes, found, model):
    i_label = model.labels.index(found.explanation.comparison.label)
    marks = next(one for one in axes["posteriors"].collections if len(one.get_offsets()) and one.get_sizes().any())
    is_filled = [tuple(colour[:3]) != (1.0, 1.0, 1.0) for colour in marks.get_facecolors()]
    assert is_filled == [bool(moment.judgement.scores[i_label] > 0.0) for moment in found.surroundings.moments]
    assert 0 < sum(is_filled) < len(is_filled)


def test_each_label_with_a_threshold_of_its_own_has_its_lines(axes):
    # `dog` has its own in the model, the others that of the settings.
    heights = {line.get_ydata()[0] for line in axes["posteriors"].lines if line.get_linestyle() in ("--", ":")}
    assert heights == {0.7, 0.6, 0.4}


@pytest.mark.parametrize(
    ("labels", "settings"),
    [
        (LABELS, {"at_s": SILENT_S[1] - 0.2}),
        (LABELS, {"at_s": 0.0}),
        (LABELS, {"against": "background"}),
        (("dog",), {}),
        (("background",), {}),
    ],
    ids=["silence", "first hop", "no label", "one label", "background alone"],
)
def test_there_is_a_picture_of_anything(tmp_path, labels, settings):
    model = random_model(labels)
    found = explained(model, **settings)
    draw_explanation(tmp_path / "e.png", found, model, "a.wav")
    assert len(make_figure(found, model, "a.wav").axes) == (2 if found.explanation.comparison is None else 4)
