"""The command `review` in a process of its own, and a browser that is used by keys."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.report.browser import SECONDS, Page

CODES = {
    "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40,
}  # fmt: skip
SHIFT = 8


class Served:
    """A review that is served; its address is what the command prints."""

    def __init__(self, workspace: Path, port: int, *options: str) -> None:
        command = [sys.executable, "-m", "autolabel", "review", str(workspace), "--no-open",
                   "--port", str(port), "--by", "ann", *options]  # fmt: skip
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        assert self.address, self.process.communicate()[1]

    def kill(self) -> None:
        """End it as the system ends a process that uses too much memory."""
        self.process.kill()
        self.process.communicate()

    def end(self) -> tuple[int, str, str]:
        """End it as Ctrl-C does; return its status and what else it printed."""
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, out, err


class Keys:
    """A person with a keyboard in front of one tab."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.session = page.session

    def _use(self) -> None:
        if self.page.session != self.session:
            self.page.session = self.session
            self.page.call("Page.bringToFront")

    def open(self, address: str, **options: Any) -> str:
        """Load an address; return what is shown."""
        self._use()
        self.page.open(address, **{"width": 1000, "height": 700, **options})
        return self.shown()

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        self._use()
        return self.page.evaluate(expression)

    def wait(self, expression: str) -> Any:
        """Wait until an expression is true, and return its value."""
        until = time.monotonic() + SECONDS
        while True:
            try:
                if value := self.evaluate(f"document.body && ({expression})"):
                    return value
            except AssertionError:  # between two pages
                pass
            assert time.monotonic() < until, (expression, self.page.complaints[-2:])
            time.sleep(0.01)

    def shown(self, not_: str = "") -> str:
        """The name of what is shown, once it is there and is not `not_`."""
        name = self.wait(
            f"document.body.dataset.shown != {not_!r} && document.body.dataset.ready "
            "&& document.body.dataset.shown"
        )
        return str(name)

    def press(self, key: str, *, shift: bool = False, held: bool = False) -> None:
        """Press a key; a held one says so."""
        self._use()
        code = CODES.get(key) or ord(key.upper())
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        event = {
            "key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": shift * SHIFT
        }  # fmt: skip
        down = {"type": "keyDown", "autoRepeat": held, **event, **({"text": text} if text else {})}
        self.page.call("Input.dispatchKeyEvent", **down)
        self.page.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the mouse at one point of the window, move it and let it go at another."""
        self._use()
        for kind, (x, y), buttons in (
            ("mousePressed", start, 1), ("mouseMoved", end, 1), ("mouseReleased", end, 0),
        ):  # fmt: skip
            self.page.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left",
                           buttons=buttons, clickCount=1)  # fmt: skip

    def judge(self, *keys: str) -> str:
        """Press keys until what is shown is judged; return what is shown next."""
        before = self.shown()
        for key in keys:
            self.wait("document.body.dataset.ready")
            self.press(key.removeprefix("Shift+"), shift=key.startswith("Shift+"))
        return self.shown(before)

    def beside(self) -> Keys:
        """Another tab of the same browser."""
        self.page.session = None
        target = self.page.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.page.call("Target.attachToTarget", targetId=target, flatten=True)
        other = Keys(self.page)
        other.session = attached["sessionId"]
        return other
