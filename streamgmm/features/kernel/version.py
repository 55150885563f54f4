"""The version of the sources of the kernel, which is compiled into the library.

`setup.py` runs this file by itself, so it imports the standard library only.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

FOLDER = Path(__file__).parent

SOURCES = sorted(FOLDER.glob("*.c"))

HEADERS = sorted(FOLDER.glob("*.h"))


def source_version() -> str:
    """Return a hash of the sources: a library that was built from others is not used."""
    content = b"".join(path.read_bytes() for path in [*SOURCES, *HEADERS])
    return hashlib.sha256(content).hexdigest()[:16]
