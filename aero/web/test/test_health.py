"""
Tests for L{aero.web.health}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.http.router import Router
from aero.testing.web import WebClient
from aero.web.health import HealthEndpoint, Readiness, ReadyEndpoint, VersionEndpoint


class ReadinessTests(SynchronousTestCase):
    """
    Tests for L{Readiness}.
    """

    def test_parts(self) -> None:
        """
        A process is ready once all its parts are, and no longer when one goes down.
        """
        readiness = Readiness(["certificate", "listeners"])
        self.assertEqual(
            (readiness.ready, readiness.missing()), (False, ["certificate", "listeners"])
        )
        readiness.set("certificate")
        self.assertEqual((readiness.ready, readiness.missing()), (False, ["listeners"]))
        readiness.set("listeners")
        self.assertTrue(readiness.ready)
        readiness.set("certificate", False)
        self.assertEqual((readiness.ready, readiness.missing()), (False, ["certificate"]))

    def test_probes(self) -> None:
        """
        A part may be asked each time; one that cannot answer is down.
        """
        readiness, state = Readiness(), {"up": True}
        readiness.watch("dns", lambda: state["up"])
        self.assertTrue(readiness.ready)
        state["up"] = False
        self.assertEqual(readiness.missing(), ["dns"])
        del state["up"]
        self.assertEqual((readiness.ready, readiness.missing()), (False, ["dns"]))

    def test_told(self) -> None:
        """
        A part may tell more about itself, as it is when somebody asks.
        """
        readiness, state = Readiness(), {"age": 1}
        self.assertEqual(readiness.told(), {})
        readiness.tell("certificate", lambda: dict(state))
        state["age"] = 2
        self.assertEqual(readiness.told(), {"certificate": {"age": 2}})

    def test_draining(self) -> None:
        """
        A process that drains is not ready, whatever its parts say.
        """
        readiness = Readiness()
        self.assertTrue(readiness.ready)
        readiness.drain()
        self.assertTrue(readiness.draining)
        self.assertFalse(readiness.ready)


class HealthEndpointsTests(SynchronousTestCase):
    """
    Tests for C{/healthz}, C{/readyz} and C{/version}.
    """

    def setUp(self) -> None:
        self.readiness = Readiness(["listeners"])
        router = Router()
        router.addResource("/healthz", HealthEndpoint())
        router.addResource("/readyz", ReadyEndpoint(self.readiness))
        router.addResource("/version", VersionEndpoint("1.2", "abc", "2026-11-23"))
        router.addResource("/plain", VersionEndpoint("1.2"))
        self.client = WebClient(router)

    def test_healthy(self) -> None:
        """
        The process is healthy whether it is ready or draining.
        """
        self.readiness.drain()
        response = self.client.request(b"GET", "/healthz")
        self.assertEqual((response.status, response.text()), (200, '{"ok":true}'))
        self.assertEqual(response.header(b"Cache-Control"), b"no-store")

    def test_readyTells(self) -> None:
        """
        What parts tell of themselves is beside the answer.
        """
        self.readiness.tell("certificate", lambda: {"placeholder": True})
        response = self.client.request(b"GET", "/readyz")
        self.assertEqual(response.text(), '{"ok":false,"certificate":{"placeholder":true}}')

    def test_ready(self) -> None:
        """
        Readiness is 503 until the parts are up, 200 then, and 503 again while draining.
        """
        seen = []
        for change in (lambda: None, lambda: self.readiness.set("listeners"), self.readiness.drain):
            change()
            response = self.client.request(b"GET", "/readyz")
            seen.append((response.status, response.text()))
            self.assertEqual(response.header(b"Cache-Control"), b"no-store")
        self.assertEqual(seen, [(503, '{"ok":false}'), (200, '{"ok":true}'), (503, '{"ok":false}')])

    def test_head(self) -> None:
        """
        Probes may use C{HEAD}, and see the same status.
        """
        self.assertEqual(self.client.request(b"HEAD", "/healthz").status, 200)
        self.assertEqual(self.client.request(b"HEAD", "/readyz").status, 503)

    def test_version(self) -> None:
        """
        The version is three strings; the commit is the version where nobody knows better.
        """
        self.assertEqual(
            self.client.request(b"GET", "/version").text(),
            '{"version":"1.2","gitSha":"abc","builtAt":"2026-11-23"}',
        )
        self.assertEqual(
            self.client.request(b"GET", "/plain").json(),
            {"version": "1.2", "gitSha": "1.2", "builtAt": ""},
        )

    def test_longQuery(self) -> None:
        """
        A target that is too long is a 414, whatever its path (gateway.md A02).
        """
        response = self.client.request(b"GET", "/healthz?" + "x" * 9_000)
        self.assertEqual(
            (response.status, response.json()),
            (414, {"error": "url_too_long", "message": "Request URL too long"}),
        )
