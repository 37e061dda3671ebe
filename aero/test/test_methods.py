"""
Every method on every path of every kind of server: no request is ever a 500.
"""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

from twisted.internet.testing import MemoryReactorClock
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import SynchronousTestCase

from aero.app import Aero
from aero.metrics import http
from aero.settings import load
from aero.testing.web import WebClient, WebResponse

METHODS = (
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"DELETE",
    b"PATCH",
    b"OPTIONS",
    b"TRACE",
    b"PROPFIND",
    b"get",
    b"head",
    b"!#$%&'*+-.^_`|~0",
    b"render_GET",
    b"_",
)

#: Each combination of services that answers in words of its own.
KINDS: dict[str, dict[str, str]] = {
    "edge": {"services": "edge"},
    "all": {"services": "edge,gateway,l2,relay"},
    "gateway": {"services": "gateway"},
    "relay": {"services": "relay"},
    "l2": {"services": "l2"},
}

#: What makes the optional resources exist, and lets the relay start alone.
ENVIRON = {
    "AERO_ADMIN_TOKEN": "a-token-of-thirty-two-characters",
    "AUTH_MODE": "none",
} | dict.fromkeys(("AERO_L2_OPEN", "AERO_L2_INSECURE_ALLOW_NO_AUTH"), "1")


class _Reactor(MemoryReactorClock):
    def getThreadPool(self) -> ThreadPool:
        """
        A pool that was not started.
        """
        return ThreadPool()


class MethodTests(SynchronousTestCase):
    """
    Tests for methods.
    """

    def paths(self, kind: str) -> Iterator[tuple[Aero, WebClient, str]]:
        """
        Each path of one kind of server.
        """
        state = Path(self.mktemp()).absolute()
        images = state / "images"
        images.mkdir(parents=True)
        (images / "disk.img").write_bytes(b"x" * 512)
        options = {"state-dir": str(state), **KINDS[kind]}
        if "edge" in KINDS[kind]["services"]:
            options["images-root"] = str(images)
        aero = Aero(load(options, ENVIRON), _Reactor(), environ={"HOME": str(state)})
        client = WebClient(aero.router, metrics=aero.metrics)
        for segments in aero.router._routes:
            yield aero, client, "/" + b"/".join(segments).decode()
        for endpoint in aero.endpoints:
            for path in (endpoint.path, *endpoint.aliases):
                yield aero, client, path
        for path in ("/", "/index.html", "/images/disk.img", "/images/", "/none", "/%", "/api/x"):
            yield aero, client, path

    def answer(self, client: WebClient, method: bytes, path: str) -> WebResponse | None:
        """
        The response, if there is one at once.
        """
        exchange = client.start(method, path)
        found = exchange.responses()
        exchange.disconnect()
        return found[0] if found else None

    def test_everyMethod(self) -> None:
        """
        Every method is answered with something else than a 500, and no error is logged. A 405
        has C{Allow}; what it names is never a 405, and what it leaves out is one.
        """
        for kind in KINDS:
            for aero, client, path in self.paths(kind):
                refused = {}
                for method in METHODS:
                    with self.subTest(kind=kind, path=path, method=method):
                        response = self.answer(client, method, path)
                        self.assertEqual(aero.metrics.value(http.ERRORS), 0)
                        if response is None:
                            continue
                        self.assertNotEqual(response.status, 500)
                        if method == b"HEAD":
                            self.assertEqual(response.body, b"")
                        if response.status == 405:
                            refused[method] = response.header(b"Allow")
                            self.assertIsNotNone(refused[method])
                if kind == "l2" and path.rstrip("/") in ("/l2", "/eth"):
                    continue  # without HEAD, which its Allow has: l2.md section 5, row 1
                self.assertEqual(b"GET" in refused, b"HEAD" in refused, f"{kind} {path}")
                for method, allow in refused.items():
                    allowed = {name.strip() for name in (allow or b"").split(b",")}
                    with self.subTest(kind=kind, path=path, method=method, allow=allow):
                        self.assertNotIn(method, allowed)
                        self.assertEqual(
                            allowed & set(refused), set(), f"{kind} {path} {method!r} {allow!r}"
                        )
        self.assertEqual(self.flushLoggedErrors(), [])
