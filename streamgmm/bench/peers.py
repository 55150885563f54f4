"""Other ways to make features of a recording, to compare with; those that are not installed are named."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pywt
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler

from streamgmm.arrays import Float64Array, Samples
from streamgmm.bench.models import N_COMPONENTS
from streamgmm.features.bank import design_bands
from streamgmm.features.spec import FeatureSpec

WAVELET = "cmor1.5-1.0"
N_MFCC = 20

Extract = Callable[[Samples], object]
"""Makes the features of a recording, shape (n,)."""


class Peer(NamedTuple):
    """Another library.

    Attributes:
        module: module that has to be importable.
        computes: features that are computed, for people.
        prepare: from a sample rate (Hz) to the function that is measured.
    """

    module: str
    computes: str
    prepare: Callable[[int], Extract]


class MissingPeer(NamedTuple):
    """A peer that cannot be measured here.

    Attributes:
        name: key of `PEERS`.
        reason: message of the import.
        install: command that installs it.
    """

    name: str
    reason: str
    install: str


def _opensmile(rate_hz: int) -> Extract:
    opensmile = importlib.import_module("opensmile")
    smile = opensmile.Smile(
        feature_set=opensmile.FeatureSet.eGeMAPSv02, feature_level=opensmile.FeatureLevel.LowLevelDescriptors
    )
    return lambda samples: smile.process_signal(samples, rate_hz)


def _librosa(rate_hz: int) -> Extract:
    librosa = importlib.import_module("librosa")
    return lambda samples: librosa.feature.mfcc(y=samples, sr=rate_hz, n_mfcc=N_MFCC)


def _pywt(rate_hz: int) -> Extract:
    return lambda samples: band_levels(samples, FeatureSpec(sample_rate_hz=rate_hz))


PEERS: Mapping[str, Peer] = {
    "openSMILE": Peer("opensmile", "eGeMAPSv02 descriptors", _opensmile),
    "librosa": Peer("librosa", f"{N_MFCC} MFCC", _librosa),
    "pywt.cwt": Peer("pywt", "as many bands, FFT", _pywt),
}
"""By name: peers of the features, all of a whole recording in one call."""


def find_peers() -> tuple[dict[str, Peer], list[MissingPeer]]:
    """Return the peers that can be imported, and those that cannot."""
    found, missing = {}, []
    for name, peer in PEERS.items():
        try:
            importlib.import_module(peer.module)
            found[name] = peer
        # OSError: a shared library of the peer is missing.
        except (ImportError, OSError) as error:
            missing.append(MissingPeer(name, str(error), f"pip install {peer.module}"))
    return found, missing


def band_levels(samples: Samples, spec: FeatureSpec) -> Float64Array:
    """Return the level of each band in each hop by `pywt.cwt`, shape (n_hops, n_bands) (dB)."""
    scales = [pywt.central_frequency(WAVELET) * spec.sample_rate_hz / band.centre_hz for band in design_bands(spec)]
    # By FFT: several times as fast as the default for wavelets of this length.
    coefficients, _ = pywt.cwt(samples, scales, WAVELET, method="fft")
    powers = np.square(np.abs(coefficients))[:, : len(samples) // spec.hop_samples * spec.hop_samples]
    hops = powers.reshape(len(scales), -1, spec.hop_samples).mean(axis=2).T
    return np.asarray(10.0 * np.log10(hops + 1e-12), dtype=np.float64)


def naive_pipeline(samples: Samples, spec: FeatureSpec, n_labels: int) -> Extract:
    """Return what is quickly written with PyWavelets and scikit-learn: band levels, scored by a mixture per label.

    Args:
        samples: to fit the scaler and the mixture, which stands for those of all labels.
        spec: rate, bands and hops.
        n_labels: number of mixtures that are scored.
    """
    levels = band_levels(samples, spec)
    scaler = StandardScaler().fit(levels)
    mixture = GaussianMixture(N_COMPONENTS, covariance_type="diag", random_state=0).fit(scaler.transform(levels))

    def score(samples: Samples) -> object:
        vectors = scaler.transform(band_levels(samples, spec))
        return np.argmax([mixture.score_samples(vectors) for _ in range(n_labels)], axis=0)

    return score
