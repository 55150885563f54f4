from __future__ import annotations

import pytest

from streamgmm.model import reader
from streamgmm.model.writer import model_bytes
from tests.model.model_rig import N_FRAME_FEATURES, make_model


@pytest.fixture
def data() -> bytes:
    """The file of a small model."""
    return model_bytes(make_model(n_cepstral_features=N_FRAME_FEATURES))


@pytest.fixture
def tiny_data(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The file of a model so small that all of its bits can be tried; real features are longer."""
    monkeypatch.setattr(reader, "n_features", lambda _: 3)
    monkeypatch.setattr(reader, "n_cepstral_features", lambda _: 2)
    return model_bytes(make_model(n_features=3, n_cepstral_features=2))
