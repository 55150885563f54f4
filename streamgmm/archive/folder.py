"""The folder of an archive: a manifest, and one Parquet file per finished recording.

The name of a file follows from the path of its recording, and its metadata hold size and time of the content. A
recording is finished or not, a changed one replaces its own rows, and no row is lost or doubled by a restart.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from streamgmm import __version__
from streamgmm.errors import CannotCreateError, DataError, InputMissingError, OutputError, StreamgmmError, UsageError
from streamgmm.files import path_status, read_regular_file, reason_of, replace_atomically
from streamgmm.listening.events import Detection
from streamgmm.model.model import Model
from streamgmm.settings.config import Config

if TYPE_CHECKING:
    import pyarrow

MANIFEST_NAME = "_streamgmm.json"
"""Name of the manifest; readers of Parquet skip names that begin with an underscore."""

MAX_MANIFEST_BYTES = 2**20
MAX_ROWS_BYTES = 2**30
"""Largest file of rows that is read: of a recording of weeks."""

_KEY = b"streamgmm"
_DIGEST_KEY = b"streamgmm_rows"
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What all rows of an archive have in common.

    Attributes:
        format: version of the layout of the folder.
        version: of streamgmm.
        model: name of the model.
        sha256: content hash of the model.
        settings: those that decide which events there are.
        start_time: given time of the first sample of each recording; null if it was read from the names.
    """

    format: int = 1
    version: str
    model: str
    sha256: str
    settings: dict[str, Any]
    start_time: str | None


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a recording as far as the file system shows it: any change makes it unfinished."""

    size_bytes: int
    mtime_ns: int


class _Finished(Fingerprint, frozen=True, kw_only=True):
    """Metadata of a Parquet file."""

    path: str


def make_manifest(model: Model, config: Config, origin: datetime | None) -> Manifest:
    """Return the manifest of an archive that `model` labels with the settings `config`."""
    settings = {"decision": config.decision, "channel": config.source.channel, "priors": config.model.priors}
    return Manifest(
        version=__version__,
        model=model.name,
        sha256=model.sha256,
        # As it will be read again, to be compared.
        settings=msgspec.json.decode(msgspec.json.encode(settings)),
        start_time=None if origin is None else origin.isoformat(),
    )


def fingerprint_of(path: Path) -> Fingerprint:
    """Return the fingerprint of the recording at `path`.

    Raises:
        InputMissingError: there is no such file.
        PermissionDeniedError: a folder on the way may not be entered.
    """
    status = path_status(path)
    if status is None:
        raise InputMissingError("no such file", where=str(path))
    return Fingerprint(size_bytes=status.st_size, mtime_ns=status.st_mtime_ns)


class ArchiveFolder:
    """A folder with the events of an archive.

    Args:
        root: the folder.

    Raises:
        UsageError: `pyarrow` is not installed.
    """

    def __init__(self, root: Path) -> None:
        _check_pyarrow()
        self.root = root

    def prepare(self, wanted: Manifest) -> None:
        """Create the folder, or check that it holds the same archive.

        Raises:
            CannotCreateError: it holds something else, or cannot be created.
            OutputError: the disk is full.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            # A manifest alone is left by a run that labelled nothing.
            is_empty = all(_holds_no_rows(entry) for entry in self.root.iterdir())
        except (OSError, ValueError) as error:
            raise _write_error(self.root, error) from error
        if is_empty:
            content = msgspec.json.format(msgspec.json.encode(wanted), indent=2) + b"\n"
            self._replace(self.root / MANIFEST_NAME, content)
            return
        if path_status(self.root / MANIFEST_NAME) is None:
            what = f"is not empty and no archive: it has no {MANIFEST_NAME}"
            raise CannotCreateError(what, where=str(self.root), hint="name another folder")
        for field in Manifest.__struct_fields__:
            found, expected = getattr(self.manifest(), field), getattr(wanted, field)
            if found != expected:
                what = f"holds an archive with another {_named(field, found, expected)}"
                raise CannotCreateError(what, where=str(self.root), hint="name another folder")

    def manifest(self) -> Manifest:
        """Return the manifest.

        Raises:
            InputMissingError: the folder does not exist, or has none, and so is no archive.
            DataError: the manifest is damaged.
        """
        path = self.root / MANIFEST_NAME
        if path_status(path) is None:
            what = f"is no archive: it has no {MANIFEST_NAME}" if self.root.is_dir() else "no such folder"
            hint = "make one with `streamgmm classify ... -o FOLDER`"
            raise InputMissingError(what, where=str(self.root), hint=hint)
        try:
            return msgspec.json.decode(read_regular_file(path, MAX_MANIFEST_BYTES), type=Manifest)
        except msgspec.MsgspecError as error:
            raise DataError(f"is not the manifest of an archive: {error}", where=str(path)) from error

    def is_finished(self, path: Path, fingerprint: Fingerprint) -> bool:
        """Return whether the rows of the recording at `path` are here, whole, and it has not changed since."""
        try:
            return _read_rows(self.file_of(path)).finished == _finished(path, fingerprint)
        except StreamgmmError:
            return False

    def write(self, path: Path, fingerprint: Fingerprint, events: Sequence[Detection], origin: datetime | None) -> None:
        """Write the rows of one recording, whole or not at all; without events, a file without rows.

        Raises:
            OutputError: the disk is full.
            CannotCreateError: the folder may not be written.
        """
        import pyarrow
        import pyarrow.parquet

        table = pyarrow.Table.from_pylist([_row(path, event, origin) for event in events], _schema())
        finished = msgspec.json.encode(_finished(path, fingerprint))
        table = table.replace_schema_metadata({_KEY: finished, _DIGEST_KEY: _digest(table)})
        file = io.BytesIO()
        pyarrow.parquet.write_table(table, file)
        target = self.file_of(path)
        try:
            target.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise _write_error(target, error) from error
        self._replace(target, file.getvalue())

    def file_of(self, path: Path) -> Path:
        """Return the Parquet file of the recording with the absolute path `path`: one, whichever links lead to it."""
        path = Path(os.path.realpath(path))
        key = hashlib.sha256(os.fsencode(path)).hexdigest()[:24]
        # For people; first the key, because readers skip names that begin with a dot or an underscore.
        stem = re.sub(r"[^A-Za-z0-9._-]", "_", path.stem)[:64]
        # Subfolders, because listing a folder with a million files takes long.
        return self.root / key[:2] / f"{key}-{stem}.parquet"

    def files(self) -> list[Path]:
        """Return all Parquet files, in order of name."""
        return sorted(self.root.glob("[0-9a-f][0-9a-f]/*.parquet"))

    def tables(self) -> Iterator[pyarrow.Table]:
        """Yield the rows of one recording after the other.

        Raises:
            DataError: a file is damaged, or holds something else.
            InputMissingError: a file cannot be read.
            PermissionDeniedError: a file may not be read.
        """
        for file in self.files():
            yield _read_rows(file).table

    def _replace(self, target: Path, content: bytes) -> None:
        try:
            replace_atomically(target, content)
        except (OSError, ValueError) as error:
            raise _write_error(target, error) from error


class _Rows(NamedTuple):
    """A Parquet file: the rows of one recording, and of what state of it they are."""

    finished: _Finished
    table: pyarrow.Table


def _read_rows(file: Path) -> _Rows:
    """Read a file that `ArchiveFolder.write` has written.

    Raises:
        DataError: it is damaged, or holds something else.
        InputMissingError: it cannot be read.
        PermissionDeniedError: it may not be read.
    """
    import pyarrow.parquet

    hint = "remove it, and start the same `classify` again"
    try:
        content = io.BytesIO(read_regular_file(file, MAX_ROWS_BYTES))
        table = pyarrow.parquet.ParquetFile(content).read()
        metadata = table.schema.metadata or {}
        finished = msgspec.json.decode(metadata.get(_KEY, b"null"), type=_Finished)
        # Parquet's own checksums are of its pages alone, and not of what tells how to read them.
        if not table.schema.equals(_schema()) or metadata.get(_DIGEST_KEY) != _digest(table):
            raise ValueError("the rows are not those that were written")
    except DataError as error:
        raise DataError(error.what, where=str(file), hint=hint) from error
    except StreamgmmError:
        raise
    # Damaged bytes fail anywhere within pyarrow, with errors of any kind.
    except Exception as error:
        raise DataError("is damaged, or no file of an archive", where=str(file), hint=hint) from error
    return _Rows(finished, table)


def _digest(table: pyarrow.Table) -> bytes:
    return hashlib.sha256(msgspec.json.encode(table.to_pylist())).hexdigest().encode()


def _holds_no_rows(entry: Path) -> bool:
    return entry.suffix == ".tmp" or entry.name == MANIFEST_NAME


def _named(field: str, found: object, expected: object) -> str:
    """Return a manifest's field with both values, for a message."""
    if field == "settings" and isinstance(found, dict) and isinstance(expected, dict):
        # Only the sections that differ; a decision has twenty settings.
        keys = [key for key in expected if found.get(key) != expected[key]]
        return f"setting of {', '.join(keys)}"
    name = {"sha256": "model", "start_time": "start time"}.get(field, field)
    return f"{name}: {found or 'none'}, not {expected or 'none'}"


def _finished(path: Path, fingerprint: Fingerprint) -> _Finished:
    place = _text(os.path.realpath(path))
    return _Finished(path=place, size_bytes=fingerprint.size_bytes, mtime_ns=fingerprint.mtime_ns)


def _row(path: Path, event: Detection, origin: datetime | None) -> dict[str, object]:
    return {
        "path": _text(path),
        "onset_s": event.onset_s,
        "offset_s": event.offset_s,
        "label": event.label,
        "score": event.score,
        "onset_time": None if origin is None else origin + timedelta(seconds=event.onset_s),
    }


def _text(path: Path | str) -> str:
    # The name of a file may have bytes that are not UTF-8, which Parquet does not allow.
    return str(path).encode("utf-8", "backslashreplace").decode()


def _schema() -> pyarrow.Schema:
    import pyarrow

    text, number = pyarrow.string(), pyarrow.float64()
    columns = {"path": text, "onset_s": number, "offset_s": number, "label": text, "score": number}
    return pyarrow.schema({**columns, "onset_time": pyarrow.timestamp("us", tz="UTC")})


def _write_error(path: Path, error: OSError | ValueError) -> StreamgmmError:
    if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
        hint = "what is finished is kept: make room, and start the same command again"
        return OutputError(f"cannot be written: {error.strerror}", where=str(path), hint=hint)
    return CannotCreateError(f"cannot be written: {reason_of(error)}", where=str(path))


def _check_pyarrow() -> None:
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise UsageError("an archive needs pyarrow", hint='pip install "streamgmm[cluster]"') from error
