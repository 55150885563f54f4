"""Paths that cannot be looked at, as an ordinary user meets them: root, who runs many a test, may look everywhere."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

NOBODY = 65534


@contextlib.contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Within it this process has no rights over the files of others; without effect for who is no root anyway."""
    if os.geteuid() != 0:
        yield
        return
    groups, gid = os.getgroups(), os.getegid()
    os.setgroups([])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)
        os.setgroups(groups)


@contextlib.contextmanager
def shared_folder() -> Iterator[Path]:
    """A temporary folder that every user may enter; those of pytest are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="streamgmm-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def closed_to_me(folder: Path) -> Iterator[None]:
    """Within it, nobody but root may enter `folder`."""
    folder.chmod(0)
    try:
        with as_ordinary_user():
            yield
    finally:
        folder.chmod(0o755)
