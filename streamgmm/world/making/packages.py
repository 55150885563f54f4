"""Fetches and unpacks the Debian packages that the clips are taken from."""

from __future__ import annotations

import csv
import hashlib
import subprocess
import urllib.request
from pathlib import Path
from typing import NamedTuple


class Package(NamedTuple):
    """A Debian package, pinned by version and digest."""

    name: str
    version: str
    sha256: str
    url: str  # at snapshot.debian.org, where the mirror no longer has this version


def read_packages(table: Path) -> dict[str, Package]:
    """Read the table of packages by name."""
    with table.open(newline="", encoding="utf-8") as lines:
        rows = [Package(row["package"], row["version"], row["sha256"], row["url"]) for row in csv.DictReader(lines)]
    return {package.name: package for package in rows}


def digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def cached(package: Package, folder: Path) -> Path | None:
    """Find an archive of the package, with the digest pinned, in a folder."""
    found = sorted(folder.glob(f"{package.name}_*.deb"))
    # The digest decides, whatever version the file name states.
    return next((path for path in found if digest(path) == package.sha256), None)


def download(package: Package, folder: Path) -> Path:
    """Download a package by apt, else from the snapshot; raise ValueError if its digest is another."""
    folder.mkdir(parents=True, exist_ok=True)
    path = cached(package, folder)
    if path is None:
        request = ["apt-get", "download", "-q", f"{package.name}={package.version}"]
        # A failure is no error yet: the mirror may no longer have this version.
        subprocess.run(request, cwd=folder, check=False, capture_output=True)
        path = cached(package, folder)
    if path is None:
        target = folder / f"{package.name}_snapshot.deb"
        urllib.request.urlretrieve(package.url, target)
        path = cached(package, folder)
    if path is None:
        raise ValueError(f"{package.name} {package.version}: no archive with the pinned SHA-256 {package.sha256}")
    return path


def unpack(package: Package, cache: Path) -> Path:
    """Return the folder that holds the files of a package, fetched and unpacked if need be."""
    target = cache / f"{package.name}_{package.sha256[:12]}"
    if not target.exists():
        archive = download(package, cache / "archives")
        partial = target.with_name(f"{target.name}.partial")
        subprocess.run(["dpkg-deb", "-x", str(archive), str(partial)], check=True)
        # An interrupted run leaves no folder that looks complete.
        partial.rename(target)
    return target
