"""Each fault of `docs/faults.md` has a test that bears its id, or stands in `NOT_TESTED.md` with the reason."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parent
CATALOGUE = TESTS.parent / "docs" / "faults.md"
NOT_TESTED = TESTS / "system" / "NOT_TESTED.md"
MOST_NOT_TESTED = 10
N_HEADER_ROWS = 2
"""Of each table: its names of columns, and the line below them."""


def listed_ids() -> list[str]:
    """The ids of `docs/faults.md`, in its order; each row has to tell what happens and what is done."""
    return re.findall(r"^\| ([A-G][0-9]+) \| \S.*? \| \S.*? \|$", CATALOGUE.read_text(), re.MULTILINE)


def ids_in(name: str) -> set[str]:
    """The faults that a test of that name proves: `test_A2_A23_...`."""
    found = set()
    for word in name.removeprefix("test_").split("_"):
        if not re.fullmatch(r"[A-G][1-9][0-9]*", word):
            break
        found.add(word)
    return found


def ids_of_tests() -> set[str]:
    trees = [ast.parse(path.read_text()) for path in TESTS.rglob("test_*.py")]
    names = [node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return {fault for name in names if name.startswith("test_") for fault in ids_in(name)}


def excused_ids() -> dict[str, str]:
    rows = re.findall(r"^\| ([A-G][0-9]+) \| .+? \| (.*?) \|$", NOT_TESTED.read_text(), re.MULTILINE)
    return dict(rows)


def test_the_catalogue_counts_the_faults_of_each_letter_without_a_hole() -> None:
    ids = listed_ids()
    n_faults = Counter(fault[0] for fault in ids)
    assert "".join(n_faults) == "ABCDEFG"
    assert ids == [f"{letter}{number}" for letter in n_faults for number in range(1, n_faults[letter] + 1)]
    # No row is so malformed that it was not counted.
    n_rows = sum(line.startswith("|") for line in CATALOGUE.read_text().splitlines())
    assert len(ids) == n_rows - N_HEADER_ROWS * len(n_faults)


def test_every_fault_has_a_test_or_a_reason_for_having_none() -> None:
    missing = set(listed_ids()) - ids_of_tests() - set(excused_ids())
    assert not missing, f"neither in the name of a test nor in {NOT_TESTED.name}: {sorted(missing)}"


def test_what_has_no_test_is_little_and_has_a_reason() -> None:
    excused = excused_ids()
    assert 0 < len(excused) <= MOST_NOT_TESTED
    assert all(excused.values())
    assert set(excused) <= set(listed_ids())
    assert not set(excused) & ids_of_tests(), "these have a test by now"


def test_ids_stand_at_the_beginning_of_a_name_and_are_faults_of_the_catalogue() -> None:
    assert ids_of_tests() <= set(listed_ids())
    assert ids_in("test_A2_A23_a_server_that_is_killed") == {"A2", "A23"}
    assert ids_in("test_the_A2_of_something") == set()
