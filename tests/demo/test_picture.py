from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from streamgmm.demo.picture import draw_scene
from streamgmm.errors import OutputError, UsageError
from streamgmm.evaluation.matching import Matches, match_events, overlapping
from streamgmm.listening.events import Annotation, Detection
from streamgmm.report.palette import LABEL_COLOURS, MISTAKE

image = pytest.importorskip("matplotlib.image")
colors = pytest.importorskip("matplotlib.colors")

RATE_HZ = 8000
SAMPLES = np.random.default_rng(0).normal(0, 0.01, 10 * RATE_HZ).astype(np.float32)


def all_matched() -> Matches:
    return match_events([Annotation("bell", 2.0, 4.0)], [Detection("bell", 2.1, 4.2, 2.5, 0.9)], overlapping(0.2))


@pytest.fixture(scope="module")
def good_png(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "good.png"
    draw_scene(path, SAMPLES, RATE_HZ, all_matched())
    return path


def n_pixels(path: Path, colour: str) -> int:
    pixels = image.imread(path)[..., :3]
    return int(np.sum(np.all(np.abs(pixels - colors.to_rgb(colour)) < 0.01, axis=-1)))


def test_the_picture_is_a_png_of_1600_by_900(good_png: Path):
    assert good_png.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert image.imread(good_png).shape[:2] == (900, 1600)


@pytest.mark.parametrize(
    "matches",
    [
        Matches([], [Annotation("bell", 2.0, 4.0)], []),
        Matches([], [], [Detection("bell", 2.0, 4.0, 2.5, 0.9)]),
    ],
    ids=["missed", "false"],
)
def test_a_mistake_adds_red_that_only_the_legend_had(good_png: Path, tmp_path: Path, matches: Matches):
    draw_scene(tmp_path / "bad.png", SAMPLES, RATE_HZ, matches)
    assert n_pixels(tmp_path / "bad.png", MISTAKE) > n_pixels(good_png, MISTAKE) + 300


def test_a_found_event_is_a_bar_in_its_label_s_colour(good_png: Path):
    assert n_pixels(good_png, LABEL_COLOURS[0]) > 5000


def test_a_scene_in_which_nothing_happens_can_be_drawn(tmp_path: Path):
    draw_scene(tmp_path / "scene.png", SAMPLES, RATE_HZ, Matches([], [], []))
    assert (tmp_path / "scene.png").stat().st_size > 0


def test_the_error_names_a_picture_that_cannot_be_written(tmp_path: Path):
    with pytest.raises(OutputError, match=r"missing.scene\.png"):
        draw_scene(tmp_path / "missing" / "scene.png", SAMPLES, RATE_HZ, all_matched())


def test_without_matplotlib_the_error_names_the_package_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r"streamgmm\[plot\]"):
        draw_scene(tmp_path / "scene.png", SAMPLES, RATE_HZ, all_matched())
