from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from streamgmm.model.file import load_model
from streamgmm.model.lock import model_lock
from streamgmm.training.enrolment.cache_file import cache_path
from tests.cli.cli_rig import run_cli, spawn_cli
from tests.narrowing import present
from tests.training.training_rig import SOUND_LABELS, write_sounds

QUICK = (
    "training.search=false",
    "training.n_jobs=1",
    "training.n_speed_copies=0",
    "training.n_noise_copies=0",
    "training.n_context_copies=0",
    "training.world=false",
    "training.cepstra=never",
)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clips each of three classes, and of a fourth in a folder of its own."""
    folder = tmp_path_factory.mktemp("sounds")
    write_sounds(folder / "known")
    write_sounds(folder / "new", ["doorbell"])
    return folder


@pytest.fixture(scope="module")
def trained(sounds: Path) -> Path:
    path = sounds / "my.sgm"
    options = [word for setting in QUICK for word in ("--set", setting)]
    process = spawn_cli("train", sounds / "known", "-o", path, *options)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, "")
    assert f"wrote {cache_path(path)}: " in err
    return path


@pytest.fixture
def model(trained, tmp_path) -> Path:
    shutil.copy(cache_path(trained), cache_path(tmp_path / "my.sgm"))
    return Path(shutil.copy(trained, tmp_path / "my.sgm"))


def contents(path: Path) -> tuple[bytes, bytes]:
    return path.read_bytes(), cache_path(path).read_bytes()


def refused(capsys, *arguments, code: int = 65) -> str:
    """The one line that a command refuses with."""
    ended, out, err = run_cli(capsys, *arguments)
    assert (ended, out, err.count("\n")) == (code, "", 1), err
    assert err.startswith("streamgmm: error: ")
    return err


def test_a_process_enrols_a_class_in_place_and_classify_hears_it(model, sounds):
    process = spawn_cli("enrol", "doorbell", sounds / "new" / "doorbell", "--model", model)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, f"wrote {model} and my.sgm-memory: 4 classes\n")
    assert "the 3 classes that stay: 100.0% before, 100.0% after, standard error" in out
    assert "the old model classifies the new clips as " in out
    (row,) = [line.replace("│", " ").split() for line in out.splitlines() if "doorbell" in line]
    assert row == ["doorbell", "-", "4", "-", *["4", "of", "4", "(51", "to", "100", "%)"]]
    clips = sorted((sounds / "new" / "doorbell").iterdir())
    said, _ = spawn_cli("classify", *clips, "-m", model, "--clip", "--format", "text").communicate(timeout=60)
    assert said.count("\tdoorbell\t") == 4


def test_a_model_of_one_class_grows_and_shrinks(capsys, sounds, tmp_path):
    one, model = tmp_path / "one", tmp_path / "one.sgm"
    shutil.copytree(sounds / "known" / "footsteps", one / "footsteps")
    options = [word for setting in (*QUICK, "training.cache=true") for word in ("--set", setting)]
    options = [word.replace("world=false", "world=true") for word in options]
    code, _, err = run_cli(capsys, "train", one, "-o", model, *options)
    assert code == 0, err
    code, out, err = run_cli(capsys, "enrol", "doorbell", sounds / "new" / "doorbell", "-m", model, "--force")
    assert code == 0, err
    assert "the class that stays, 'footsteps': " in out
    code, _, err = run_cli(capsys, "forget", "doorbell", "-m", model)
    assert code == 0, err
    assert f"wrote {model} and one.sgm-memory: 1 class\n" in err
    assert "the model would have no class" in refused(capsys, "forget", "footsteps", "-m", model)
    assert load_model(model).labels == ("footsteps",)


def test_a_class_is_enrolled_into_another_file_extended_and_forgotten(capsys, model, sounds, tmp_path):
    before, more = contents(model), tmp_path / "more.sgm"
    clips = [sounds / "new" / "doorbell" / f"{number}.wav" for number in range(4)]
    assert run_cli(capsys, "enrol", "doorbell", *clips[:3], "-m", model, "-o", more, "--force").code == 0
    assert contents(model) == before
    assert "doorbell" in load_model(more).labels
    assert run_cli(capsys, "enrol", "doorbell", clips[3], "-m", more, "--force").code == 0
    assert load_model(more).card["n_clips"]["doorbell"] == 4
    code, out, err = run_cli(capsys, "forget", "doorbell", "-m", more)
    assert (code, err) == (0, f"wrote {more} and more.sgm-memory: 3 classes\n")
    assert load_model(more).labels == SOUND_LABELS
    assert "the 3 classes that stay: " in out


def test_a_dry_run_tells_the_same_and_writes_nothing(capsys, model, sounds, tmp_path):
    before = contents(model)
    arguments = ("enrol", "doorbell", sounds / "new", "-m", model)
    dry = run_cli(capsys, *arguments, "--dry-run")
    assert (dry.code, dry.err, contents(model)) == (0, "nothing was written: dry run\n", before)
    assert dry.out == run_cli(capsys, *arguments).out
    assert contents(model) != before


def test_a_loss_is_refused_unless_it_is_forced(capsys, model, sounds, monkeypatch):
    before = contents(model)
    monkeypatch.setattr(
        "streamgmm.training.enrolment.comparison.ModelComparison.clip_losses", lambda self: ["class 'footsteps'"]
    )
    arguments = ("enrol", "doorbell", sounds / "new", "-m", model)
    code, out, err = run_cli(capsys, *arguments)
    assert (code, contents(model)) == (65, before)
    assert "class 'footsteps' would lose more recall than chance can explain (--force writes it anyway)" in err
    assert "footsteps" in out
    code, _, err = run_cli(capsys, *arguments, "--dry-run")
    assert (code, contents(model)) == (0, before)
    assert "without --force it would be rejected: class 'footsteps' would lose more recall" in err
    assert run_cli(capsys, *arguments, "--force").code == 0
    assert "doorbell" in load_model(model).labels


def test_a_loss_in_the_room_is_a_warning(capsys, model, sounds, monkeypatch):
    monkeypatch.setattr(
        "streamgmm.training.enrolment.comparison.ModelComparison.room_losses",
        lambda self: ["class 'footsteps' in the room"],
    )
    code, _, err = run_cli(capsys, "enrol", "doorbell", sounds / "new", "-m", model)
    assert code == 0
    assert "warning: less is found of class 'footsteps' in the room; see `model show`" in err
    assert "doorbell" in load_model(model).labels


def test_known_clips_are_warned_of_and_skipped(capsys, model, sounds):
    paths = (sounds / "new", sounds / "known" / "footsteps" / "0.wav")
    code, _, err = run_cli(capsys, "enrol", "doorbell", *paths, "-m", model)
    assert (code, load_model(model).card["n_clips"]["doorbell"]) == (0, 4)
    assert "warning: " in err
    assert "is already known as 'footsteps'" in err


def test_model_show_tells_whether_there_is_a_memory(capsys, model):
    assert "my.sgm-memory" in run_cli(capsys, "model", "show", model).out
    cache_path(model).unlink()
    rows = [line.split() for line in run_cli(capsys, "model", "show", model).out.splitlines()]
    assert ["memory", "missing"] in rows


def test_tune_elsewhere_takes_the_memory_along(capsys, model, sounds, tmp_path):
    options = ("--max-false-alarms-per-hour", "3000", "-o", tmp_path / "calm.sgm", "--set", "training.n_jobs=1")
    assert run_cli(capsys, "tune", model, "--background", sounds / "new", *options).code == 0
    assert run_cli(capsys, "forget", "footsteps", "-m", tmp_path / "calm.sgm", "--dry-run").code == 0


def test_a_training_without_a_memory_leaves_none(capsys, sounds, tmp_path):
    options = [word for setting in QUICK for word in ("--set", setting)]
    run_cli(capsys, "train", sounds / "known", "-o", tmp_path / "m.sgm", "--no-memory", *options)
    assert not cache_path(tmp_path / "m.sgm").exists()
    assert "trained without a training cache (train the model again)" in refused(
        capsys, "forget", "siren", "-m", tmp_path / "m.sgm"
    )


def test_a_training_that_is_too_large_to_be_kept_still_gives_its_model(capsys, sounds, tmp_path, monkeypatch):
    monkeypatch.setattr("streamgmm.training.enrolment.cache_format.MAX_CACHE_BYTES", 1000)
    options = [word for setting in QUICK for word in ("--set", setting)]
    code, _, err = run_cli(capsys, "train", sounds / "known", "-o", tmp_path / "m.sgm", *options)
    assert (code, cache_path(tmp_path / "m.sgm").exists()) == (0, False)
    assert load_model(tmp_path / "m.sgm").labels == SOUND_LABELS
    assert "`enrol` and `forget` will not work with this model: the training cache would take" in err


# --- what is refused


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["enrol", "unknown", "new"], 64, "'unknown' is an answer and not a class"),
        (["enrol", "a/b", "new"], 65, "label 'a/b' holds SOLIDUS"),
        (["enrol", "Footsteps", "new"], 65, "differ only by case"),
        (["enrol", "doorbell", "none.wav"], 66, "none.wav: no such file or folder"),
        (["enrol", "doorbell", "new/doorbell/0.wav"], 65, "1 new usable clips, but needs 3"),
        (["enrol", "doorbell"], 64, "required: CLIP"),
        (["enrol", "doorbell", "new", "-o", "x.wav"], 64, "not the name of a model file"),
        (["enrol", "doorbell", "new", "-o", "no/such/x.sgm"], 73, "No such file or directory"),
        (["forget", "footstep"], 64, "the model has no class 'footstep' (did you mean footsteps?)"),
    ],
)
def test_what_makes_no_sense_is_one_line(capsys, model, sounds, monkeypatch, arguments, code, says):
    monkeypatch.chdir(sounds)
    before = contents(model)
    assert says in refused(capsys, *arguments, "-m", model, code=code)
    assert contents(model) == before


def test_files_that_are_missing_damaged_or_read_only_are_one_line(capsys, model, sounds):
    arguments = ("enrol", "doorbell", sounds / "new", "-m", model)
    model.chmod(0o444)
    assert "the model is read-only" in refused(capsys, *arguments, code=77)
    model.chmod(0o644)
    content = cache_path(model).read_bytes()
    cache_path(model).write_bytes(content[:-1])
    assert "is damaged, or the training cache of another model (train the model again)" in refused(capsys, *arguments)
    cache_path(model).unlink()
    assert "the training cache of the model is missing" in refused(capsys, *arguments, code=66)
    model.unlink()
    assert "no such file" in refused(capsys, *arguments, code=66)


def test_a_model_that_changed_meanwhile_is_not_overwritten(capsys, model, sounds, monkeypatch, tmp_path):
    assert run_cli(capsys, "forget", "footsteps", "-m", model, "-o", tmp_path / "other.sgm", "--force").code == 0

    def replace_meanwhile(*_):
        shutil.copy(tmp_path / "other.sgm", model)
        return "replaced"

    monkeypatch.setattr("streamgmm.cli.enrol._labels_by_old_model", replace_meanwhile)
    code, _, err = run_cli(capsys, "enrol", "doorbell", sounds / "new", "-m", model)
    assert (code, "has changed meanwhile" in err) == (65, True)
    assert model.read_bytes() == (tmp_path / "other.sgm").read_bytes()


def test_D16_of_several_changes_at_once_none_is_lost(model, sounds, tmp_path):
    write_sounds(tmp_path / "other", ["knocking"])
    new = {"doorbell": sounds / "new" / "doorbell", "knocking": tmp_path / "other" / "knocking"}
    commands = [("enrol", label, folder) for label, folder in new.items()]
    with model_lock(model, pytest.fail):  # so that both want the model at once, however fast one of them is
        processes = [spawn_cli(*command, "--model", model, "--force") for command in commands]
        for process in processes:
            assert any("waiting for process" in line for line in present(process.stderr))
    ended = [(process.communicate(timeout=120)[1], process.returncode) for process in processes]
    assert [code for _, code in ended] == [0, 0], ended
    assert sorted(load_model(model).labels) == sorted([*SOUND_LABELS, *new])
    left_over = {path.name for path in tmp_path.iterdir()}
    assert left_over == {"my.sgm", "my.sgm-memory", "other"}


@pytest.mark.parametrize(
    ("command", "held"),
    [
        ("enrol doorbell {new} -m {model} --force", True),
        ("enrol doorbell {new} -m {model} --dry-run", False),
        ("forget {label} -m {model} --force", True),
        ("train {known} -o {model} --quick --no-memory", True),
        ("tune {model} --background {new} --max-false-alarms-per-hour 3600", True),
    ],
)
def test_what_changes_a_model_waits_for_whoever_does(command, held, model, sounds):
    words = command.split()
    places = {"new": sounds / "new" / "doorbell", "known": sounds / "known", "model": model, "label": SOUND_LABELS[0]}
    waiting = "waiting for process"
    with model_lock(model, pytest.fail):
        process = spawn_cli(*(word.format(**places) for word in words))
        # It ends, or says that it waits: either closes the matter.
        first = next((line for line in present(process.stderr) if waiting in line or "nothing was written" in line), "")
    _, rest = process.communicate(timeout=120)
    assert (waiting in first) == held, rest
    assert process.returncode == 0, rest
