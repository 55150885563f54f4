from __future__ import annotations

from streamgmm import __version__
from streamgmm.records import ModelInfo
from streamgmm.service.greeting import make_hello, model_info
from tests.model.model_rig import SPEC, make_model


def test_hello_says_what_was_trained_and_how_it_listens() -> None:
    hello = make_hello(make_model(), ["dog", "glass"], "r1")
    assert (hello.run_id, hello.version, hello.t) == ("r1", __version__, 0.0)
    assert hello.labels == ["dog", "glass"]
    assert hello.model == ModelInfo(name="yard", version=__version__, sha256="")
    assert (hello.sample_rate_hz, hello.window_s, hello.hop_s) == (8000, 0.512, 0.128)


def test_durations_are_the_real_ones_not_the_rounded_wishes() -> None:
    hello = make_hello(make_model(), ["dog", "glass"], "r1")
    assert hello.hop_s * 8000 == SPEC.hop_samples
    assert hello.window_s * 8000 == SPEC.window_samples


def test_the_version_of_a_model_is_that_of_its_maker() -> None:
    assert model_info(make_model()).version == make_model().tool_version
