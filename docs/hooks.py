"""Hooks of `mkdocs build`: files of the project outside `docs/` that its pages link to become a part of the site."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

OUTSIDE = {
    "config.yaml": "config.yaml",
    "systemd/README.md": "systemd.md",
    "tests/system/NOT_TESTED.md": "not-tested.md",
}
"""Each such file, relative to the project, with its place in the site."""


def on_files(files: Files, config: Any) -> Files:
    """Add the files from outside to those of `docs/`."""
    project = Path(config.config_file_path).parent
    for source, place in OUTSIDE.items():
        files.append(File.generated(config, place, abs_src_path=str(project / source)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return the text of a page, with links into and out of `docs/` that lead to their place in the site."""
    for source, place in OUTSIDE.items():
        markdown = markdown.replace(f"](../{source}", f"]({place}")
    return re.sub(r"\]\((?:\.\./)+docs/", "](", markdown)
