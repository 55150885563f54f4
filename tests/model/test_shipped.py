"""The model in the box: what it knows, that it is what its description says, and that it is installed."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from fnmatch import fnmatch
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from streamgmm.dataset.clips import data_sha256
from streamgmm.dataset.dataset import read_dataset
from streamgmm.errors import InputMissingError
from streamgmm.listening.recordings import decide_recording
from streamgmm.model import shipped
from streamgmm.model.file import load_model
from streamgmm.model.model import Model
from streamgmm.model.model_error import ModelError
from streamgmm.model.shipped import SHIPPED_NAME, load_shipped_model
from streamgmm.settings.config import Config
from streamgmm.settings.loading import load_config
from streamgmm.training.trainer import make_task
from tests.required import corpus

PROJECT = Path(__file__).parent.parent.parent
PACKAGE = PROJECT / "streamgmm"
FOLDER = PACKAGE / "model"
MAX_BYTES = 600_000
LABELS = (
    *("baby_cry", "chainsaw", "clock_tick", "dog_bark", "fire_crackling"),
    *("helicopter", "person_sneeze", "rain", "rooster", "sea_waves"),
)


@pytest.fixture(scope="module")
def model() -> Model:
    return load_shipped_model()


def test_it_is_small_and_knows_ten_sounds(model: Model) -> None:
    assert (FOLDER / SHIPPED_NAME).stat().st_size < MAX_BYTES
    assert (model.name, model.labels) == ("esc10", LABELS)
    assert load_model(FOLDER / SHIPPED_NAME).sha256 == model.sha256


def test_its_card_tells_source_licence_limits_and_scores(model: Model) -> None:
    training = load_config(FOLDER / "esc10.yaml").config.training
    assert model.card["credit"] == training.credit
    assert model.card["settings"]["training"]["seed"] == training.seed
    for part in ("Karol J. Piczak", "CC BY 3.0", "freesound.org", "esc10-credits.txt", "Limits: "):
        assert part in training.credit
    assert model.card["held_out_accuracy"] > 0.9
    assert set(model.card["held_out_recalls"]) == set(LABELS)
    # Nothing in it tells of the machine that it was made on.
    assert not re.search(r"/(work|tmp|home|root)\b", str(model.card))


def test_every_file_of_the_package_that_is_no_module_is_installed() -> None:
    patterns = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"][
        "streamgmm"
    ]
    others = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*") if path.is_file()}
    others = {name for name in others if not name.endswith((".py", ".pyc", *EXTENSION_SUFFIXES))}
    assert {f"model/{name}" for name in (SHIPPED_NAME, "esc10.yaml", "esc10-credits.txt")} <= others
    assert {name for name in others if not any(fnmatch(name, pattern) for pattern in patterns)} == set()


def test_an_installation_without_it_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "files", lambda _: tmp_path)
    with pytest.raises(InputMissingError, match="reinstall streamgmm"):
        load_shipped_model()


def test_a_damaged_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray((FOLDER / SHIPPED_NAME).read_bytes())
    content[-1] ^= 1
    (tmp_path / SHIPPED_NAME).write_bytes(content)
    monkeypatch.setattr(shipped, "files", lambda _: tmp_path)
    with pytest.raises(ModelError, match=r"esc10\.sgm: the content is damaged"):
        load_shipped_model()


def test_it_was_made_of_the_whole_data_set_with_features_of_this_build(model: Model) -> None:
    dataset = read_dataset(corpus("esc10"))
    assert model.card["data_sha256"] == data_sha256(dataset.clips)
    assert sum(model.card["n_clips"].values()) == len(dataset.clips) == 400
    assert model.spec == make_task(dataset, Config()).spec


def test_it_knows_clips_that_it_has_learnt(model: Model) -> None:
    """Features computed otherwise than at its training would show here, for they would fit no class."""
    folder = corpus("esc10") / "audio"
    clips = {label: sorted((folder / label).iterdir())[0] for label in LABELS}
    assert {label: decide_recording(path, model, Config()).label for label, path in clips.items()} == {
        label: label for label in LABELS
    }


def test_the_credits_name_every_recording_that_asks_for_it() -> None:
    listed = (corpus("esc10") / "LICENSE-CLIPS.txt").read_text(encoding="utf-8")
    wanted = defaultdict(set)
    for number, author, licence in re.findall(r"/sounds/(\d+)/\) by (.+) \[(.+)\]$", listed, re.MULTILINE):
        if licence != "CC0":
            wanted[author].add(number)
    credits_text = (FOLDER / "esc10-credits.txt").read_text(encoding="utf-8")
    rows = re.findall(r"^  (.+): ([\d, ]+)$", credits_text, re.MULTILINE)
    assert {author: set(numbers.split(", ")) for author, numbers in rows} == wanted
    assert len(wanted) == 94
