from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from streamgmm.errors import CannotCreateError, InputMissingError, OutputError, PermissionDeniedError, UsageError
from streamgmm.model.file import load_model, save_model
from streamgmm.settings.decision import LabelSection
from streamgmm.training.enrolment.cache_file import (
    cache_path,
    check_cache_target,
    has_cache,
    load_cache,
    pending_path,
    save_with_cache,
    save_with_same_cache,
    save_without_cache,
)
from streamgmm.training.enrolment.cache_format import CacheFileError
from tests.training.enrolment.cache_rig import assert_same_cache, model_of, small_cache


@pytest.fixture(scope="module")
def old():
    cache = small_cache()
    return model_of(cache), cache


@pytest.fixture(scope="module")
def new():
    cache = small_cache(("dog", "frog", "owl", "siren"))
    return model_of(cache), cache


@pytest.fixture
def path(tmp_path, old) -> Path:
    save_with_cache(*old, tmp_path / "my.sgm")
    return tmp_path / "my.sgm"


def files(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir())


def test_a_model_and_its_cache_lie_side_by_side(path, old):
    assert files(path) == ["my.sgm", "my.sgm-memory"]
    assert_same_cache(load_cache(load_model(path), path), old[1])


def test_the_tie_is_the_hash_in_the_card_so_both_may_be_moved_and_copied(path, tmp_path, old):
    other = tmp_path / "elsewhere"
    other.mkdir()
    for source, name in ((path, "a.sgm"), (cache_path(path), "a.sgm-memory")):
        shutil.copy(source, other / name)
    assert_same_cache(load_cache(load_model(other / "a.sgm"), other / "a.sgm"), old[1])


def test_frames_are_kept_where_the_model_has_them(tmp_path):
    cache = small_cache(has_cepstra=True)
    save_with_cache(model_of(cache), cache, tmp_path / "my.sgm")
    assert_same_cache(load_cache(load_model(tmp_path / "my.sgm"), tmp_path / "my.sgm"), cache)


# --- what is refused


def test_a_missing_cache_is_reported_with_a_remedy(path):
    cache_path(path).unlink()
    with pytest.raises(InputMissingError, match=r"my.sgm-memory: .* is missing .*train the model ag"):
        load_cache(load_model(path), path)


def test_a_model_without_a_cache_is_reported(tmp_path, old):
    save_without_cache(old[0], tmp_path / "my.sgm")
    with pytest.raises(CacheFileError, match=r"trained without a training cache \(train the model again"):
        load_cache(load_model(tmp_path / "my.sgm"), tmp_path / "my.sgm")


def test_the_cache_of_another_model_is_refused(path, tmp_path, new):
    save_with_cache(*new, tmp_path / "new.sgm")
    shutil.copy(cache_path(tmp_path / "new.sgm"), cache_path(path))
    with pytest.raises(CacheFileError, match="is damaged, or the training cache of another model"):
        load_cache(load_model(path), path)


def test_a_single_changed_bit_is_noticed(path):
    content = bytearray(cache_path(path).read_bytes())
    content[-1] ^= 1
    cache_path(path).write_bytes(content)
    assert not has_cache(load_model(path), path)
    with pytest.raises(CacheFileError, match="damaged"):
        load_cache(load_model(path), path)


def test_a_cache_of_other_classes_is_refused_though_the_hash_fits(tmp_path, old, new):
    save_with_cache(old[0], new[1], tmp_path / "my.sgm")
    with pytest.raises(CacheFileError, match="other features or classes than its model"):
        load_cache(load_model(tmp_path / "my.sgm"), tmp_path / "my.sgm")


def test_a_pipe_in_its_place_holds_nobody_up(path):
    cache_path(path).unlink()
    os.mkfifo(cache_path(path))
    with pytest.raises(CacheFileError):
        load_cache(load_model(path), path)
    with pytest.raises(CannotCreateError, match="not a regular file"):
        check_cache_target(path)


def test_places_that_cannot_be_written_are_refused_before_any_work(path, tmp_path):
    check_cache_target(path)
    with pytest.raises(UsageError):
        check_cache_target(tmp_path / "my.txt")
    with pytest.raises(CannotCreateError):
        check_cache_target(tmp_path / "no" / "my.sgm")
    path.chmod(0o444)
    with pytest.raises(PermissionDeniedError, match="the model is read-only"):
        check_cache_target(path)


# --- what else happens to a model


def test_a_model_with_other_thresholds_keeps_its_cache_in_place_and_elsewhere(path, tmp_path, old):
    tuned = replace(load_model(path), decision={"owl": LabelSection(onset_threshold=0.9)}, sha256="")
    save_with_same_cache(tuned, path, tmp_path / "calm.sgm")
    save_with_same_cache(tuned, path, path)
    for place in (path, tmp_path / "calm.sgm"):
        assert load_model(place).decision["owl"].onset_threshold == 0.9
        assert_same_cache(load_cache(load_model(place), place), old[1])


def test_a_model_without_a_cache_is_tuned_without_one(tmp_path, old):
    save_without_cache(old[0], tmp_path / "my.sgm")
    save_with_same_cache(old[0], tmp_path / "my.sgm", tmp_path / "calm.sgm")
    assert files(tmp_path / "my.sgm") == ["calm.sgm", "my.sgm"]


def test_a_training_without_a_cache_takes_the_old_one_away(path, new):
    save_without_cache(new[0], path)
    assert files(path) == ["my.sgm"]


# --- cut short


def save_cut_short(monkeypatch, path, pair, step: int, *, is_killed: bool) -> bool:
    """Save `pair` until the `step`-th call that touches the disk; a killed process does not clean up either."""
    n_calls = Counter()

    def cut(original):
        def call(*arguments):
            n_calls["all"] += 1
            if n_calls["all"] == step or (is_killed and n_calls["all"] > step):
                raise KeyboardInterrupt
            return original(*arguments)

        return call

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", cut(os.fsync))
        patched.setattr("pathlib.Path.replace", cut(Path.replace))
        if is_killed:
            patched.setattr("pathlib.Path.unlink", cut(Path.unlink))
        try:
            save_with_cache(*pair, path)
        except KeyboardInterrupt:
            return True
    return False


@pytest.mark.parametrize("is_killed", [False, True], ids=["interrupted", "killed"])
def test_whenever_a_saving_is_cut_short_there_is_a_model_with_its_cache(monkeypatch, path, old, new, is_killed):
    seen = Counter()
    step = 1
    while save_cut_short(monkeypatch, path, new, step, is_killed=is_killed):
        model = load_model(path)
        cache = load_cache(model, path)
        assert cache.labels == list(model.labels)
        seen[len(model.labels)] += 1
        if not is_killed:
            assert files(path) == ["my.sgm", "my.sgm-memory"]
        # And what was cut short does not spoil the next one.
        save_with_cache(*old, path)
        assert load_cache(load_model(path), path).labels == list(old[0].labels)
        assert not pending_path(path).exists()
        step += 1
    assert set(seen) == {3, 4}
    assert sum(seen.values()) >= 8


def test_a_cache_that_still_waits_is_not_overwritten_by_the_next_saving_that_fails(monkeypatch, path, old, new):
    save_with_cache(*new, path)
    cache_path(path).rename(pending_path(path))
    for step in range(1, 20):
        if not save_cut_short(monkeypatch, path, old, step, is_killed=True):
            break
        model = load_model(path)
        assert load_cache(model, path).labels == list(model.labels)
        save_with_cache(*new, path)
        cache_path(path).rename(pending_path(path))
    assert step > 5


def test_a_full_disk_leaves_both_as_they_were(monkeypatch, path, old, new):
    before = [path.read_bytes(), cache_path(path).read_bytes()]

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match="cannot write the training cache: No space left"):
        save_with_cache(*new, path)
    assert [path.read_bytes(), cache_path(path).read_bytes()] == before
    assert files(path) == ["my.sgm", "my.sgm-memory"]


def test_an_unrelated_model_that_is_overwritten_does_not_matter(tmp_path, old, new):
    save_model(old[0], tmp_path / "my.sgm")
    pending_path(tmp_path / "my.sgm").write_bytes(b"left over")
    save_with_cache(*new, tmp_path / "my.sgm")
    assert files(tmp_path / "my.sgm") == ["my.sgm", "my.sgm-memory"]
