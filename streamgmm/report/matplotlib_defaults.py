"""Matplotlib with its defaults: the backend, settings, styles and folders of the user do not affect pictures."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from streamgmm.errors import UsageError


def check_matplotlib() -> None:
    """Import matplotlib without the settings of the user, as an invalid one makes the import fail.

    Called before long work, so that a missing library is reported at once.

    Raises:
        UsageError: matplotlib is not installed, or cannot be imported.
    """
    # Finds the package without an import: its settings have to be hidden before.
    found = importlib.util.find_spec("matplotlib")
    try:
        if found is None or found.origin is None:
            raise ModuleNotFoundError("there is no module matplotlib")
        with _no_settings(Path(found.origin).parent), _quiet():
            import matplotlib.figure  # noqa: F401
    except ModuleNotFoundError as error:
        raise UsageError("a picture needs matplotlib", hint='pip install "streamgmm[plot]"') from error
    except (ImportError, OSError) as error:
        raise UsageError(f"a picture needs matplotlib, which cannot be imported: {error}") from error


@contextlib.contextmanager
def _no_settings(package: Path) -> Iterator[None]:
    """Hide all settings from matplotlib (imported from `package`), in the environment and in the working folder."""
    # Settings are read by the import; afterwards, hiding them has no effect.
    if "matplotlib" in sys.modules:
        yield
        return
    before = {name: os.environ.pop(name, None) for name in ("MPLBACKEND", "MATPLOTLIBRC")}
    # An empty file in place of the settings in the folder of the user.
    os.environ["MATPLOTLIBRC"] = os.devnull
    try:
        # A file `matplotlibrc` in the working folder would come first.
        with _working_in(package):
            yield
    finally:
        del os.environ["MATPLOTLIBRC"]
        os.environ.update({name: value for name, value in before.items() if value is not None})


@contextlib.contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    if not hasattr(os, "O_PATH"):
        with contextlib.chdir(folder):
            yield
        return
    # A descriptor leads back even to a folder that was removed or may not be read.
    here = os.open(".", os.O_PATH | os.O_CLOEXEC)
    try:
        os.chdir(folder)
        yield
    finally:
        os.fchdir(here)
        os.close(here)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress messages of matplotlib about read-only folders, fonts and old settings."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def default_settings(own: Mapping[Any, Any] | None = None) -> Iterator[None]:
    """Draw with the defaults of matplotlib, whatever settings and styles the user has; also as a decorator.

    Args:
        own: settings that differ from the defaults.

    Raises:
        UsageError: matplotlib is not installed, or cannot be imported.
    """
    check_matplotlib()
    from matplotlib import MatplotlibDeprecationWarning, rc_context, rcParamsDefault

    with warnings.catch_warnings(), _quiet():
        warnings.simplefilter("ignore", MatplotlibDeprecationWarning)  # some defaults are old
        # Setting the backend would load it; these figures need none.
        defaults = {key: value for key, value in rcParamsDefault.items() if not key.startswith("backend")}
        with rc_context({**defaults, **(own or {})}):
            yield
