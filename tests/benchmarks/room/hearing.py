"""Features of streams, computed once and kept in files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import soundfile

from streamgmm.features.extractor import HopFeatures, clip_features
from streamgmm.features.spec import FeatureSpec
from tests.benchmarks.room.sounds import Sound
from tests.benchmarks.room.streams import Heard, Placed, Plan, render

NO_VECTOR = np.nan


class Stream(NamedTuple):
    """The features of each hop of a stream, and what is to be heard in it."""

    hops: list[HopFeatures]
    heard: list[Heard]


class Ears:
    """Measures streams, or finds their features in `cache`, where nothing is ever removed."""

    def __init__(self, root: Path, cache: Path) -> None:
        self._root = root
        self._cache = cache
        self._cache.mkdir(parents=True, exist_ok=True)

    def listen(self, plan: Plan, spec: FeatureSpec) -> Stream:
        """The features of a stream at the rate of `spec`."""
        path = self._cache / f"{_hash(plan.as_json(), msgspec.json.encode(spec).decode())}.npz"
        if not path.exists():
            samples, heard = render(plan, self._root, spec.sample_rate_hz)
            _save(path, clip_features(samples.astype(np.float32), spec, has_cepstra=True), heard)
        return _load(path)

    def recording(self, plan: Plan, rate_hz: int) -> Path:
        """A stream as a recording."""
        path = self._cache / f"{_hash(plan.as_json(), str(rate_hz))}.wav"
        if not path.exists():
            unfinished = path.with_suffix(f".{os.getpid()}.wav")
            soundfile.write(unfinished, render(plan, self._root, rate_hz)[0], rate_hz, subtype="FLOAT")
            unfinished.replace(path)
        return path


def _hash(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:24]


def _save(path: Path, hops: Sequence[HopFeatures], heard: Sequence[Heard]) -> None:
    n_features = max(len(hop.vector) for hop in hops if hop.vector is not None)
    missing = np.full(n_features, NO_VECTOR)
    # A file that is not finished never has the name of one that is.
    unfinished = path.with_suffix(f".{os.getpid()}.npz")
    np.savez(
        unfinished,
        vectors=np.array([missing if hop.vector is None else hop.vector for hop in hops], np.float32),
        cepstra=np.concatenate([hop.cepstra for hop in hops]).astype(np.float32),
        n_cepstra=[len(hop.cepstra) for hop in hops],
        frame_levels_db=np.concatenate([hop.frame_levels_db for hop in hops]),
        n_frame_levels=[len(hop.frame_levels_db) for hop in hops],
        end_samples=[hop.end_sample for hop in hops],
        levels=[(hop.level_dbfs, hop.window_share, hop.window_level_dbfs) for hop in hops],
        heard=np.array(json.dumps(heard)),
    )
    unfinished.replace(path)


def _load(path: Path) -> Stream:
    with np.load(path) as file:
        kept = {name: file[name] for name in file.files}
    vectors = kept["vectors"].astype(np.float64)
    cepstra = np.split(kept["cepstra"].astype(np.float64), np.cumsum(kept["n_cepstra"])[:-1])
    frame_levels_db = np.split(kept["frame_levels_db"], np.cumsum(kept["n_frame_levels"])[:-1])
    hops = [
        HopFeatures(
            end_sample=end_sample,
            vector=vector if np.isfinite(vector[0]) else None,
            level_dbfs=level_dbfs,
            frame_levels_db=own_levels_db,
            window_share=share,
            window_level_dbfs=window_level_dbfs,
            cepstra=own_cepstra,
        )
        for end_sample, vector, (level_dbfs, share, window_level_dbfs), own_levels_db, own_cepstra in zip(
            kept["end_samples"].tolist(), vectors, kept["levels"].tolist(), frame_levels_db, cepstra, strict=True
        )
    ]
    return Stream(hops, [_heard_of(one) for one in json.loads(str(kept["heard"]))])


def _heard_of(row: Sequence[Sequence[object]]) -> Heard:
    (sound, *rest), *times_s = row
    return Heard(Placed(Sound(*sound), *rest), *times_s)  # type: ignore[misc, arg-type]
