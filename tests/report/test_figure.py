from __future__ import annotations

import base64
import io
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from streamgmm.errors import OutputError, UsageError
from streamgmm.report.figure import PAGE_INK, inline_png, inline_svg, new_figure, save_figure
from streamgmm.report.matplotlib_defaults import check_matplotlib

image = pytest.importorskip("matplotlib.image")


def draw():
    figure = new_figure(2.0, 1.0)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1])
    axes.set_title("<b>$x_1$ & co</b>")
    return figure


def test_text_stays_text_is_escaped_and_no_formula():
    root = ElementTree.fromstring(inline_svg("one", draw))
    texts = ["".join(element.itertext()).strip() for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "<b>$x_1$ & co</b>" in texts


def test_ids_begin_with_the_name_and_what_refers_to_them_too():
    svg = inline_svg("one", draw)
    root = ElementTree.fromstring(svg)
    ids = [name for element in root.iter() if (name := element.get("id"))]
    assert ids
    assert all(name.startswith("one-") for name in ids)
    assert len(set(ids)) == len(ids)
    links = [value[1:] for element in root.iter() for key, value in element.items() if key.endswith("href")]
    clips = [value[5:-1] for element in root.iter() for key, value in element.items() if key == "clip-path"]
    assert links
    assert clips
    assert {*links, *clips} <= set(ids)


def test_ink_is_that_of_the_page_and_the_same_picture_has_the_same_bytes():
    svg = inline_svg("one", draw)
    assert "currentColor" in svg
    assert PAGE_INK not in svg
    assert inline_svg("one", draw) == svg


def test_a_png_has_the_lowest_row_at_the_bottom():
    source = inline_png(np.array([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]), 0.0, 1.0)
    head, _, data = source.partition(",")
    assert head == "data:image/png;base64"
    pixels = image.imread(io.BytesIO(base64.b64decode(data)), format="png")
    assert pixels.shape[:2] == (2, 3)
    assert pixels[1, :, :3].mean() > 0.7
    assert pixels[0, :, :3].mean() < 0.1


def test_without_matplotlib_the_error_names_the_package_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r'needs matplotlib \(pip install "streamgmm\[plot\]"\)'):
        check_matplotlib()


@pytest.mark.parametrize(("name", "begin"), [("a.png", b"\x89PNG"), ("a.SVG", b"<?xml"), ("a", b"\x89PNG")])
def test_the_suffix_decides_the_format_and_the_same_figure_has_the_same_bytes(tmp_path, name, begin):
    contents = []
    for _ in range(2):
        save_figure(draw(), tmp_path / name)
        contents.append((tmp_path / name).read_bytes())
    assert contents[0].startswith(begin)
    assert contents[0] == contents[1]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_figure_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(OutputError):
        save_figure(draw(), tmp_path / "none" / "a.svg")


@pytest.mark.filterwarnings("error")
def test_a_script_that_the_font_lacks_gives_no_warning(tmp_path):
    figure = new_figure(2.0, 1.0)
    figure.text(0.5, 0.5, "\N{CJK UNIFIED IDEOGRAPH-5F00}")
    save_figure(figure, tmp_path / "a.png")
