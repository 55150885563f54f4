"""Jobs for the tests of executors, in a module of their own that a process imports quickly."""

from __future__ import annotations

import os
import signal

import numpy as np  # noqa: F401, has threads of its own
from threadpoolctl import threadpool_info


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
