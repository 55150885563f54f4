from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from streamgmm.report.figure import new_figure, save_figure
from streamgmm.report.matplotlib_defaults import default_settings

matplotlib = pytest.importorskip("matplotlib")

ROOT = Path(__file__).parents[2]

DRAW = """
import logging, os, sys
from pathlib import Path
sys.path.insert(0, {root!r})
logging.basicConfig()
{before}
from streamgmm.report.figure import new_figure, save_figure
from streamgmm.report.matplotlib_defaults import default_settings

@default_settings()
def draw(path):
    figure = new_figure(3.0, 2.0)
    axes = figure.subplots()
    axes.plot([1, 10, 100], [1, 2, 3], label="a $x_1$")
    axes.legend()
    save_figure(figure, path)

def surroundings():
    return os.environ.get("MPLBACKEND"), os.environ.get("MATPLOTLIBRC"), os.getcwd()

before = surroundings()
draw(Path(sys.argv[1]))
assert surroundings() == before
{after}
"""

BAD = """
backend: TkAgg
text.usetex: true
font.family: A Font That Nobody Has
savefig.dpi: 300
savefig.format: pdf
savefig.transparent: true
axes.facecolor: red
lines.linewidth: wide
no.such.setting: 1
"""


def _in_working_folder(folder: Path) -> dict[str, str]:
    (folder / "matplotlibrc").write_text(BAD)
    return {}


def _pipe_in_working_folder(folder: Path) -> dict[str, str]:
    os.mkfifo(folder / "matplotlibrc")
    return {}


def _named(folder: Path) -> dict[str, str]:
    (folder / "mine").write_text(BAD)
    return {"MATPLOTLIBRC": str(folder / "mine")}


def _no_text(folder: Path) -> dict[str, str]:
    (folder / "matplotlibrc").write_bytes(b"\xff\xfe\x00 no text")
    return {}


def _of_home(folder: Path) -> dict[str, str]:
    (config := folder / ".config" / "matplotlib").mkdir(parents=True)
    (config / "matplotlibrc").write_text(BAD)
    (config / "stylelib").mkdir()
    (config / "stylelib" / "default.mplstyle").write_bytes(b"\xff\xfe\x00 no text")
    return {"HOME": str(folder)}


ENVIRONMENTS: dict[str, Callable[[Path], dict[str, str]]] = {
    "notebook": lambda folder: {"MPLBACKEND": "module://matplotlib_inline.backend_inline"},
    "window": lambda folder: {"MPLBACKEND": "TkAgg"},
    "no_backend": lambda folder: {"MPLBACKEND": "nonsense"},
    "empty_backend": lambda folder: {"MPLBACKEND": ""},
    "rc_in_working_folder": _in_working_folder,
    "rc_is_a_pipe": _pipe_in_working_folder,
    "rc_is_no_text": _no_text,
    "rc_is_named": _named,
    "rc_is_missing": lambda folder: {"MATPLOTLIBRC": "/no/such/file"},
    "rc_and_styles_of_home": _of_home,
    "no_home": lambda folder: {"HOME": "/no/such/folder"},
    "config_folder_is_read_only": lambda folder: {"MPLCONFIGDIR": "/proc/nowhere"},
    "config_folder_is_a_device": lambda folder: {"MPLCONFIGDIR": "/dev/null"},
}


def draw(folder: Path, own: dict[str, str], *, before: str = "", after: str = "") -> str:
    """Hash of the picture that another process drew with these variables; it must not have complained."""
    script = DRAW.format(root=str(ROOT), before=before, after=after)
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MPL", "MATPLOTLIB"))}
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", script, str(folder / "drawn.png")],
        cwd=folder,
        env={**plain, **own},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return hashlib.sha256((folder / "drawn.png").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def plain_hash(tmp_path_factory: pytest.TempPathFactory) -> str:
    return draw(tmp_path_factory.mktemp("plain"), {})


@pytest.mark.parametrize("prepare", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_F28_what_the_user_has_set_for_matplotlib_never_reaches_a_picture(
    tmp_path: Path, plain_hash: str, prepare: Callable[[Path], dict[str, str]]
) -> None:
    assert draw(tmp_path, prepare(tmp_path)) == plain_hash


@pytest.mark.parametrize(
    "setting",
    [
        "rcParams['text.usetex'] = True",
        "rcParams['axes.facecolor'] = 'red'",
        "rcParams['font.family'] = 'A Font That Nobody Has'",
        "rcParams['savefig.dpi'] = 300",
        "style.use('dark_background')",
    ],
)
def test_a_program_that_draws_pictures_of_its_own_gets_its_settings_back(
    tmp_path: Path, plain_hash: str, setting: str
) -> None:
    before = f"import matplotlib, matplotlib.style\nmatplotlib.{setting}\nhad = dict(matplotlib.rcParams)"
    assert draw(tmp_path, {}, before=before, after="assert dict(matplotlib.rcParams) == had") == plain_hash


def test_a_broken_matplotlib_is_named_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "matplotlib").mkdir()
    (tmp_path / "matplotlib" / "__init__.py").write_text("raise ImportError('libpng: no such library')")
    script = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]\n" + (
        "from streamgmm.report.matplotlib_defaults import check_matplotlib\ncheck_matplotlib()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert "UsageError: a picture needs matplotlib, which cannot be imported: libpng" in done.stderr.splitlines()[-1]


def test_a_folder_that_was_removed_can_be_worked_in(tmp_path: Path) -> None:
    (gone := tmp_path / "gone").mkdir()
    script = (
        f"import os, sys; sys.path.insert(0, {str(ROOT)!r}); os.chdir({str(gone)!r}); os.rmdir({str(gone)!r})\n"
        + ("from streamgmm.report.matplotlib_defaults import check_matplotlib\ncheck_matplotlib()")
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_differs_from_the_defaults_is_drawn(tmp_path: Path) -> None:
    pictures = []
    for name, own in (("a", {}), ("b", {"lines.linewidth": 9.0})):
        with default_settings(own):
            figure = new_figure(1.0, 1.0)
            figure.subplots().plot([0, 1])
            save_figure(figure, tmp_path / name)
        pictures.append((tmp_path / name).read_bytes())
    assert pictures[0] != pictures[1]
