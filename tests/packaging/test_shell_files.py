"""The completions and the page of the manual are those of the parser; STREAMGMM_REGENERATE=1 renews them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from streamgmm.cli.main import COMMANDS
from streamgmm.errors import StreamgmmError
from tests.packaging.packaging_rig import PROJECT
from tests.required import require_or_skip

COMPLETE = """\
source "$1"; shift
COMP_WORDS=(streamgmm "$@"); COMP_CWORD=$#
_shtab_streamgmm streamgmm "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize("name", ["docs/completions/streamgmm", "docs/completions/_streamgmm", "docs/streamgmm.1"])
def test_the_file_is_what_the_parser_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    try:
        from tests.packaging.shell_files import WRITTEN
    except ImportError:
        require_or_skip("packaging", "shtab is not installed: pip install 'streamgmm[test]'")
    path = PROJECT / name
    text = WRITTEN[path]()
    if os.environ.get("STREAMGMM_REGENERATE"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), "if this is meant, run once with STREAMGMM_REGENERATE=1"
    assert str(Path.home()) not in text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["cl"], {"classify"}),
        (["run", "--lo"], {"--log-level"}),
        (["run", "--log-level", "w"], {"warning"}),
        (["run", "-f", ""], {"jsonl", "text", "label", "dcase", "audacity"}),
        (["config", "sh"], {"show"}),
        (["config", "show", "--ef"], {"--effective"}),
        (["classify", "a_reco"], {"a_recording.wav"}),
        (["run", "--model", "a_reco"], {"a_recording.wav"}),
        (["review", ""], {"a_folder"}),
        ([""], set(COMMANDS)),
        (["forget", "--fo"], {"--force"}),
        (["retrain", "--b"], {"--back"}),
        (["retrain", "a_reco"], {"a_recording.wav"}),
    ],
)
def test_bash_completes(words: list[str], expected: set[str], tmp_path: Path) -> None:
    if not (bash := shutil.which("bash")):
        require_or_skip("programs", "bash is not installed")
    (tmp_path / "a_recording.wav").touch()
    (tmp_path / "a_folder").mkdir()
    command = [bash, "-c", COMPLETE, "bash", str(PROJECT / "docs" / "completions" / "streamgmm"), *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=True)
    assert done.stderr == ""
    assert {line.rstrip("/ ") for line in done.stdout.splitlines()} == expected


def test_zsh_completes_every_command() -> None:
    text = (PROJECT / "docs" / "completions" / "_streamgmm").read_text()
    listed = text.partition("local _commands=(\n")[2].partition("\n  )")[0]
    assert [line.strip().partition(":")[0] for line in listed.splitlines()] == sorted(COMMANDS)
    assert [name for name in COMMANDS if f"_shtab_streamgmm_{name}_options=" not in text] == []


def test_the_manual_names_every_command_and_exit_code() -> None:
    page = (PROJECT / "docs" / "streamgmm.1").read_text()
    assert [name for name in COMMANDS if f".SH STREAMGMM {name.upper()}" not in page] == []
    codes = {kind.exit_code for kind in StreamgmmError.__subclasses__()}
    status = page.partition(".SH EXIT STATUS")[2]
    assert [code for code in codes if f" {code} " not in status] == []
