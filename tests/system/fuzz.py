"""Feed damaged input of every kind to what reads it: no traceback, no hang, no growth.

    python -m tests.system.fuzz [--n 20000] [--seed 1] [--kind models]

Each kind gets N inputs, in a process of its own. An input may be accepted or refused by a `StreamgmmError`, and
nothing else; none may take a second; the process may not grow by 64 MiB. An input that breaks this is kept
in a file whose name is told. For a release: `--n 250000`, with a seed never used before; some ten minutes.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import random
import resource
import secrets
import socket
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from streamgmm.audio.reading import read_recording
from streamgmm.audio.streams.pcm import PcmPipe
from streamgmm.audio.streams.pcm_server import PcmServer, UnixAddress
from streamgmm.audio.streams.pcm_socket import PcmSocket
from streamgmm.errors import StreamgmmError
from streamgmm.model.reader import parse_model
from streamgmm.model.writer import model_bytes
from streamgmm.settings.loading import load_config
from streamgmm.sinks.socket.listeners import TcpListener
from streamgmm.sinks.socket.sockets import SocketSink
from streamgmm.sinks.socket.token import Token
from streamgmm.sinks.socket.unix import UnixListener
from tests.model.model_rig import N_FRAME_FEATURES, make_model, rehash
from tests.mutation import mutated
from tests.narrowing import present
from tests.sinks.sink_rig import HELLO, Client, message, status

LONGEST_S = 1.0
MAX_GROWTH_BYTES = 64 * 2**20
HANG_S = 30.0
"""After so long within one input the process shows where it is, and ends."""

Use = Callable[[bytes], object]


class Fuzzed(NamedTuple):
    """What came of one kind of input.

    Attributes:
        kind: which.
        n_inputs: how many were tried.
        n_refused: how many of them were refused.
        slowest_s: longest time that one took.
        growth_bytes: how much the process grew at its peak, after the first hundred inputs.
    """

    kind: str
    n_inputs: int
    n_refused: int
    slowest_s: float
    growth_bytes: int


class FoundError(Exception):
    """An input broke a promise; the message says where it is kept."""


def drive(kind: str, inputs: Iterator[bytes], use: Use) -> Fuzzed:
    """Give every input to `use`.

    Raises:
        FoundError: one of them broke a promise.
    """
    n_inputs = n_refused = 0
    slowest_s = 0.0
    base_bytes = 0
    for n_inputs, data in enumerate(inputs, 1):  # used below
        is_refused, took_s = _try(kind, data, use)
        if took_s > LONGEST_S:
            # The machine may have been busy with something else: once more.
            is_refused, took_s = _try(kind, data, use)
        if took_s > LONGEST_S:
            raise FoundError(f"{kind}: {took_s:.1f} s for {_keep(kind, data)}")
        n_refused += is_refused
        slowest_s = max(slowest_s, took_s)
        if n_inputs == 100:
            base_bytes = peak_bytes()
    growth_bytes = peak_bytes() - base_bytes
    if growth_bytes > MAX_GROWTH_BYTES:
        raise FoundError(f"{kind}: grew by {growth_bytes / 2**20:.0f} MiB")
    return Fuzzed(kind, n_inputs, n_refused, slowest_s, growth_bytes)


def _try(kind: str, data: bytes, use: Use) -> tuple[bool, float]:
    faulthandler.dump_traceback_later(HANG_S, exit=True)
    before_s = time.perf_counter()
    try:
        use(data)
        is_refused = False
    except StreamgmmError as error:
        is_refused = True
        str(error)
    except Exception as error:
        raise FoundError(f"{kind}: {type(error).__name__}: {error} for {_keep(kind, data)}") from error
    finally:
        faulthandler.cancel_dump_traceback_later()
    return is_refused, time.perf_counter() - before_s


def _keep(kind: str, data: bytes) -> str:
    path = Path(tempfile.gettempdir()) / f"fuzz-{kind}-{secrets.token_hex(4)}.bin"
    path.write_bytes(data)
    return str(path)


def peak_bytes() -> int:
    """Most memory that this process has ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def fuzz_models(n_inputs: int, seed: int) -> Fuzzed:
    """Model files: most with a right hash, so that what stands behind it is reached."""
    rng = random.Random(seed)
    seeds = [model_bytes(make_model(n_cepstral_features=n, seed=seed)) for n in (0, N_FRAME_FEATURES)]

    def inputs() -> Iterator[bytes]:
        for _ in range(n_inputs):
            mutant = mutated(rng.choice(seeds), rng)
            yield rehash(mutant) if rng.random() < 0.8 else mutant

    return drive("models", inputs(), lambda data: parse_model(data, "fuzz"))


WAV_KINDS = (
    *[("WAV", subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")],
    *[("WAV", subtype) for subtype in ("ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM")],
    *[("WAVEX", "PCM_16"), ("RF64", "PCM_16"), ("W64", "PCM_16"), ("AIFF", "PCM_16"), ("FLAC", "PCM_16")],
)


def fuzz_recordings(n_inputs: int, seed: int) -> Fuzzed:
    """Recordings: damage anywhere, and most of it in the header."""
    rng = random.Random(seed)

    def inputs() -> Iterator[bytes]:
        for _ in range(n_inputs):
            whole = rng.choice(wholes)
            n_head = rng.choice([64, 128, len(whole)])
            yield mutated(whole[:n_head], rng) + whole[n_head : rng.choice([len(whole), rng.randrange(len(whole))])]

    with tempfile.TemporaryDirectory(dir=_ram()) as folder:
        path = Path(folder) / "x.wav"
        wholes = [_recording(path, *kind) for kind in WAV_KINDS]

        def read(data: bytes) -> None:
            path.write_bytes(data)
            _pipe(path)
            read_recording(path)

        return drive("recordings", inputs(), read)


def _recording(path: Path, file_format: str, subtype: str) -> bytes:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (500, 2))
    soundfile.write(path, samples, 8000, format=file_format, subtype=subtype)
    return path.read_bytes()


def _pipe(path: Path) -> None:
    """The same bytes as raw samples on standard input."""
    fd = os.open(path, os.O_RDONLY)
    pipe = PcmPipe(pcm_format="f32le", rate_hz=8000, n_channels=3, fd=fd)
    try:
        pipe.open(8000)
        while pipe.read() is not None:
            pass
    finally:
        pipe.close()
        os.close(fd)


SETTINGS = (
    "decision:\n  onset_threshold: 0.7  # why\n  labels:\n    dog: {onset_threshold: 0.8, hangover_s: 1}\n",
    "output: {sinks: ['stdout:', \"unix:///run/s\"], windows: true, heartbeat_s: 5}\n",
    "# only this\nsource:\n  uri: 'mic:USB'\n  channel: mean\n  ring_s: 1e1\nmodel: {path: \"a\\tb\\u00fc.sgm\"}\n",
    "training:\n  without:\n  - tonality\n  - 'period'\n  n_components: bic\n  credit: |\n    two\n    lines\n",
    "features: {hop_s: 0.12, window_s: 1, n_bands: 32}\n---\n",
    "sources:\n  kitchen: mic:USB\n  yard: {uri: 'pcm+tcp://127.0.0.1:9', model: y.sgm, decision: {min_llr: 1}}\n",
    "a: &a [x, x]\nb: [*a, *a]\nc: !!python/object:os.system {}\n<<: *a\n",
)


def fuzz_settings(n_inputs: int, seed: int) -> Fuzzed:
    """Settings: a file, and now and then an option of the command line."""
    rng = random.Random(seed)

    def inputs() -> Iterator[bytes]:
        for _ in range(n_inputs):
            yield mutated(rng.choice(SETTINGS).encode(), rng)

    with tempfile.TemporaryDirectory(dir=_ram()) as folder:
        path = Path(folder) / "c.yaml"

        def read(data: bytes) -> None:
            path.write_bytes(data)
            options = [data.decode("utf-8", "surrogateescape")] if len(data) % 4 == 0 else []
            load_config(path, options)

        return drive("settings", inputs(), read)


TOKEN = b"0123456789abcdef0123456789abcdef"
WORDS = (
    TOKEN + b"\n",
    TOKEN + b"\r\nmore of it\n",
    b"GET /../../etc/passwd HTTP/1.1\r\nHost: evil\r\nOrigin: http://evil\r\n\r\n",
    b'{"v":1,"type":"hello","seq":0}\n' * 3,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
)


def fuzz_sockets(n_inputs: int, seed: int) -> Fuzzed:
    """What clients send, to sinks with a token and without, ended in every way; subscribers who behave miss nothing."""
    rng = random.Random(seed)

    def inputs() -> Iterator[bytes]:
        for _ in range(n_inputs):
            words = mutated(rng.choice(WORDS), rng) if rng.random() < 0.9 else rng.choice(WORDS)
            yield words * (rng.randint(1, 200) if rng.random() < 0.1 else 1)

    with _sinks() as sinks:
        n_sent = 0
        seq = 0

        def send(data: bytes) -> None:
            nonlocal n_sent, seq
            n_sent += 1
            _talk(rng.choice(sinks)[0].address, data, rng)
            if n_sent % 50 == 0:
                seq += 1
                for sink, healthy in sinks:
                    sink.publish(message(status(seq)))
                    assert healthy.read(1)[0].seq == seq

        return drive("sockets", inputs(), send)


def _talk(address: str, data: bytes, rng: random.Random) -> None:
    with Client(address) as client:
        try:
            _talk_and_leave(client.connection, data, rng)
        except TimeoutError:
            raise
        except OSError:
            pass  # cut in the middle of a word, as it should be


def _talk_and_leave(connection: socket.socket, data: bytes, rng: random.Random) -> None:
    connection.settimeout(LONGEST_S)
    middle = rng.randrange(len(data))
    connection.sendall(data[:middle])
    connection.sendall(data[middle:])
    match rng.randrange(3):
        case 0:
            # It may be served on: whoever says nothing more is a subscriber like any other.
            connection.shutdown(socket.SHUT_WR)
            connection.setblocking(False)
            with suppress(BlockingIOError):
                while connection.recv(65536):
                    pass
        case 1:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


HEADERS = (
    b'{"rate_hz": 16000, "format": "s16le"}\n',
    b'{"rate_hz": 8000, "format": "f32le", "channels": 2, "name": "porch"}\n',
    b'{"rate_hz": 44100, "format": "s24_3le", "channels": 3}\n',
    b'{"rate_hz": 384000, "format": "u8", "channels": 64}\n',
    b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00",
    b"\n",
)


def fuzz_writers(n_inputs: int, seed: int) -> Fuzzed:
    """What programs send to `pcm+unix:` whose header lies or whose samples are cut off; the next is heard as well."""
    rng = random.Random(seed)

    def inputs() -> Iterator[bytes]:
        # Fewer: the source reads at most 50 times a second.
        for _ in range(n_inputs // 20):
            yield mutated(rng.choice(HEADERS), rng) + rng.randbytes(rng.choice([0, 1, 700, 20_000]))

    with tempfile.TemporaryDirectory(dir=_ram()) as folder:
        server = PcmServer("pcm+unix://s", UnixAddress(Path(folder) / "s"))
        address = present(server.listen()).getsockname()

        def read(data: bytes) -> None:
            with socket.socket(socket.AF_UNIX) as writer:
                writer.connect(address)
                with suppress(OSError):  # the header may be refused before the rest is sent
                    writer.sendall(data)
                writer.close()
                _hear(server)

        with closing(server):
            return drive("writers", inputs(), read)


def _hear(server: PcmServer) -> None:
    """Read one writer up to its end, which counts as a failure."""
    source = PcmSocket(server, wait_s=LONGEST_S, header_s=LONGEST_S)
    with closing(source):
        source.open(16000)
        while source.read() is not None:
            pass


@contextmanager
def _sinks() -> Iterator[list[tuple[SocketSink, Client]]]:
    """Open sinks of every kind, each with a subscriber that has its hello; nothing may fail in them."""
    failures: list[object] = []
    logging.getLogger("streamgmm").setLevel(logging.CRITICAL)
    before, threading.excepthook = threading.excepthook, lambda args: failures.append(args.exc_value)
    with ExitStack() as stack:
        stack.callback(setattr, threading, "excepthook", before)
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        sinks = []
        for i_sink, token in enumerate((None, Token(TOKEN), None, Token(TOKEN))):
            listener = TcpListener("tcp://127.0.0.1:0") if i_sink == 3 else UnixListener(f"unix://{folder}/{i_sink}")
            sink = SocketSink(listener, token=token)
            sink.open(failures.append)
            stack.callback(sink.close, 1.0)
            sink.publish(message(HELLO))
            healthy = stack.enter_context(Client(sink.address))
            if token:
                healthy.connection.sendall(TOKEN + b"\n")
            assert healthy.read(1)[0].seq == 0
            sinks.append((sink, healthy))
        yield sinks
    assert not failures, failures


def _ram() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


KINDS = {
    "models": fuzz_models,
    "recordings": fuzz_recordings,
    "settings": fuzz_settings,
    "sockets": fuzz_sockets,
    "writers": fuzz_writers,
}


def fuzz(kinds: list[str], n_inputs: int, seed: int) -> list[Fuzzed]:
    """Every kind in a process of its own, two at a time.

    Raises:
        FoundError: an input broke a promise.
    """
    with ProcessPoolExecutor(2, get_context("spawn"), max_tasks_per_child=1) as pool:
        tasks = [pool.submit(KINDS[kind], n_inputs, seed) for kind in kinds]
        return [task.result() for task in tasks]


def main() -> int:
    """Print what came of it; 1 if an input broke a promise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", action="append", choices=list(KINDS))
    args = parser.parse_args()
    try:
        for fuzzed in fuzz(args.kind or list(KINDS), args.n, args.seed):
            print(
                f"{fuzzed.kind:12} {fuzzed.n_inputs} inputs, {fuzzed.n_refused} refused, 0 tracebacks, "
                f"slowest {1000 * fuzzed.slowest_s:.0f} ms, growth {fuzzed.growth_bytes / 2**20:.1f} MiB"
            )
    except FoundError as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
