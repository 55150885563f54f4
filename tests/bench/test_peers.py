from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from streamgmm.bench.peers import PEERS, Peer, band_levels, find_peers, naive_pipeline
from streamgmm.features.bank import design_bands
from streamgmm.features.spec import FeatureSpec
from tests.bench.bench_rig import hide_others
from tests.required import require_or_skip

SPEC = FeatureSpec(sample_rate_hz=16000)
NOISE = np.random.default_rng(0).standard_normal(32000).astype(np.float32) * 0.1


def test_peers_that_are_not_installed_are_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    hide_others(monkeypatch)
    found, missing = find_peers()
    assert list(found) == ["pywt.cwt"]
    assert [(peer.name, peer.install) for peer in missing] == [
        ("openSMILE", "pip install opensmile"),
        ("librosa", "pip install librosa"),
    ]


def test_a_peer_that_lacks_a_shared_library_is_missing_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(module: str) -> None:
        raise OSError("libgomp.so.1: cannot open shared object file")

    monkeypatch.setattr("importlib.import_module", fail)
    _, missing = find_peers()
    assert {peer.reason for peer in missing} == {"libgomp.so.1: cannot open shared object file"}
    assert len(missing) == len(PEERS)


@pytest.mark.parametrize("peer", PEERS.values(), ids=PEERS)
def test_a_peer_makes_features_of_the_whole_sound(peer: Peer) -> None:
    if importlib.util.find_spec(peer.module) is None:
        require_or_skip("bench", f"{peer.module} is not installed: pip install 'streamgmm[bench]'")
    made = np.asarray(peer.prepare(16000)(NOISE))
    # Frames of 4 to 120 ms; librosa has them in columns.
    assert 2.0 / 0.12 - 1 <= max(made.shape) <= 2.0 / 0.004
    assert np.isfinite(made).any()


def test_a_tone_is_strongest_in_the_band_of_its_frequency() -> None:
    band = design_bands(SPEC)[20]
    tone = np.sin(2 * np.pi * band.centre_hz * np.arange(32000) / 16000).astype(np.float32)
    levels = band_levels(tone, SPEC)
    assert levels.shape == (32000 // SPEC.hop_samples, SPEC.n_bands)
    assert set(levels[1:-1].argmax(axis=1)) == {20}


def test_the_naive_pipeline_answers_for_every_hop() -> None:
    answers = np.asarray(naive_pipeline(NOISE, SPEC, 10)(NOISE))
    assert answers.shape == (32000 // SPEC.hop_samples,)
