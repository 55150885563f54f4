"""The site of the documents: built strictly, all links lead somewhere, and no page asks another server for anything."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.browser_rig import Browser
from tests.packaging.packaging_rig import PROJECT, TIMEOUT_S
from tests.required import chromium, require_or_skip

PARTS = ("mkdocs", "material", "mkdocstrings_handlers.python")
LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src"}
"""Attributes by which a page loads something without being asked to; `link` is looked at by its `rel`."""


class Page(HTMLParser):
    """What a page has: the targets of its links, what it loads, and its anchors."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "link" and values.get("rel") not in ("canonical", "next", "prev"):
            self.loads.append(values["href"])
        elif tag == "a" and "href" in values:
            self.links.append(values["href"])
        if LOADING.get(tag) in values:
            self.loads.append(values[LOADING[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if missing := [part for part in PARTS if not is_installed(part)]:
        require_or_skip("docs", f"{', '.join(missing)} is not installed: pip install 'streamgmm[docs]'")
    folder = tmp_path_factory.mktemp("site") / "built"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def is_installed(part: str) -> bool:
    with contextlib.suppress(ModuleNotFoundError):
        return find_spec(part) is not None
    return False


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    # Its links are absolute, as nobody knows from where it is shown.
    return {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}


def test_every_document_is_a_page(site: Path, pages: dict[Path, Page]) -> None:
    written = {path.stem for path in (PROJECT / "docs").glob("*.md")}
    assert {path.parent.name for path in pages} - {site.name} == written - {"index"} | {"systemd", "not-tested"}


def test_every_link_leads_to_a_file_and_a_place_in_it(pages: dict[Path, Page]) -> None:
    broken = []
    for path, page in pages.items():
        for link in [*page.links, *page.loads]:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            place = unquote(parts.fragment)
            if not target.is_file() or (place and target in pages and place not in pages[target].anchors):
                broken.append((path.parent.name, link))
    assert broken == []


def test_no_page_loads_anything_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    assert [link for page in pages.values() for link in page.loads if urlsplit(link).netloc] == []
    assert any(page.loads for page in pages.values())
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//[^'\")]*", styles) == []


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Log nothing."""


def test_a_browser_asks_no_other_server(address: str, pages: dict[Path, Page], site: Path, tmp_path: Path) -> None:
    with contextlib.closing(Browser(chromium(), tmp_path)) as browser:
        for path in pages:
            browser.open(f"{address}{path.parent.relative_to(site)}/", 1200)
            # The search index is what a script of the theme loads last.
            loaded = "performance.getEntriesByType('resource').map((entry) => entry.name)"
            browser.wait_for(f"document.readyState == 'complete' && {loaded}.some((name) => name.includes('search'))")
            asked = browser.evaluate(loaded)
            assert [name for name in asked if not name.startswith((address, "data:", "blob:"))] == [], path
    assert browser.errors == []
