"""Each fault of the catalogue is proved by a test that bears its id, or stands in `NOT_TESTED.md` with the reason."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
NOT_TESTED = TESTS / "system" / "NOT_TESTED.md"
MOST_NOT_TESTED = 10

N_FAULTS = {"A": 26, "B": 27, "C": 15, "D": 15, "E": 28, "F": 24}
"""A: audio devices; B: files, data sets, training; C: settings; D: model files; E: outputs and clients; F: process,
system, time."""

FAULTS = {f"{group}{number}" for group, n_faults in N_FAULTS.items() for number in range(1, n_faults + 1)}


def ids_in(name: str) -> set[str]:
    """The faults that a test of that name proves: `test_A2_A23_...`."""
    found = set()
    for word in name.removeprefix("test_").split("_"):
        if not re.fullmatch(r"[A-F][1-9][0-9]*", word):
            break
        found.add(word)
    return found


def ids_of_tests() -> set[str]:
    trees = [ast.parse(path.read_text()) for path in TESTS.rglob("test_*.py")]
    names = [node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return {fault for name in names if name.startswith("test_") for fault in ids_in(name)}


def excused_ids() -> dict[str, str]:
    rows = re.findall(r"^\| ([A-F][0-9]+) \| .+? \| (.*?) \|$", NOT_TESTED.read_text(), re.MULTILINE)
    return dict(rows)


def test_every_fault_has_a_test_or_a_reason_for_having_none() -> None:
    assert len(FAULTS) == 135
    missing = FAULTS - ids_of_tests() - set(excused_ids())
    assert not missing, f"neither in the name of a test nor in {NOT_TESTED.name}: {sorted(missing)}"


def test_what_has_no_test_is_little_and_has_a_reason() -> None:
    excused = excused_ids()
    assert 0 < len(excused) <= MOST_NOT_TESTED
    assert all(excused.values())
    assert set(excused) <= FAULTS
    assert not set(excused) & ids_of_tests(), "these have a test by now"


def test_ids_stand_at_the_beginning_of_a_name_and_are_faults_of_the_catalogue() -> None:
    assert ids_of_tests() <= FAULTS
    assert ids_in("test_A2_A23_a_server_that_is_killed") == {"A2", "A23"}
    assert ids_in("test_the_A2_of_something") == set()
