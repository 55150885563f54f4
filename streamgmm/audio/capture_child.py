"""A disposable process that opens the microphone and writes what it hears to a pipe.

`python -m streamgmm.audio.capture_child '{"device": null, "channel": "mean", "sample_rate_hz": 16000}'`

PortAudio can block without end (in `import`, `read` and `close`) when the sound server is frozen; a
process can always be killed. So this one holds nothing worth saving, imports neither numpy nor the
rest of the package, and reads with blocking calls: a callback would need memory that is writable and
executable, which a hardened service forbids.

The protocol on stdout:

1. One line of JSON, told apart by `type`: `opened` {device, sample_rate_hz, n_channels, server_source},
   `failed` {reason, error, hint}, or for the request `{"list": true}` `devices` {devices: [...]}.
2. After `opened`, for every read: a `BLOCK_HEADER`, then n_frames interleaved frames of float32 in
   native byte order. float32 holds 16- and 24-bit samples exactly and needs no conversion in the parent.

When a sound server moves the stream to another source than it was opened on, the process ends and says so
on stderr: whoever opens it again gets the source that was chosen, or an error.

Stdin carries nothing: its end means that the parent is gone, and the process follows at once.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

BLOCK_HEADER = struct.Struct("=QII?")
"""monotonic clock when the read returned (ns), n_frames, n_pending_frames still in the driver, overflowed."""

SAMPLE_BYTES = 4
BLOCKS_PER_S = 50
LATENCY_S = 0.2  # size of the driver's store: what a busy machine may delay a read without losing sound
MAX_MEAN_CHANNELS = 8
SMALL_MEMORY_BYTES = 2**30
_CARD = re.compile(r" \(hw:\d+,\d+\)$")

Device = dict[str, Any]


class CaptureFailedError(Exception):
    """The microphone cannot be opened.

    Args:
        reason: one word for programs.
        error: one line for people.
        hint: what to do about it.
    """

    def __init__(self, reason: str, error: str, hint: str = "") -> None:
        super().__init__(error)
        self.answer = {"type": "failed", "reason": reason, "error": error, "hint": hint}


def input_devices(sd: Any) -> list[Device]:
    """Every device that PortAudio can record from, as the protocol lists them."""
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


def find_device(devices: list[Device], wanted: str | int | None) -> Device:
    """The one device that `wanted` means: an index, a part of a name in any case, or None for the default.

    Raises:
        CaptureFailedError: no device or several fit.
    """
    if wanted is None:
        matches = [d for d in devices if d["is_default"]] or devices[:1]
    elif isinstance(wanted, int):
        matches = [d for d in devices if d["index"] == wanted]
    else:
        matches = _devices_named(devices, wanted.casefold())
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise CaptureFailedError("ambiguous", f"several devices fit: {_names(matches)}", "give more of the name")
    if not devices:
        raise CaptureFailedError("not_found", "no input device", "is a microphone connected, the sound server running?")
    raise CaptureFailedError("not_found", "no such input device", f"there are: {_names(devices)}")


def without_card_number(name: str) -> str:
    """The name of a device without the number of its card, which changes when devices come and go."""
    return _CARD.sub("", name)


def _devices_named(devices: list[Device], wanted: str) -> list[Device]:
    names = [(device["name"].casefold(), device) for device in devices]
    # A full name wins, or a device whose name is part of another's could never be chosen. A device that was
    # plugged in again may have another number of its card in its name.
    return (
        [device for name, device in names if wanted == name]
        or [device for name, device in names if wanted in name]
        or [device for name, device in names if without_card_number(wanted) == without_card_number(name)]
    )


def _names(devices: list[Device]) -> str:
    return ", ".join(f"{d['index']} {d['name']!r}" for d in devices)


def n_channels_to_open(device: Device, channel: int | str) -> int:
    """How many channels to open for one of them, or for the mean.

    A device that claims more than `MAX_MEAN_CHANNELS` is the alias of a sound server, which mixes down
    by itself when asked for one channel, or a studio interface, whose mean over all inputs nobody wants.

    Raises:
        CaptureFailedError: the device has no such channel.
    """
    n_offered: int = device["max_channels"]
    if isinstance(channel, str):
        return n_offered if n_offered <= MAX_MEAN_CHANNELS else 1
    if not 0 <= channel < n_offered:
        raise CaptureFailedError(
            "no_channel", f"{device['name']!r} has no channel {channel}", f"0 to {n_offered - 1} or mean"
        )
    return channel + 1


def open_stream(sd: Any, device: Device, n_channels: int, rate_hz: int) -> Any:
    """A started `sounddevice.RawInputStream`, at `rate_hz` if the device takes it, else at its own rate.

    Raises:
        CaptureFailedError: the device refuses both.
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
        raise CaptureFailedError("refused", f"{device['name']!r} cannot be opened: {error}") from error
    return stream


def write_blocks(stream: Any, out: BinaryIO) -> NoReturn:
    """Write every block of `stream` until reading or writing fails."""
    while True:
        samples, overflowed = stream.read(stream.blocksize)
        out.write(BLOCK_HEADER.pack(time.monotonic_ns(), stream.blocksize, stream.read_available, overflowed))
        out.write(samples)
        out.flush()


def import_sounddevice() -> Any:
    """The module `sounddevice`, whose import already starts PortAudio.

    Raises:
        CaptureFailedError: it or the PortAudio library is missing, or PortAudio does not start.
    """
    try:
        import sounddevice
    except ImportError as error:
        raise CaptureFailedError("no_library", str(error), "pip install sounddevice") from error
    except OSError as error:
        hint = "install libportaudio2, e.g. apt-get install libportaudio2"
        raise CaptureFailedError("no_library", str(error), hint) from error
    except Exception as error:  # its own error class is not importable when the import fails
        raise CaptureFailedError("refused", str(error)) from error
    return sounddevice


def run(request: dict[str, Any], out: BinaryIO) -> None:
    """Answer one request on `out`.

    Raises:
        CaptureFailedError: the microphone cannot be opened.
    """
    sd = import_sounddevice()
    devices = input_devices(sd)
    if "list" in request:
        write_answer(out, {"type": "devices", "devices": devices})
        return
    device = find_device(devices, request["device"])
    n_channels = n_channels_to_open(device, request["channel"])
    stream = open_stream(sd, device, n_channels, request["sample_rate_hz"])
    opened = {"device": device["name"], "sample_rate_hz": round(stream.samplerate), "n_channels": n_channels}
    write_answer(out, {"type": "opened", **opened, "server_source": watch_server_source()})
    write_blocks(stream, out)


def watch_server_source() -> str | None:
    """Name of the sound server's source that this process records from, and watch that it stays the same.

    None if there is no such server, or the stream is not one of its streams.
    """
    # By path, as this very file is: the package is not imported for it.
    spec = importlib.util.spec_from_file_location("pulse_source", Path(__file__).with_name("pulse_source.py"))
    if spec is None or spec.loader is None:
        return None
    pulse = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pulse)
    try:
        connection = pulse.PulseConnection()
        connection.subscribe()
        source: str | None = connection.source_of(os.getpid())
    except pulse.PulseError:
        return None
    if source is not None:
        threading.Thread(target=_end_when_moved, args=(pulse, connection, source), daemon=True).start()
    return source


def _end_when_moved(pulse: Any, connection: Any, source: str) -> None:
    try:
        while (now := connection.source_of(os.getpid())) in (source, None):
            connection.wait()
    except pulse.PulseError:
        return  # a server that has gone shows in the stream itself
    print(f"the sound server moved the stream from {source!r} to {now!r}", file=sys.stderr, flush=True)
    os._exit(1)


def write_answer(out: BinaryIO, answer: dict[str, Any]) -> None:
    """Write the line that begins the stream."""
    out.write(json.dumps(answer).encode() + b"\n")
    out.flush()


def with_memory_limit(answer: dict[str, Any]) -> dict[str, Any]:
    """Name a small limit on memory as the likely reason: sound libraries then find no device, and do not say why."""
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
    """End the process when stdin ends, whatever PortAudio is doing."""
    # Not PR_SET_PDEATHSIG: it fires when the *thread* that started this process ends, and only on Linux.
    while os.read(0, 4096):
        pass
    os._exit(0)


def main() -> NoReturn:
    """Run the request given as the only argument; exit codes: 0 done, 1 failed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=exit_with_parent, daemon=True).start()
    # Libraries that print to stdout must not get between the blocks.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    exit_code = 0
    try:
        run(json.loads(sys.argv[1]), out)
    except CaptureFailedError as error:
        write_answer(out, with_memory_limit(error.answer))
        exit_code = 1
    except BrokenPipeError:
        pass
    except Exception as error:
        # The last line of stderr is what the parent quotes: no traceback.
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        exit_code = 1
    # Not sys.exit: ending PortAudio in order may block, and the system frees everything anyway.
    os._exit(exit_code)


if __name__ == "__main__":
    main()
