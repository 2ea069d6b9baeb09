"""A headless Chromium, driven through its debugging pipe: no package is needed but the browser.

with Browser() as browser:
    page = browser.open("file:///tmp/report.html", width=390)
    print(page.errors, page.run("document.title"))
    page.screenshot("report.png")
"""

import base64
import dataclasses
import json
import os
import pathlib
import select
import shutil
import subprocess
import tempfile
import time
from typing import Any

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def find() -> str | None:
    """The program of a Chromium, or None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """A browser process, for as long as the `with` block.

    Raises:
        FileNotFoundError: There is no Chromium.
    """

    def __init__(self, program: str | None = None):
        self.program = program or find()
        if self.program is None:
            raise FileNotFoundError("no Chromium: apt-get install chromium")
        self._last, self._events = 0, []

    def __enter__(self):
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        theirs_in, self._in = os.pipe()
        self._out, theirs_out = os.pipe()
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        options += ["--remote-debugging-pipe", f"--user-data-dir={self._profile.name}"]
        # The browser reads commands from descriptor 3 and answers on 4.
        command = f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self._process = subprocess.Popen(
            ["bash", "-c", command, self.program, *options],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._rest = b""
        return self

    def __exit__(self, *failure):
        self._process.terminate()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)
        self._profile.cleanup()

    def open(
        self, address: str, width: int = 1400, height: int = 900, dark: bool = False
    ) -> "Page":
        """Opens a page and waits until it is loaded."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        page.resize(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.call("Emulation.setEmulatedMedia", features=[scheme])
        begun = time.monotonic()
        page.call("Page.navigate", url=address)
        self._wait(lambda event: event["method"] == "Page.loadEventFired", session)
        page.seconds = time.monotonic() - begun
        return page

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict:
        """Calls a method of the protocol and returns its result."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._in, json.dumps(message).encode() + b"\0")
        number = self._last
        while True:
            answer = self._read()
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self._events.append(answer)

    def events(self, session: str) -> list[dict]:
        """What a page has reported so far."""
        return [event for event in self._events if event.get("sessionId") == session]

    def _wait(self, found, session):
        seen = 0
        while True:
            for event in self._events[seen:]:
                if event.get("sessionId") == session and found(event):
                    return
            seen = len(self._events)
            self._events.append(self._read())

    def _read(self) -> dict:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._out], [], [], 60)
            part = os.read(self._out, 2**20) if ready else b""
            if not part:
                raise RuntimeError("the browser does not answer")
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)


@dataclasses.dataclass
class Page:
    """An open page.

    Attributes:
        browser: Its browser.
        session: Its number there.
        seconds: How long it took to load.
    """

    browser: Browser
    session: str
    seconds: float = 0.0

    def call(self, method: str, **parameters: Any) -> dict:
        """Calls a method of the protocol on this page."""
        return self.browser.call(method, self.session, **parameters)

    def resize(self, width: int, height: int) -> None:
        """Sets the size of the window in CSS pixels."""
        mobile = width < 600
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=mobile,
        )

    def run(self, script: str) -> Any:
        """Runs JavaScript, waits for its promise, and returns the value."""
        answer = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"]["description"])
        return answer["result"].get("value")

    @property
    def errors(self) -> list[str]:
        """Errors and warnings of the console, and exceptions."""
        found = []
        for event in self.browser.events(self.session):
            content = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                found.append(json.dumps(content["exceptionDetails"]))
            elif event["method"] == "Log.entryAdded":
                found.append(content["entry"]["text"])
            elif event["method"] == "Runtime.consoleAPICalled":
                if content["type"] in ("error", "warning", "assert"):
                    found.append(json.dumps(content["args"]))
        return found

    @property
    def requests(self) -> list[str]:
        """The addresses that the page has asked for, but for those within itself."""
        return [
            event["params"]["request"]["url"]
            for event in self.browser.events(self.session)
            if event["method"] == "Network.requestWillBeSent"
            and not event["params"]["request"]["url"].startswith(("data:", "blob:"))
        ]

    def screenshot(self, file: str | pathlib.Path, whole: bool = False) -> None:
        """Writes what is in the window, or the whole page, as a PNG."""
        content = self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
            content = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
            content = content["data"]
        pathlib.Path(file).write_bytes(base64.b64decode(content))

    def print_to(self, file: str | pathlib.Path) -> None:
        """Writes what a printer would get, as a PDF."""
        content = self.call("Page.printToPDF", printBackground=False)["data"]
        pathlib.Path(file).write_bytes(base64.b64decode(content))
