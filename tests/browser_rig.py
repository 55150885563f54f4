"""Chromium without a window, driven over a pipe by the DevTools protocol (JSON, each message ended by a zero byte)."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.system.run_rig import wait_until


class Browser:
    """One browser with one page.

    Args:
        program: path of the browser.
        folder: for its profile.

    Attributes:
        errors: exceptions of scripts, and what the console says of blocked or broken content.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self.errors: list[str] = []
        commands_fd, self._commands_fd = os.pipe()
        self._answers_fd, answers_fd = os.pipe()
        flags = f"--headless=new --no-sandbox --disable-gpu --remote-debugging-pipe --user-data-dir={folder}/profile"
        shell = f'exec "$0" {flags} about:blank 3<&{commands_fd} 4>&{answers_fd}'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, program],
            pass_fds=(commands_fd, answers_fd),
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(commands_fd)
        os.close(answers_fd)
        self._received = b""
        self._n_sent = 0
        self._session: str | None = None
        targets = self._call("Target.getTargets")["targetInfos"]
        (target,) = [each["targetId"] for each in targets if each["type"] == "page"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def open(self, address: str, width: int, *, is_dark: bool = False) -> None:
        """Show a page in a window of that width."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        motion = {"name": "prefers-reduced-motion", "value": "reduce"}
        self._call("Emulation.setEmulatedMedia", features=[scheme, motion])
        self._call("Page.navigate", url=address)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page; None while it cannot be computed."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Wait until an expression is true."""
        wait_until(lambda: self.evaluate(f"Boolean({expression})"), f"{expression} never holds: {self.errors}")

    def press(self, key: str) -> None:
        """Press and release a key that gives a character."""
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key, text=key if kind == "keyDown" else "")

    def click(self, selector: str) -> None:
        """Click an element, as a person may."""
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")

    def save(self, path: Path) -> None:
        """Write a picture of the whole page as PNG."""
        picture = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(picture["data"]))

    def close(self) -> None:
        """End the browser."""
        self._process.kill()
        self._process.wait()
        os.close(self._commands_fd)
        os.close(self._answers_fd)

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._n_sent += 1
        command = {"id": self._n_sent, "method": method, "params": parameters}
        if self._session is not None:
            command["sessionId"] = self._session
        os.write(self._commands_fd, json.dumps(command).encode() + b"\0")
        while (message := self._read()).get("id") != self._n_sent:
            self._note(message)
        assert "error" not in message, message
        result: dict[str, Any] = message["result"]
        return result

    def _note(self, message: dict[str, Any]) -> None:
        if message.get("method") == "Runtime.exceptionThrown":
            self.errors.append(str(message["params"]["exceptionDetails"]))
        elif message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
            self.errors.append(message["params"]["entry"]["text"])

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._received:
            received = os.read(self._answers_fd, 65536)
            assert received, "the browser has ended"
            self._received += received
        line, _, self._received = self._received.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message
