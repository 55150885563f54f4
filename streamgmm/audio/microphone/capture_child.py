"""Capture process: open the microphone through PortAudio and write its samples to a pipe.

`python -m streamgmm.audio.microphone.capture_child '{"device": null, "n_channels": 1, "sample_rate_hz": 16000}'`

PortAudio can block forever (in `import`, `read` and `close`) when the sound server is frozen, but a
process can always be killed. So this process holds no state worth saving, imports neither numpy nor the
rest of the package, and reads with blocking calls: a callback would need memory that is writable and
executable, which a hardened service forbids.

The protocol on stdout:

1. One line of JSON, distinguished by `type`: `opened` {device, sample_rate_hz, n_channels, max_channels,
   server_source}, `failed` {reason, error, hint}, or for the request `{"list": true}` `devices` {devices: [...]}.
2. After `opened`, for every block: a `BLOCK_HEADER`, then n_frames interleaved frames of float32 in
   native byte order. float32 holds 16- and 24-bit samples exactly and needs no conversion in the parent.
3. A header with n_frames = 0 when the sound server has moved the stream away from the source on which it was opened.
   Then n_pending_frames bytes of JSON follow, `moved` {from_source, to_source, is_default}, and the process ends.
   The parent decides which source to open next.

Stdin carries no data: its end means that the parent has ended, and this process then exits at once.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import struct
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

BLOCK_HEADER = struct.Struct("=QII?")
"""Header of a block: monotonic time when the read returned (ns), n_frames, n_pending_frames still in the driver, and
whether input overflowed."""

SAMPLE_BYTES = 4
BLOCKS_PER_S = 50
LATENCY_S = 0.2  # size of the driver's buffer: a busy machine may delay a read by this much without losing sound
LINK_TIMEOUT_S = 2.0  # longest time a sound server may take to connect a stream to its source
DEFAULT_TIMEOUT_S = 0.5  # longest time between the move of a stream and the news of another default source
SMALL_MEMORY_BYTES = 2**30


def _load_sibling(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if TYPE_CHECKING or __package__:
    from streamgmm.audio.microphone import device_choice, pulse_source
else:  # run by path: importing the package would import numpy and everything else
    device_choice, pulse_source = _load_sibling("device_choice"), _load_sibling("pulse_source")


def input_devices(sd: Any) -> list[device_choice.DeviceFields]:
    """Return every device that PortAudio can record from, in the form of the protocol."""
    default_index = sd.default.device[0]
    return [
        {
            "index": index,
            "name": device["name"],
            "host_api": sd.query_hostapis(device["hostapi"])["name"],
            "max_channels": device["max_input_channels"],
            "default_rate_hz": round(device["default_samplerate"]),
            "is_default": index == default_index,
        }
        for index, device in enumerate(sd.query_devices())
        if device["max_input_channels"] > 0
    ]


def open_stream(sd: Any, device: device_choice.DeviceFields, n_channels: int, rate_hz: int) -> Any:
    """Open and start a `sounddevice.RawInputStream`, at `rate_hz` if the device supports it, else at its default rate.

    Raises:
        CaptureFailedError: the device accepts neither rate.
    """
    settings = {"device": device["index"], "channels": n_channels, "dtype": "float32"}
    try:
        sd.check_input_settings(samplerate=rate_hz, **settings)
    except sd.PortAudioError:
        rate_hz = device["default_rate_hz"]
    try:
        stream = sd.RawInputStream(samplerate=rate_hz, blocksize=rate_hz // BLOCKS_PER_S, latency=LATENCY_S, **settings)
        stream.start()
    except sd.PortAudioError as error:
        raise device_choice.CaptureFailedError("refused", f"{device['name']!r} cannot be opened: {error}") from error
    return stream


class BlockWriter:
    """Write blocks to `out` until another thread ends the stream with a final message."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        # A lock for writing only: reading may block for as long as the driver likes, and `end` must not wait for it.
        self._writing = threading.Lock()
        self._is_ending = False

    def write_blocks(self, stream: Any, n_frames: int) -> NoReturn:
        """Read and write blocks of `n_frames` of `stream` until reading or writing fails."""
        while True:
            # A buffer of interleaved float32: the frames of all channels.
            samples, overflowed = stream.read(n_frames)
            header = BLOCK_HEADER.pack(time.monotonic_ns(), n_frames, stream.read_available, overflowed)
            with self._writing:
                if not self._is_ending:
                    self._out.write(header)
                    self._out.write(samples)
                    self._out.flush()

    def end(self, answer: dict[str, Any]) -> None:
        """Write `answer` after the block that is being written, and suppress all later blocks."""
        # Set before the lock is taken: the other thread must not start one more block in between.
        self._is_ending = True
        packed = json.dumps(answer).encode()
        with self._writing:
            self._out.write(BLOCK_HEADER.pack(time.monotonic_ns(), 0, len(packed), False) + packed)
            self._out.flush()


def import_sounddevice() -> Any:
    """Import and return the module `sounddevice`; the import itself initialises PortAudio.

    Raises:
        CaptureFailedError: the module or the PortAudio library is missing, or PortAudio cannot be initialised.
    """
    try:
        import sounddevice
    except ImportError as error:
        raise device_choice.CaptureFailedError("no_library", str(error), "pip install sounddevice") from error
    except OSError as error:
        hint = "install libportaudio2, e.g. apt-get install libportaudio2"
        raise device_choice.CaptureFailedError("no_library", str(error), hint) from error
    except Exception as error:  # `sounddevice.PortAudioError` cannot be imported when the import fails
        raise device_choice.CaptureFailedError("refused", str(error)) from error
    return sounddevice


def run(request: dict[str, Any], out: BinaryIO) -> None:
    """Carry out one request and write the answer, and then the blocks, to `out`.

    Raises:
        CaptureFailedError: the microphone cannot be opened.
    """
    # First, because PortAudio may connect to the server as soon as it is imported.
    mark = device_choice.mark_streams(os.environ, f"{os.getpid()}-{os.urandom(8).hex()}")
    sd = import_sounddevice()
    devices = input_devices(sd)
    server, sources = connect_to_server()
    if "list" in request:
        write_answer(out, {"type": "devices", "devices": device_choice.listed(devices, sources)})
        return
    choice = device_choice.choose(devices, sources, request, os.environ)
    device_choice.direct_streams(os.environ, choice)
    device, behind = choice.device, device_choice.source_behind(choice, sources)
    n_channels = device_choice.n_channels_to_open(device, behind, request["n_channels"])
    stream = open_stream(sd, device, n_channels, request["sample_rate_hz"])
    opened = {"device": device["name"], "sample_rate_hz": round(stream.samplerate)}
    opened |= {"n_channels": n_channels, "max_channels": device["max_channels"]}
    source = find_source(server, mark, choice)
    write_answer(out, {"type": "opened", **opened, "server_source": source})
    writer = BlockWriter(out)
    if server is not None and source is not None:
        # After the answer, because the first line of the stream must be `opened`.
        threading.Thread(target=end_when_moved, args=(server, mark, source["name"], writer), daemon=True).start()
    # Blocks as long as the hops of the parent wake it once for each. At another rate, hops would not end with blocks,
    # and the parent would hear of them late.
    has_rate = round(stream.samplerate) == request["sample_rate_hz"]
    writer.write_blocks(stream, (has_rate and request.get("n_block_frames")) or stream.blocksize)


def connect_to_server() -> tuple[pulse_source.PulseConnection | None, list[device_choice.DeviceFields]]:
    """Connect to the sound server, subscribe to stream changes, and list its sources; (None, []) without a server."""
    try:
        server = pulse_source.PulseConnection()
        # Before the stream exists, so that none of its moves can be missed.
        server.subscribe()
        return server, server.sources()
    except pulse_source.PulseError:
        return None, []


def find_source(
    server: pulse_source.PulseConnection | None, mark: tuple[str, str], choice: device_choice.Choice
) -> dict[str, Any] | None:
    """Return the source that the stream records from, in the form of the protocol; None without a sound server.

    Raises:
        CaptureFailedError: the stream does not record from the chosen source.
    """
    if server is None or choice.device["name"] not in device_choice.SERVER_DEVICES:
        return None
    try:
        source = server.wait_for_source(mark, LINK_TIMEOUT_S)
    except pulse_source.PulseError:
        source = None
    if choice.is_fixed and choice.source and (source is None or source["name"] != choice.source["name"]):
        found = repr(source["name"]) if source else "no source"
        error = f"source {choice.source['name']!r} cannot be opened: the sound server gives {found} in its place"
        raise device_choice.CaptureFailedError("not_found", error)
    if source is None:
        return None
    kept = {key: source[key] for key in ("name", "description", "is_monitor")}
    return {**kept, "is_chosen": choice.source is not None, "is_fixed": choice.is_fixed}


def end_when_moved(
    server: pulse_source.PulseConnection, mark: tuple[str, str], name: str, writer: BlockWriter
) -> NoReturn:
    """Exit the process as soon as the stream records from a source other than `name`."""
    server.be_patient()  # a frozen server is detected by the parent: blocks stop coming
    try:
        # Asked before the first wait too: the stream may have been moved since it was opened.
        while (now := server.source_of(mark)) is None or now["name"] == name:
            server.wait()
        now = wait_for_default(server, mark, now)
        writer.end({"type": "moved", "from_source": name, "to_source": now["name"], "is_default": now["is_default"]})
    except pulse_source.PulseError as error:
        # PipeWire's PulseAudio layer can end while the stream goes on, and then a move would remain undetected.
        print(f"the sound server has gone: {error}", file=sys.stderr, flush=True)
    except BrokenPipeError:
        pass
    # Not an exception: the main thread may be blocked in PortAudio.
    os._exit(1)


def wait_for_default(
    server: pulse_source.PulseConnection, mark: tuple[str, str], now: pulse_source.SourceFields
) -> pulse_source.SourceFields:
    """Return the source that the moved stream records from, once the server may have told its new default source.

    PipeWire moves the streams before it tells of the new default source, and till then they seem moved by hand.
    """
    deadline_s = time.monotonic() + DEFAULT_TIMEOUT_S
    while not now["is_default"] and time.monotonic() < deadline_s:
        time.sleep(DEFAULT_TIMEOUT_S / 10)
        now = server.source_of(mark) or now
    return now


def write_answer(out: BinaryIO, answer: dict[str, Any]) -> None:
    """Write the first line of the stream, as JSON."""
    out.write(json.dumps(answer).encode() + b"\n")
    out.flush()


def with_memory_limit(answer: dict[str, Any]) -> dict[str, Any]:
    """Add a hint about a small memory limit to a failure: sound libraries then find no device without an error."""
    if os.name != "posix" or answer["reason"] in ("ambiguous", "no_channel"):
        return answer
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY or limit >= SMALL_MEMORY_BYTES:
        return answer
    return answer | {
        "hint": f"memory is limited to {limit // 2**20} MiB, too little for sound libraries: raise ulimit -v"
    }


def exit_with_parent() -> None:
    """Exit the process when stdin ends, even while PortAudio blocks."""
    # Not PR_SET_PDEATHSIG: it fires when the *thread* that started this process ends, and only on Linux.
    while os.read(0, 4096):
        pass
    os._exit(0)


def main() -> NoReturn:
    """Run the request given as the only argument; exit with 0 when done, 1 on failure."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole process group; the parent handles it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=exit_with_parent, daemon=True).start()
    # Redirect stdout to stderr: output of libraries must not mix with the blocks.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    exit_code = 0
    try:
        run(json.loads(sys.argv[1]), out)
    except device_choice.CaptureFailedError as error:
        write_answer(out, with_memory_limit(error.answer))
        exit_code = 1
    except BrokenPipeError:
        pass
    except Exception as error:
        # Write no traceback: the parent quotes the last line of stderr.
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        exit_code = 1
    # Not sys.exit: terminating PortAudio may block, and the system frees its resources anyway.
    os._exit(exit_code)


if __name__ == "__main__":
    main()
