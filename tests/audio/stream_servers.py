"""Servers of sound for the tests of network sources, on this machine only."""

from __future__ import annotations

import base64
import socketserver
import struct
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

ENDLESS_WAV = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 2**32 - 1, b"WAVE", b"fmt ", 16, 1, 1, 16000, 32000, 2, 16,
                          b"data", 2**32 - 1)  # fmt: skip
NOISE = np.random.default_rng(5).integers(-9000, 9000, 16000).astype("<i2").tobytes()

PROBED_S = 7
"""FFmpeg takes so much of raw sound before it gives any."""


class SoundServer(ThreadingHTTPServer):
    """Gives a recording to whoever has the password, or misbehaves as its path asks for.

    `/whole` ends, `/hang` never answers, `/stop` stops after some sound, `/live` goes on in real time,
    `/flood` as fast as possible, `/secret` wants `user:password`, and anything else is 404.
    """

    daemon_threads = True

    def __init__(self, recording=b"", password="user:password", port=0):
        super().__init__(("127.0.0.1", port), Handler)
        self.recording, self.password = recording, password
        self.n_sent_bytes = 0
        self.is_over = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """A client that was killed is no error."""


class Handler(BaseHTTPRequestHandler):
    server: SoundServer

    def log_message(self, *_):
        """Write nothing."""

    def do_GET(self):
        path = self.path.partition("?")[0].strip("/")
        action = getattr(self, f"do_{path}", None)
        if action is None:
            self.send_error(404)
        else:
            action()

    def do_whole(self):
        self.begin(len(self.server.recording))
        self.wfile.write(self.server.recording)

    def do_secret(self):
        wanted = "Basic " + base64.b64encode(self.server.password.encode()).decode()
        if self.headers.get("Authorization") == wanted:
            return self.do_whole()
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="sound"')
        self.send_header("Content-Length", "0")
        return self.end_headers()

    def do_hang(self):
        self.server.is_over.wait(60)

    def do_stop(self):
        self.begin()
        self.send(ENDLESS_WAV + PROBED_S * NOISE)
        self.server.is_over.wait(60)

    def do_live(self):
        self.begin()
        self.send(ENDLESS_WAV + PROBED_S * NOISE)
        while not self.server.is_over.wait(0.1):
            self.send(NOISE[:3200])

    def do_flood(self):
        self.begin()
        self.send(ENDLESS_WAV)
        while not self.server.is_over.is_set():
            self.send(NOISE)

    def begin(self, n_bytes=None):
        self.send_response(200)
        self.send_header("Content-Type", "audio/wav")
        if n_bytes is not None:
            self.send_header("Content-Length", str(n_bytes))
        self.end_headers()

    def send(self, data):
        self.wfile.write(data)
        self.server.n_sent_bytes += len(data)


@contextmanager
def serving(recording=b"", **options):
    """A running `SoundServer`."""
    server = SoundServer(recording, **options)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.is_over.set()
        server.shutdown()
        server.server_close()
        thread.join()


class Camera(socketserver.ThreadingTCPServer):
    """Keeps the requests that it receives."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), RtspHandler)
        self.requests: list[list[str]] = []


class RtspHandler(socketserver.StreamRequestHandler):
    """As little of RTSP as a client needs to receive 16-bit samples within the connection (RFC 2326, RFC 3551)."""

    server: Camera

    def handle(self):
        with suppress(ConnectionError):
            while request := self.read_request():
                self.answer(request)
                if request[0].startswith("PLAY"):
                    self.send_sound()

    def read_request(self):
        lines: list[str] = []
        while (line := self.rfile.readline().decode().strip()) or not lines:
            if not line:
                return lines
            lines.append(line)
        self.server.requests.append(lines)
        return lines

    def answer(self, request):
        method, url, _ = request[0].split()
        headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in request[1:])}
        wanted = "Basic " + base64.b64encode(b"user:pass/w@rd").decode()
        extra, body, status = {}, "", "200 OK"
        if method == "OPTIONS":
            extra["Public"] = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"
        elif headers.get("authorization") != wanted:
            status, extra["WWW-Authenticate"] = "401 Unauthorized", 'Basic realm="camera"'
        elif method == "DESCRIBE":
            body = (
                "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 0 RTP/AVP 96\r\n"
            )
            body += "a=rtpmap:96 L16/16000/1\r\na=control:track1\r\n"
            extra |= {"Content-Type": "application/sdp", "Content-Base": f"{url}/"}
        elif method == "SETUP":
            if "TCP" not in headers["transport"]:
                status = "461 Unsupported Transport"
            extra["Transport"] = "RTP/AVP/TCP;unicast;interleaved=0-1"
        lines = [f"RTSP/1.0 {status}", f"CSeq: {headers['cseq']}", "Session: 1", f"Content-Length: {len(body)}"]
        lines += [f"{key}: {value}" for key, value in extra.items()]
        self.wfile.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode())

    def send_sound(self):
        samples = np.frombuffer(NOISE, "<i2").astype(">i2").tobytes()
        for number, start in enumerate(range(0, len(samples), 640)):
            payload = samples[start : start + 640]
            packet = struct.pack(">BBHII", 0x80, 96, number, number * 320, 7) + payload
            self.wfile.write(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
            time.sleep(0.01)


@contextmanager
def camera():
    """A camera that gives a second of noise over RTSP to `user` with the password `pass/w@rd`, and leaves."""
    with Camera() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()
