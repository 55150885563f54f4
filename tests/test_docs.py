"""The documents: links lead somewhere, commands exist with these options, and settings are valid."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from streamgmm.cli.main import _parse_arguments
from streamgmm.settings.loading import load_config
from streamgmm.settings.output import SinkSection, sections_of_sinks
from streamgmm.sinks.mqtt.topics import Topics
from streamgmm.sinks.registry import find_kind_of
from streamgmm.sinks.web.app import FILES
from tests.documents import PAGES, PROJECT, blocks_of, commands_of
from tests.required import prometheus

DOCS = PROJECT / "docs"
SETTINGS = [block.text for page in PAGES for block in blocks_of(page) if block.kind == "yaml"]
COMMANDS = [(page, command) for page in PAGES for block in blocks_of(page) for command in commands_of(block)]
NO_SHELL = ("python", "js", "json", "yaml")


def name_of(page: Path) -> str:
    return str(page.relative_to(PROJECT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=[f"{name_of(page)}: {' '.join(c)}" for page, c in COMMANDS])
def test_each_command_exists_with_these_options(page: Path, command: list[str], tmp_path: Path) -> None:
    args = _parse_arguments(command)
    assert args.handler is not None
    for uri in getattr(args, "sink", None) or ():
        assert args.command != "run" or find_kind_of(SinkSection(uri=uri))
    settings = tmp_path / "empty.yaml"  # not those of the user who runs the tests
    settings.write_text("{}\n")
    load_config(settings, getattr(args, "overrides", None) or ())


def test_the_commands_are_found_in_pipes_and_loops() -> None:
    found = {" ".join(command) for _, command in COMMANDS}
    assert "run --model my.sgm --source pcm:- --format label" in found  # after a pipe
    assert "run --model my.sgm --source file:$file" in found  # in a loop
    assert "service install --model /etc/streamgmm/my.sgm" in found  # after sudo, with its path
    pages = {name_of(page) for page, _ in COMMANDS}
    assert {"README.md", "systemd/README.md", "docs/troubleshooting.md", "docs/accuracy.md"} <= pages


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_of_shell_is_shell(page: Path) -> None:
    for block in blocks_of(page):
        if block.kind.split(" ")[0] in ("sh", "bash"):
            done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (0, ""), block.text


@pytest.mark.parametrize("text", SETTINGS, ids=range(len(SETTINGS)))
def test_every_example_of_settings_is_valid(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    loaded = load_config(tmp_path / "config.yaml")
    assert loaded.explicit_keys or loaded.config.sources
    assert [find_kind_of(section) for section in sections_of_sinks(loaded.config.output)]


def titled(page: str, title: str) -> str:
    (block,) = [block for block in blocks_of(DOCS / page) if f'title="{title}"' in block.kind]
    return block.text


@pytest.mark.parametrize(("title", "kind"), [("prometheus.yml", "config"), ("rules.yml", "rules")])
def test_prometheus_takes_its_examples(title: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / title
    path.write_text(titled("web.md", title))
    done = subprocess.run([prometheus("promtool"), "check", kind, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_automation_listens_to_a_topic_of_these_settings() -> None:
    (automation,) = yaml.safe_load(titled("mqtt.md", "automations.yaml"))
    (trigger,) = automation["triggers"]
    assert trigger["topic"] == Topics("streamgmm", "kitchen", "").state("mic", "doorbell")
    assert trigger["payload"] == "ON"


def test_the_page_answers_at_these_paths() -> None:
    asked = set(re.findall(r"http://127\.0\.0\.1:8080(/[^\s`?]*)", (DOCS / "web.md").read_text()))
    served = {*re.findall(r'Route\("([^"]+)"', (PROJECT / "streamgmm/sinks/web/app.py").read_text()), *FILES}
    assert asked - served == set()
    assert len(asked) == 7


def test_signatures_are_compared_as_they_are_made() -> None:
    names: dict[str, object] = {}
    exec(titled("web.md", "The receiver's check"), names)
    is_genuine = names["is_genuine"]
    assert callable(is_genuine)
    # Test case 2 of RFC 4231.
    made = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert is_genuine(b"what do ya want for nothing?", made, b"Jefe")
    assert not is_genuine(b"what do ya want for nothing!", made, b"Jefe")
