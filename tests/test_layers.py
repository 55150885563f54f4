"""Data flows one way: a module imports only from its own room, or from rooms to its left."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "streamgmm"

ROOMS = [
    *(
        "ground",
        "settings",
        "audio",
        "features",
        "model",
        "decision",
        "room",
        "analyser",
        "pipeline",
        "stack",
        "client",
        "clips",
    ),
    *("sinks", "service"),
    *("listening", "recording", "dataset", "world", "training", "evaluation", "tuning", "explanation", "bench"),
    *("archive", "report", "demo", "monitor", "cli"),
]

# Ground floor may import what carries settings and messages, and nothing that touches samples.
HEAVY = {"sklearn", "scipy", "rich", "matplotlib", "threadpoolctl"}
HEAVY_ROOMS = set(ROOMS[ROOMS.index("dataset") :])  # `run` imports none of them

MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(parts: tuple[str, ...]) -> str:
    """Room of a module given as its dotted parts below the package."""
    return parts[0] if parts and parts[0] in ROOMS else "ground"


def imports_of(path: Path, *, is_top_level: bool) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if is_top_level else list(ast.walk(tree))
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_flow_with_the_data(path: Path) -> None:
    own = room_of(path.relative_to(PACKAGE).with_suffix("").parts)
    if path.name == "__main__.py":
        return
    for name in imports_of(path, is_top_level=False):
        parts = tuple(name.split("."))
        if parts[0] == "streamgmm" and len(parts) > 1:
            other = room_of(parts[1:])
            assert ROOMS.index(other) <= ROOMS.index(own), f"{own} imports {name} from {other}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_run_path_imports_no_heavy_library(path: Path) -> None:
    if room_of(path.relative_to(PACKAGE).parts) in HEAVY_ROOMS:
        return
    found = {name.split(".")[0] for name in imports_of(path, is_top_level=False)}
    assert not found & HEAVY


def test_the_check_would_notice(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("def late():\n    from streamgmm.cli.main import main\n")
    assert "streamgmm.cli.main" in imports_of(module, is_top_level=False)
    assert room_of(("cli", "main")) == "cli"
