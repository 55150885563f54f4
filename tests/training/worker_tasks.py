"""Jobs for the tests of executors, in a module of their own that a process imports quickly."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np  # noqa: F401, has threads of its own
from threadpoolctl import threadpool_info

from streamgmm.errors import DataError


def square(number: int) -> int:
    if number == 13:
        raise ValueError("thirteen")
    return number * number


def n_threads(_: int) -> set[int]:
    return {library["num_threads"] for library in threadpool_info()}


def die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def first_then_forever(number: int) -> int:
    if number:
        signal.pause()
    return number


def work_forever(_: int) -> None:
    os.write(1, f"{os.getpid()}\n".encode())  # one system call: the lines of two processes do not mix
    signal.pause()


class UnpicklableError(Exception):
    def __init__(self) -> None:
        super().__init__("not to be pickled")
        self.held = lambda: None


def stream(path: Path) -> Iterator[bytes]:
    """Three pieces for each path, and what its name asks for between the second and the third."""
    yield f"{path} 1\n".encode()
    yield f"{path} 2\n".encode()
    match path.name:
        case "bad":
            raise DataError("no sound", where=str(path))
        case "bug":
            raise ZeroDivisionError("a bug")
        case "unpicklable":
            raise UnpicklableError
        case "killed":
            die(0)
        case "long":
            yield from (bytes(2**16) for _ in range(64))
        case "logs":
            logging.getLogger("streamgmm.tests").warning("heard of %s", path.name)
    yield f"{path} 3\n".encode()
