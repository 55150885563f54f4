"""The wheel and the source distribution: what is in them, and that they work where they are installed."""

from __future__ import annotations

import json
import os
import re
import tarfile
import tomllib
import zipfile
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement

from streamgmm import __version__
from streamgmm.model.shipped import load_shipped_model
from streamgmm.world.world import read_index
from tests.packaging.packaging_rig import NOT_SOURCES, PROJECT, RUN_LIBRARIES, Environment, build, require_build_tools

PYPROJECT: dict[str, Any] = tomllib.loads((PROJECT / "pyproject.toml").read_text())
KERNEL = "streamgmm/features/kernel/_kernel.abi3.so"
UNITS = "streamgmm/service/systemd/"
"""The folder of the units, which the package sees by a link; the distributions have all else of it there alone."""


class Built(NamedTuple):
    """Distributions of this tree.

    Attributes:
        sdist: names of the files in the source distribution, without its folder.
        wheel: the wheel.
        names: names of the files in the wheel.
        metadata: what the wheel says of itself.
    """

    sdist: set[str]
    wheel: Path
    names: set[str]
    metadata: Metadata


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    require_build_tools()
    sdist, wheel = build(tmp_path_factory.mktemp("build"))
    with tarfile.open(sdist) as archive:
        inner = {name.partition("/")[2] for name in archive.getnames()}
    with zipfile.ZipFile(wheel) as file:
        text = file.read(f"streamgmm-{__version__}.dist-info/METADATA")
        return Built(inner, wheel, set(file.namelist()), Metadata.from_email(text, validate=True))


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the wheel and all libraries of this one."""
    return Environment(tmp_path_factory.mktemp("full") / "venv", built.wheel, None)


@pytest.fixture(scope="module")
def minimal(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the wheel and what `run` needs on a stream of samples."""
    return Environment(tmp_path_factory.mktemp("minimal") / "venv", built.wheel, RUN_LIBRARIES)


def sources_in(folder: str) -> set[str]:
    """Names of all files below a folder of the project, without what Python and compilers leave there."""
    found = (
        os.path.relpath(os.path.join(place, name), PROJECT)  # noqa: PTH118
        for place, _, names in os.walk(PROJECT / folder, followlinks=True)
        for name in names
    )
    return {name for name in found if not any(fnmatch(part, p) for part in Path(name).parts for p in NOT_SOURCES)}


BESIDE_UNITS = {name for name in sources_in("streamgmm") if name.startswith((f"{UNITS}README", f"{UNITS}deb/"))}


def test_the_wheel_has_every_file_of_the_package_and_nothing_else(built: Built) -> None:
    own = {name for name in built.names if name.startswith("streamgmm/")}
    assert own - {KERNEL} == sources_in("streamgmm") - BESIDE_UNITS
    assert "streamgmm/py.typed" in own
    others = {name.partition("/")[2] for name in built.names - own if ".dist-info/" not in name}
    assert others == {
        "data/share/bash-completion/completions/streamgmm",
        "data/share/man/man1/streamgmm.1",
        "data/share/zsh/site-functions/_streamgmm",
    }


def test_the_source_distribution_has_what_a_packager_needs(built: Built) -> None:
    wanted = {
        name for folder in ("streamgmm", "tests", "docs", "systemd") for name in sources_in(folder)
    } - BESIDE_UNITS
    wanted |= {"LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "config.yaml", "pyproject.toml", "setup.py"}
    wanted |= {"mkdocs.yml"}
    assert wanted - built.sdist == set()


def test_one_wheel_serves_all_versions_of_python(built: Built) -> None:
    assert "-cp311-abi3-" in built.wheel.name


def test_the_metadata_are_those_of_the_project(built: Built) -> None:
    project = PYPROJECT["project"]
    assert (built.metadata.name, str(built.metadata.version)) == ("streamgmm", __version__)
    assert built.metadata.summary == project["description"]
    assert built.metadata.description_content_type == "text/markdown"
    assert built.metadata.description == (PROJECT / "README.md").read_text()
    assert str(built.metadata.requires_python) == project["requires-python"]
    assert set(project["optional-dependencies"]) == set(built.metadata.provides_extra or ())
    required = {str(need) for need in built.metadata.requires_dist or () if need.marker is None}
    assert required == {str(Requirement(need)) for need in project["dependencies"]}


def test_the_classifiers_name_no_licence_and_tell_of_types(built: Built) -> None:
    classifiers = built.metadata.classifiers or []
    assert "Typing :: Typed" in classifiers
    # A licence expression takes their place (PEP 639), and the index refuses both at once.
    assert not [classifier for classifier in classifiers if classifier.startswith("License")]
    assert len(set(classifiers)) == len(classifiers)


def test_the_licence_expression_covers_every_sound_that_comes_along(built: Built) -> None:
    clips = json.loads((PROJECT / "streamgmm" / "world" / "world.json").read_text())
    named = set(str(built.metadata.license_expression).split(" AND "))
    assert named == {"MIT", *licences_in(clips)}
    files = {f"streamgmm-{__version__}.dist-info/licenses/{name}" for name in built.metadata.license_files or ()}
    assert len(files) == 3
    assert files <= built.names


def licences_in(value: Any) -> set[str]:
    if isinstance(value, list):
        return {name for member in value for name in licences_in(member)}
    if not isinstance(value, dict):
        return set()
    below = {name for member in value.values() for name in licences_in(member)}
    return below | ({str(value["licence"])} if "licence" in value else set())


def test_the_installed_command_has_its_kernel(installed: Environment, tmp_path: Path) -> None:
    done = installed.run("--version", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"streamgmm {__version__} (kernel: ")
    assert "numpy" not in done.stdout


def test_the_installed_command_finds_its_models_units_and_settings(installed: Environment, tmp_path: Path) -> None:
    assert load_shipped_model().name in installed.run("model", "show", folder=tmp_path).stdout
    assert (PROJECT / "config.yaml").read_text() == installed.run("config", "show", folder=tmp_path).stdout
    schema = installed.run("config", "schema", "records", folder=tmp_path).stdout
    assert json.loads(schema) == json.loads((PROJECT / "docs" / "records.schema.json").read_text())
    planned = installed.run("service", "install", "--user", "--dry-run", folder=tmp_path)
    assert "ExecStart=" in planned.stdout, planned.stderr


def test_the_installed_command_finds_the_sounds_of_the_world(installed: Environment, tmp_path: Path) -> None:
    program = "from streamgmm.world.world import __file__, read_world; print(__file__, len(read_world().sounds))"
    place, n_sounds = installed.python(program, folder=tmp_path).split()
    assert Path(place).is_relative_to(installed.site)
    assert int(n_sounds) == len(read_index().sounds)


def test_the_installed_command_classifies(
    installed: Environment, demo_model: Path, demo_scene: Path, tmp_path: Path
) -> None:
    done = installed.run("classify", "--model", demo_model, demo_scene, "--format", "label", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {"doorbell", "siren"} <= set(done.stdout.split())


def frames_of(scene: Path) -> bytes:
    return scene.read_bytes()[44:]


def test_a_run_needs_no_more_libraries_than_the_readme_says(
    minimal: Environment, demo_model: Path, demo_scene: Path, tmp_path: Path
) -> None:
    arguments = ("--model", demo_model, "--source", "pcm:-", "--format", "label")
    done = minimal.run("run", *arguments, data=frames_of(demo_scene), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {"doorbell", "siren"} <= set(done.stdout.split())


def test_the_manual_names_these_libraries() -> None:
    (line,) = re.findall(
        r"^pip install --no-deps streamgmm (.+)$", (PROJECT / "docs" / "manual.md").read_text(), re.MULTILINE
    )
    assert {name.lower() for name in RUN_LIBRARIES} <= set(line.split())


def test_a_run_can_resample_and_write_to_sockets_and_files_with_them(
    minimal: Environment, demo_model: Path, demo_scene: Path, tmp_path: Path
) -> None:
    sinks = ("--sink", f"file://{tmp_path}/events.jsonl", "--sink", f"unix://{tmp_path}/events.sock")
    arguments = ("--model", demo_model, "--source", "pcm:-", "--set", "source.pcm_rate_hz=44100", *sinks)
    done = minimal.run("run", *arguments, data=frames_of(demo_scene), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["type"] for line in (tmp_path / "events.jsonl").open()][-1] == "bye"


@pytest.mark.parametrize(
    ("arguments", "library"),
    [
        (("run", "--source", "file:{}"), "soundfile"),
        (("classify", "{}"), "rich"),
        (("train", ".", "-o", "my.sgm"), "rich"),
    ],
)
def test_a_library_that_is_missing_is_one_line(
    minimal: Environment, demo_scene: Path, tmp_path: Path, arguments: tuple[str, ...], library: str
) -> None:
    done = minimal.run(*(argument.format(demo_scene) for argument in arguments), folder=tmp_path)
    *_, last = done.stderr.splitlines()
    assert done.returncode == 64
    assert last == f"streamgmm: error: {library} is not installed (pip install streamgmm brings it)"
    assert "Traceback" not in done.stderr
