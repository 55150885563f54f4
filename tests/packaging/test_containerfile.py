"""The Containerfile and the compose file, read part by part: no engine that builds them is needed."""

from __future__ import annotations

import json
import re
import shlex
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import yaml

from streamgmm.cli.main import make_parser
from streamgmm.settings.output import SinkSection
from streamgmm.sinks.registry import find_kind_of
from tests.packaging.packaging_rig import PROJECT, RUN_LIBRARIES

INSTRUCTIONS = {"FROM", "ARG", "RUN", "COPY", "WORKDIR", "USER", "STOPSIGNAL", "ENTRYPOINT", "CMD"}


class Instruction(NamedTuple):
    """One instruction of a Containerfile, with its continued lines joined."""

    name: str
    rest: str


def read_instructions(path: Path) -> list[Instruction]:
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines)).splitlines()
    return [Instruction(*line.split(" ", 1)) for line in joined]


CONTAINER = read_instructions(PROJECT / "Containerfile")
LAST_FROM = max(i for i, instruction in enumerate(CONTAINER) if instruction.name == "FROM")
FINAL = CONTAINER[LAST_FROM:]


def rests(name: str, instructions: list[Instruction] = CONTAINER) -> list[str]:
    return [instruction.rest for instruction in instructions if instruction.name == name]


def test_every_line_is_an_instruction() -> None:
    assert {instruction.name for instruction in CONTAINER} == INSTRUCTIONS


def test_both_stages_begin_with_the_same_image_of_a_fixed_version() -> None:
    (image,) = {rest.split()[0] for rest in rests("FROM")}
    assert re.fullmatch(r"docker\.io/library/python:3\.\d+-slim-\w+", image)


def test_it_runs_as_nobody_else_than_a_user_without_rights() -> None:
    (user,) = rests("USER", FINAL)
    (made,) = [rest for rest in rests("RUN", FINAL) if rest.startswith("useradd ")]
    assert user == shlex.split(made)[-1] != "root"


def test_it_starts_the_program_itself_so_that_signals_reach_it() -> None:
    assert [json.loads(rest) for name in ("ENTRYPOINT", "CMD") for rest in rests(name, FINAL)] == [
        ["streamgmm"],
        ["run"],
    ]
    assert rests("STOPSIGNAL", FINAL) == ["SIGTERM"]


def test_package_managers_leave_no_caches() -> None:
    for rest in rests("RUN"):
        if "apt-get" in rest:
            assert "--no-install-recommends" in rest
            assert rest.endswith("&& rm -rf /var/lib/apt/lists/*")
        assert "pip " not in rest or "--no-cache-dir" in rest


def test_it_has_the_libraries_that_the_manual_names() -> None:
    (installed,) = [rest for rest in rests("RUN", FINAL) if "pip install" in rest]
    (line,) = re.findall(
        r"^pip install --no-deps streamgmm (.+)$", (PROJECT / "docs" / "manual.md").read_text(), re.MULTILINE
    )
    assert set(line.split()) <= set(installed.split())
    assert {name.lower() for name in RUN_LIBRARIES} <= set(installed.split())


def test_the_build_sees_what_the_wheel_is_made_of_and_no_more() -> None:
    patterns = (PROJECT / ".dockerignore").read_text().splitlines()
    admitted = {pattern.removeprefix("!") for pattern in patterns if pattern.startswith("!")}
    assert "*" in patterns
    assert [name for name in admitted if not (PROJECT / name).exists()] == []
    needed = {"LICENSE", "README.md", "docs", "pyproject.toml", "setup.py", "streamgmm", "systemd"}
    assert needed <= admitted
    assert not any(fnmatch(name, ".*") for name in admitted)


def test_compose_file_builds_this_container_and_runs_what_the_program_takes() -> None:
    place = PROJECT / "docs" / "compose.yaml"
    services = yaml.safe_load(place.read_text())["services"]
    build, broker = services["streamgmm"]["build"], services["broker"]
    assert (place.parent / build["context"] / build["dockerfile"]).resolve() == PROJECT / "Containerfile"
    assert set(build["args"]) <= {rest.split("=")[0] for rest in rests("ARG")}
    assert re.fullmatch(r"docker\.io/.+:\d+", broker["image"])
    assert [port for port in broker["ports"] if not port.startswith("127.0.0.1:")] == []
    args = make_parser({"run"}).parse_args(services["streamgmm"]["command"])
    assert [find_kind_of(SinkSection(uri=uri)).form for uri in args.sink] == ["stdout:", "mqtt://HOST/PREFIX"]
    assert args.sink[1].split("/")[2] in services
