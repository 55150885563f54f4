"""The shared library of the kernel: found, checked, and left alone where it does not fit.

`STREAMGMM_KERNEL` chooses `numpy`, or one of the levels of instructions that this processor has.
"""

from __future__ import annotations

import ctypes
import logging
import os
import struct
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import NamedTuple

from streamgmm.errors import ConfigError
from streamgmm.features.kernel.version import FOLDER, source_version

VARIABLE = "STREAMGMM_KERNEL"
"""Environment variable that chooses the kernel."""

NUMPY = "numpy"
"""Its value for the analysis in numpy."""

logger = logging.getLogger("streamgmm.features")

_INT, _POINTER = ctypes.c_int32, ctypes.c_void_p
_SIGNATURES = {
    "streamgmm_kernel_version": (ctypes.c_char_p, []),
    "streamgmm_kernel_level": (ctypes.c_char_p, [_INT]),
    "streamgmm_kernel_plan": (_POINTER, [ctypes.c_char_p, _POINTER]),
    "streamgmm_kernel_scratch_size": (ctypes.c_size_t, [_POINTER]),
    "streamgmm_kernel_new": (_POINTER, [_POINTER]),
    "streamgmm_kernel_reset": (None, [_POINTER]),
    "streamgmm_kernel_free": (None, [_POINTER]),
    "streamgmm_kernel_push": (_INT, [*[_POINTER] * 3, *[_INT] * 2, *[ctypes.c_float] * 2, *[_POINTER] * 2]),
    "streamgmm_kernel_push_stack": (None, [*[_POINTER] * 3, _INT, *[_POINTER] * 2]),
    "streamgmm_kernel_flush": (_INT, [_POINTER] * 3),
    "streamgmm_kernel_score": (None, [ctypes.c_char_p, *[_POINTER] * 2, _INT, *[_POINTER] * 3]),
}


class Kernel(NamedTuple):
    """The library, and the level of instructions to use.

    Attributes:
        functions: of the loaded library.
        level: name of the level, such as `avx2`.
    """

    functions: ctypes.CDLL
    level: str


def kernel_names() -> list[str]:
    """Return the kernels that this machine can use, best first: levels of instructions, then `numpy`."""
    library = _load(_library_path())
    names: list[str] = []
    while library and (name := library.streamgmm_kernel_level(len(names))):
        names.append(name.decode())
    return [*names, NUMPY]


def kernel_name() -> str:
    """Return the kernel that is used: the one that the environment chooses, or the best.

    Raises:
        ConfigError: the environment chooses a kernel that does not exist here.
    """
    chosen = os.environ.get(VARIABLE, "")
    if chosen == NUMPY:
        return NUMPY
    names = kernel_names()
    if chosen and chosen not in names:
        raise ConfigError([f" no kernel {chosen!r} on this machine (there are {', '.join(names)})"], where=VARIABLE)
    return chosen or names[0]


def find_kernel() -> Kernel | None:
    """Return the kernel that is used, or None for the analysis in numpy; raise as `kernel_name`."""
    name = kernel_name()
    library = None if name == NUMPY else _load(_library_path())
    return Kernel(library, name) if library else None


def _library_path() -> Path | None:
    """Return where the library was built for this version of Python, if it was."""
    paths = (FOLDER / f"_kernel{suffix}" for suffix in EXTENSION_SUFFIXES)
    return next((path for path in paths if path.exists()), None)


@lru_cache(maxsize=1)
def _load(path: Path | None) -> ctypes.CDLL | None:
    if path is None:
        logger.debug("features are computed in numpy: the kernel was not built")
        return None
    try:
        _check_file(path)
        library = ctypes.CDLL(str(path))
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        if library.streamgmm_kernel_version().decode() != source_version():
            raise OSError(f"{path.name} was made from other sources")
    except (OSError, AttributeError) as error:
        logger.warning("features are computed in numpy, which takes longer: the kernel does not load (%s)", error)
        return None
    return library


def _check_file(path: Path) -> None:
    """Raise OSError if loading would hang (a pipe), or kill the process (an ELF file of 64 bits that is cut off)."""
    if not path.is_file():
        raise OSError(f"{path.name} is no regular file")
    with path.open("rb") as file:
        header = file.read(64)
        size = file.seek(0, os.SEEK_END)
    if header[:5] == b"\x7fELF\2" and len(header) == 64:
        # The table of sections ends the file.
        (offset,) = struct.unpack_from("<Q", header, 40)
        entry_size, n_entries = struct.unpack_from("<HH", header, 58)
        if offset + entry_size * n_entries > size:
            raise OSError(f"{path.name} is cut off")
