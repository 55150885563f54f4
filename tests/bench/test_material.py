from __future__ import annotations

import numpy as np
import pytest

from streamgmm.bench.models import N_COMPONENTS, make_model
from streamgmm.bench.sound import make_sound
from streamgmm.features.extractor import extract
from streamgmm.features.spec import FeatureSpec
from streamgmm.pipeline import Pipeline
from streamgmm.records import Window
from streamgmm.settings.config import Config
from streamgmm.settings.output import OutputSection
from streamgmm.settings.training import TrainingSection
from streamgmm.world.world import World, read_world

SPEC = FeatureSpec(sample_rate_hz=16000)


@pytest.fixture(scope="module")
def world() -> World:
    return read_world()


@pytest.mark.parametrize("rate_hz", [16000, 44100])
def test_the_sound_has_its_length_and_level_and_is_the_same_each_time(world: World, rate_hz: int) -> None:
    sound = make_sound(world, 3.0, rate_hz)
    assert sound.shape == (3 * rate_hz,)
    assert sound.dtype == np.float32
    assert 0.01 < np.sqrt(np.mean(np.square(sound))) < 1.0
    np.testing.assert_array_equal(sound, make_sound(world, 3.0, rate_hz))


def test_a_sound_longer_than_the_world_begins_again(world: World) -> None:
    few = World(world.rate_hz, world.sounds[:2])
    assert len(make_sound(few, 10.0, 16000)) == 160000


@pytest.mark.parametrize("has_cepstra", [False, True])
def test_a_model_has_the_shape_of_training_and_scores_real_sound(world: World, has_cepstra: bool) -> None:
    sound = make_sound(world, 3.0, SPEC.sample_rate_hz)
    model = make_model(SPEC, extract(sound, SPEC, has_cepstra=True), 10, has_cepstra=has_cepstra)
    training = TrainingSection()
    assert training.n_components == N_COMPONENTS
    assert model.classifier.projection.n_dimensions == 9 + training.n_principal
    assert {mixture.n_components for mixture in model.classifier.mixtures} == {N_COMPONENTS}
    assert (model.classifier.cepstra is not None) == has_cepstra
    records = Pipeline(model, Config(output=OutputSection(windows=True))).push(sound)
    assert any(isinstance(record, Window) for record in records)
