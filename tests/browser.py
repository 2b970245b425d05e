"""Chromium without a window, driven through chromedriver: what a page really does when opened.

Speaks the W3C WebDriver protocol with the standard library alone.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DRIVER, BROWSER = shutil.which("chromedriver"), shutil.which("chromium")

FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-extensions --hide-scrollbars"
).split()

START_SECONDS = 30.0

LAST_WORD = "nothing before this is missing"

# Straight to the driver: a proxy of the environment must not get between.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass
class Browser:
    """One window of a running browser."""

    session: str
    """Address of the WebDriver session."""

    def open(self, page: Path, *, width: int = 1400, dark: bool = False) -> None:
        """Open a file at a width in pixels, in light or dark, and forget what was logged before."""
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        # The browser's own first page has many parts, and is of no interest here.
        self._send("POST", "/url", {"url": "about:blank"})
        self.complaints()
        self.requests()
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)
        self.devtools("Emulation.setEmulatedMedia", {"features": [scheme]})
        self._send("POST", "/url", {"url": page.resolve().as_uri()})

    def run(self, script: str) -> Any:
        """What the JavaScript ``return``s in the page."""
        return self._send("POST", "/execute/sync", {"script": script, "args": []})

    def complaints(self) -> list[str]:
        """What the console was told since the last call, policy violations among it.

        The driver hears of it a little later: a word of our own says that it has heard all.
        """
        self.run(f"console.error({LAST_WORD!r})")
        told: list[str] = []
        while not any(LAST_WORD in each for each in told):
            entries = self._send("POST", "/se/log", {"type": "browser"})
            told += [str(entry["message"]) for entry in entries]
        return [each for each in told if LAST_WORD not in each]

    def requests(self) -> list[str]:
        """Every address that was asked for since the last call."""
        entries = self._send("POST", "/se/log", {"type": "performance"})
        events = [json.loads(entry["message"])["message"] for entry in entries]
        return [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]

    def picture(self, path: Path) -> None:
        """Save the whole page, however long, as a PNG."""
        shot = self.devtools("Page.captureScreenshot", {"captureBeyondViewport": True})
        path.write_bytes(base64.b64decode(shot["data"]))

    def devtools(self, command: str, arguments: dict[str, Any]) -> Any:
        """Run a command of the Chrome DevTools protocol."""
        return self._send("POST", "/goog/cdp/execute", {"cmd": command, "params": arguments})

    def close(self) -> None:
        """End the browser."""
        self._send("DELETE", "", None)

    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        return send(method, self.session + path, body)


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A browser with an empty profile; ended afterwards, whatever happens.

    Args:
        profile: a folder for its files.
    """
    assert DRIVER is not None
    with (profile / "driver.log").open("w") as log:
        driver = subprocess.Popen([DRIVER, "--port=0"], stdout=log, stderr=log)
    try:
        address = _address(profile / "driver.log")
        options = {"binary": BROWSER, "args": [*FLAGS, f"--user-data-dir={profile / 'profile'}"]}
        wanted = {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        body = {"capabilities": {"alwaysMatch": wanted}}
        session = send("POST", f"{address}/session", body)["sessionId"]
        window = Browser(f"{address}/session/{session}")
        try:
            yield window
        finally:
            window.close()
    finally:
        driver.terminate()
        driver.wait()


def send(method: str, url: str, body: dict[str, Any] | None) -> Any:
    """One request to the driver; returns the value of its answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with _OPENER.open(request, timeout=60) as answer:
        return json.loads(answer.read())["value"]


def _address(log: Path) -> str:
    """Where the driver listens, once it says so."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        for line in log.read_text().splitlines():
            if "started successfully on port" in line:
                return f"http://127.0.0.1:{line.rstrip('.').rpartition(' ')[2]}"
        time.sleep(0.05)
    raise TimeoutError(log.read_text())
