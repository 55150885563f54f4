"""Files of other programs under the name of a model; some would run code where they are opened."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from safetensors.numpy import save

from streamgmm.model.file import load_model
from streamgmm.model.header import MAX_MODEL_BYTES
from streamgmm.model.model_error import ModelError
from tests.model.model_rig import refusal


class Canary:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def foreign_files(canary: Canary) -> dict[str, bytes]:
    array, packed, dumped, archive = io.BytesIO(), io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.save(array, np.array([canary], dtype=object), allow_pickle=True)
    np.savez(archive, a=np.zeros(3))
    joblib.dump(canary, dumped)
    joblib.dump(canary, packed, compress=("zlib", 3))
    pickles = {f"protocol{p}": pickle.dumps(canary, protocol=p) for p in range(pickle.HIGHEST_PROTOCOL + 1)}
    values = {f"short{p}": pickle.dumps({"weights": [1.0]}, protocol=p) for p in range(2, pickle.HIGHEST_PROTOCOL + 1)}
    others = {"npy": array, "npz": archive, "joblib": dumped, "compressed": packed}
    return pickles | values | {name: file.getvalue() for name, file in others.items()}


@pytest.mark.parametrize("kind", list(foreign_files(Canary(Path("unused")))))
def test_D3_pickles_and_their_kin_are_named_and_not_opened(kind: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    path = tmp_path / "model.sgm"
    path.write_bytes(foreign_files(Canary(canary))[kind])
    with pytest.raises(ModelError, match="not supported for safety") as caught:
        load_model(path)
    assert caught.value.reason == "foreign"
    assert not canary.exists()


@pytest.mark.parametrize(
    ("n_bytes", "name", "model"),
    [
        (0, "my.sgm-memory", "{folder}/my.sgm"),
        (MAX_MODEL_BYTES, "my.sgm-memory", "{folder}/my.sgm"),
        (0, "x.sgm", "the model beside it"),
        (0, "x", "the model beside it"),
    ],
)
def test_the_memory_of_a_training_is_called_so_whatever_its_size(
    tmp_path: Path, n_bytes: int, name: str, model: str
) -> None:
    content = save({"a": np.zeros(3)}, metadata={"format": "streamgmm-memory"})
    with (tmp_path / name).open("wb") as file:
        file.write(content)
        file.truncate(len(content) + n_bytes)
    with pytest.raises(ModelError, match="streamgmm's memory of a training") as caught:
        load_model(tmp_path / name)
    assert caught.value.reason == "foreign"
    assert f"(name {model.format(folder=tmp_path)})" in str(caught.value)


@pytest.mark.parametrize("content", [b"\x7fELF" + bytes(60), b"hello world, this is text", b"\0" * 100, b"RIFF" * 9])
def test_D3_other_files_are_no_models(content: bytes) -> None:
    error = refusal(content)
    assert error.reason == "foreign"
    assert "not a model" in str(error)


def test_D6_a_zip_inside_the_name_of_a_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.sgm"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("weights", bytes(10_000_000))
    with pytest.raises(ModelError, match="zip archive, not supported for safety"):
        load_model(path)


def test_a_safetensors_file_of_another_program_is_refused() -> None:
    assert refusal(save({"weights": np.zeros(3)})).reason == "foreign"
    assert refusal(save({"weights": np.zeros(3)}, metadata={"format": "pt"})).reason == "foreign"
