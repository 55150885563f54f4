from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from streamgmm.errors import OutputError
from streamgmm.model.file import load_model
from streamgmm.report.tuning_picture import DOTS_PER_INCH, HEIGHT_INCHES, WIDTH_INCHES, draw_tuning
from streamgmm.settings.config import Config
from streamgmm.tuning.operating_points import Material
from streamgmm.tuning.tuning import Tuned, tune
from tests.tuning.tuning_rig import background, event


@pytest.fixture(scope="module", params=[False, True], ids=["background alone", "with events"])
def tuned(request, demo_model) -> Tuned:
    model = load_model(demo_model)
    heard = background(model, {"siren": np.linspace(0.3, 0.9, 30).tolist(), "doorbell": [0.7]}, n_hours=3.0)
    events = [event(model, "siren", 0.95)] if request.param else []
    return tune(Material([heard], events), model, Config(), budget_per_hour=2.0)


def test_the_picture_has_its_size_and_something_on_it(tuned, tmp_path):
    path = tmp_path / "t.png"
    draw_tuning(path, tuned.tuning, tuned.curves, tuned.levels)
    pixels = imread(path)
    assert pixels.shape[:2] == (HEIGHT_INCHES * DOTS_PER_INCH, WIDTH_INCHES * DOTS_PER_INCH)
    # Ink of several colours: the curves of the labels.
    assert len(np.unique((pixels[..., :3] * 8).astype(int).reshape(-1, 3), axis=0)) > 20


def test_a_picture_that_cannot_be_written_is_an_error(tuned, tmp_path):
    with pytest.raises(OutputError):
        draw_tuning(Path(tmp_path / "none" / "t.png"), tuned.tuning, tuned.curves, tuned.levels)
