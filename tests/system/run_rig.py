"""Real `streamgmm run` processes: started, listened to, ended, and checked for what every end must show."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import threading
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

from tests.cli.cli_rig import spawn_bytes
from tests.narrowing import present
from tests.sinks.sink_rig import Client

TIMEOUT_S = 30.0
STOP_LIMIT_S = 2.0
Json = dict[str, Any]
T = TypeVar("T")


class Ended(NamedTuple):
    """How a process ended."""

    code: int
    out: bytes
    err: str

    @property
    def records(self) -> list[Json]:
        return parse(self.out)


class Daemon:
    """A `streamgmm run` that is ended with the test; its stderr is read all the time and kept.

    Args:
        arguments: of `run`.
        preparation: Python that runs before it, in the same process.
        settings: of the process, as for `Popen`.
    """

    def __init__(self, *arguments: object, preparation: str = "", **settings: Any) -> None:
        self.started_s = time.monotonic()
        self.process = spawn_bytes("run", *arguments, preparation=preparation, **settings)
        self._log: list[str] = []
        self._logged = threading.Condition()
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    def _read_log(self) -> None:
        for line in self.stderr:
            with self._logged:
                self._log.append(line.decode())
                self._logged.notify_all()

    @property
    def stdin(self) -> IO[bytes]:
        return present(self.process.stdin)

    @property
    def stdout(self) -> IO[bytes]:
        return present(self.process.stdout)

    @property
    def stderr(self) -> IO[bytes]:
        return present(self.process.stderr)

    @property
    def log(self) -> str:
        return "".join(self._log)

    def wait_for_log(self, words: str) -> None:
        with self._logged:
            assert self._logged.wait_for(lambda: words in self.log, TIMEOUT_S), self.log

    def signal(self, number: signal.Signals) -> None:
        self.signalled_s = time.monotonic()
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for the end without reading stdout; returns the exit code."""
        code = self.process.wait(TIMEOUT_S)
        self.ended_s = time.monotonic()
        self._reader.join(TIMEOUT_S)
        return code

    def terminate(self) -> None:
        """Ask it to end, and check that it does so gracefully and soon."""
        self.signal(signal.SIGTERM)
        self.check_end()

    def check_end(self) -> None:
        """The end that a SIGTERM asked for."""
        assert self.wait() == 0, self.log
        assert self.ended_s - self.signalled_s < STOP_LIMIT_S
        assert "Traceback" not in self.log

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(TIMEOUT_S)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


@contextlib.contextmanager
def running(*arguments: object, **settings: Any) -> Iterator[Daemon]:
    with contextlib.closing(Daemon(*arguments, **settings)) as daemon:
        yield daemon


def run(*arguments: object, command: str = "run", **settings: Any) -> Ended:
    """Run a command to its end; `input` (bytes) goes to its stdin."""
    given = settings.pop("input", None)
    stdin = subprocess.DEVNULL if given is None else subprocess.PIPE
    process = spawn_bytes(command, *arguments, **{"stdin": stdin, **settings})
    out, err = process.communicate(given, timeout=TIMEOUT_S)
    return Ended(process.returncode, out or b"", (err or b"").decode())


def parse(lines: bytes) -> list[Json]:
    return [json.loads(line) for line in lines.splitlines()]


def check_bye(record: Json, reason: str = "end of input") -> None:
    """The last record, by which every captured sample is accounted for."""
    assert (record["type"], record["reason"]) == ("bye", reason)
    accounted = record["analysed_samples"] + record["lost_samples"] + record["in_flight_samples"]
    assert record["captured_samples"] == accounted


def check_stream(records: list[Json], reason: str = "end of input") -> None:
    """Hello first, bye last, and every record between them."""
    assert records[0]["type"] == "hello"
    assert [record["seq"] for record in records] == list(range(len(records)))
    check_bye(records[-1], reason)


def without_names(records: list[Json]) -> list[Json]:
    """The records but for what tells one run and source from another."""
    return [
        {key: value for key, value in record.items() if key not in ("source", "id", "run_id")} for record in records
    ]


def subscribe(address: str) -> Client:
    """Connect as soon as somebody listens there."""
    return wait_until(lambda: _connect(address), f"nobody listens at {address}")


def _connect(address: str) -> Client | None:
    client = Client(address, is_connected=False)
    try:
        client.connect()
    except OSError:
        client.close()
        return None
    return client


def wait_until(condition: Callable[[], T | None], failure: str, timeout_s: float = TIMEOUT_S) -> T:
    """Wait for what only asking can tell, and give back what it told."""
    deadline_s = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline_s, failure
        time.sleep(0.01)
    return value


def frames_of(wav: Path, first_s: float = 0.0, end_s: float | None = None) -> bytes:
    """Raw s16le of a mono WAV file, or of a part of it."""
    with wave.open(str(wav)) as file:
        rate_hz = file.getframerate()
        n_frames = file.getnframes() if end_s is None else round(end_s * rate_hz)
        file.setpos(round(first_s * rate_hz))
        frames: bytes = file.readframes(n_frames - file.tell())
        return frames
