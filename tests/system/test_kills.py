"""The promise of `python -m tests.system.kills`, with fewer kills."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from streamgmm.model.shipped import load_shipped_model
from tests.system.kills import kill_savers

pytestmark = pytest.mark.skipif(os.name != "posix", reason="forks and kills")


def test_B25_F6_killed_while_saving_a_file_is_old_or_new_and_nothing_piles_up(tmp_path: Path) -> None:
    model = load_shipped_model()
    killed = kill_savers(tmp_path, (model, replace(model, name="other")), 40, seed=0)
    # Else the kills did not fall where they matter.
    assert killed.n_changed > 0
    assert killed.n_interrupted > 0
    assert killed.most_left <= 2
