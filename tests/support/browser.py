"""
Chromium without a window, driven by Playwright. It trusts one server's CA and nothing else:
certificate errors are errors.

Playwright's blocking interface runs an event loop in its thread, and trial's reactor may do
the same in the main one, so the browser lives in a thread of its own: decorate a test with
L{inBrowserThread} and use the page freely in it.
"""

from __future__ import annotations

import atexit
import functools
import os
import queue
import shutil
import subprocess
import tempfile
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, TypeVar

from .server import Aero
from .tools import missing, require

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Playwright

#: Milliseconds that the page may take for anything on a busy machine.
PATIENCE = 60_000.0

_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
)

#: Tells the tests what the content security policy stopped, whoever caused it.
_REPORT_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.violations.push(`${event.effectiveDirective} ${event.blockedURI}`);
});
"""

Result = TypeVar("Result")


class _Thread:
    """
    One thread that does what it is told, in order.
    """

    def __init__(self) -> None:
        self._calls: queue.Queue[tuple[Future[Any], Callable[[], Any]]] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="browser", daemon=True)
        self._thread.start()

    def run(self, call: Callable[[], Result]) -> Result:
        """
        Have something done, and wait for what it gives or raises.
        """
        if threading.current_thread() is self._thread:
            return call()
        future: Future[Result] = Future()
        self._calls.put((future, call))
        return future.result()

    def _work(self) -> None:
        while True:
            future, call = self._calls.get()
            try:
                future.set_result(call())
            except BaseException as problem:  # noqa: BLE001 - it is raised where it is waited for
                future.set_exception(problem)


@functools.cache
def _thread() -> _Thread:
    return _Thread()


def inBrowserThread(function: Callable[..., Result]) -> Callable[..., Result]:
    """
    Run a test method where pages can be used.
    """

    @functools.wraps(function)
    def run(*arguments: Any, **named: Any) -> Result:
        return _thread().run(functools.partial(function, *arguments, **named))

    return run


@functools.cache
def _playwright() -> Playwright:
    """
    Playwright, started once in its thread.

    @raise SkipTest: It is not installed.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed")
    driver = sync_playwright().start()
    atexit.register(lambda: _thread().run(driver.stop))
    return driver


class Browser:
    """
    One Chromium that trusts one server. To be made and used in the browser's thread.
    """

    def __init__(self, server: Aero) -> None:
        program = require("chromium", "chromium-browser")
        certutil = require("certutil")
        self.server = server
        self.home = Path(tempfile.mkdtemp(prefix="aero-browser-"))
        atexit.register(shutil.rmtree, self.home, ignore_errors=True)
        store = self.home / ".pki" / "nssdb"
        store.mkdir(parents=True)
        database = f"sql:{store}"
        for arguments in (
            ["-N", "--empty-password"],
            ["-A", "-t", "C,,", "-n", "aero", "-i", str(server.rootCertificate)],
        ):
            subprocess.run(
                [certutil, "-d", database, *arguments], check=True, capture_output=True, timeout=60
            )
        self._browser = _playwright().chromium.launch(
            executable_path=program,
            args=[*_ARGUMENTS, f"--host-resolver-rules=MAP {server.domain} 127.0.0.1"],
            env={"PATH": os.environ["PATH"], "HOME": str(self.home)},
        )
        atexit.register(lambda: _thread().run(self.close))

    def open(self, **options: Any) -> Tab:
        """
        A tab without any cookies yet.

        @param options: For Playwright's C{new_context}.
        """
        context = self._browser.new_context(**options)
        context.set_default_timeout(PATIENCE)
        context.add_init_script(_REPORT_VIOLATIONS)
        return Tab(self.server, context)

    def close(self) -> None:
        """
        End the program.
        """
        self._browser.close()


class Tab:
    """
    One tab, and what went wrong in it.

    @ivar page: Playwright's page.
    @ivar complaints: Errors and warnings of the console and uncaught exceptions, each with the
        address of what caused it.
    """

    def __init__(self, server: Aero, context: BrowserContext) -> None:
        self.server = server
        self.context = context
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._spoken)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def __enter__(self) -> Tab:
        return self

    def __exit__(self, *ignored: object) -> None:
        self.context.close()

    def goto(self, path: str) -> None:
        """
        Load a page of the server.
        """
        self.page.goto(f"https://{self.server.domain}:{self.server.port}{path}")

    def violations(self) -> list[str]:
        """
        What the content security policy stopped on this page: directive and what it was.
        """
        found: list[str] = self.page.evaluate("window.violations")
        return found

    def _spoken(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.location.get('url', '')} {message.text}")


_browsers: dict[Path, Browser] = {}


def browserFor(server: Aero) -> Browser:
    """
    The browser that all tests of one server share.
    """
    if server.state not in _browsers:
        _browsers[server.state] = Browser(server)
    return _browsers[server.state]
