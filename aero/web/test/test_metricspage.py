"""
Tests for L{aero.web.metricspage}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.http.router import Router
from aero.metrics import ROWS, Metrics, sessions
from aero.policy.clientaddress import ClientAddresses
from aero.testing.web import HeaderLines, WebClient
from aero.web.metricspage import MetricsEndpoint


class MetricsEndpointTests(SynchronousTestCase):
    """
    Tests for L{MetricsEndpoint}.
    """

    def makeClient(
        self, *, token: str = "", public: bool = False, trust: bool = False
    ) -> WebClient:
        """
        A client of a site with the page.
        """
        metrics = Metrics(ROWS)
        router = Router(base="/base")
        router.addResource("/metrics", MetricsEndpoint(metrics, token=token, public=public))
        addresses = ClientAddresses(trust=trust, networks=(), terminatesTLS=False)
        return WebClient(router, metrics=metrics, clientAddresses=addresses)

    def status(self, client: WebClient, headers: HeaderLines = (), peer: str = "192.0.2.7") -> int:
        """
        The status of the page for a client.
        """
        return client.request(b"GET", "/metrics", headers, peer=peer).status

    def test_page(self) -> None:
        """
        The page is Prometheus' text, with the reference's names, under the base path too.
        """
        client = self.makeClient()
        for target in ("/metrics", "/base/metrics"):
            response = client.request(b"GET", target)
            self.assertEqual(response.status, 200)
            self.assertEqual(
                response.header(b"Content-Type"), b"text/plain; version=0.0.4; charset=utf-8"
            )
            self.assertEqual(response.header(b"Cache-Control"), b"no-store")
            self.assertIn("# TYPE http_requests_total counter", response.text())
        self.assertIn(
            'http_requests_total{method="GET",route="/metrics",status_code="200"} 1',
            client.request(b"GET", "/metrics").text(),
        )

    def test_head(self) -> None:
        """
        C{HEAD} has no body.
        """
        response = self.makeClient().request(b"HEAD", "/metrics")
        self.assertEqual((response.status, response.body), (200, b""))

    def test_public(self) -> None:
        """
        On a public site only this machine may read the page; strangers get a 403.
        """
        client = self.makeClient(public=True)
        for peer in ("127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"):
            self.assertEqual(self.status(client, peer=peer), 200)
        for peer in ("192.0.2.7", "10.0.0.1", "2001:db8::1", "::ffff:192.0.2.7"):
            response = client.request(b"GET", "/metrics", peer=peer)
            self.assertEqual(response.error(), (403, "forbidden"))
        self.assertEqual(client.metrics.value(sessions.METRICS_REFUSED, "address"), 4)

    def test_proxyOnThisMachine(self) -> None:
        """
        What a proxy on this machine forwards does not come from this machine, whether the
        proxy is trusted or not.
        """
        for trust in (False, True):
            client = self.makeClient(public=True, trust=trust)
            for name in (b"X-Forwarded-For", b"Forwarded", b"Via", b"X-Real-IP"):
                for value in (b"198.51.100.1", b"127.0.0.1"):
                    with self.subTest((trust, name, value)):
                        status = self.status(client, {name: value}, peer="127.0.0.1")
                        self.assertEqual(status, 403)

    def test_token(self) -> None:
        """
        Once there is a token the page is for who has it and for this machine, on any site.
        """
        for public in (False, True):
            client = self.makeClient(token="t0ken", public=public)
            for value, status in (
                (b"Bearer t0ken", 200),
                (b"bearer  t0ken ", 200),
                (b"Bearer t0ke", 401),
                (b"Bearer t0kenx", 401),
                (b"Bearer", 401),
                (b"Bearer ", 401),
                (b"Basic t0ken", 401),
                (b"t0ken", 401),
                (b"Bearer \xff", 401),
            ):
                with self.subTest(value):
                    self.assertEqual(self.status(client, {b"Authorization": value}), status)
            self.assertEqual(self.status(client, peer="127.0.0.1"), 200)
            twice = [(b"Authorization", b"Bearer t0ken")] * 2
            self.assertEqual(self.status(client, twice), 401)

    def test_challenge(self) -> None:
        """
        Who lacks the token is told what is asked for, and the token is not repeated.
        """
        client = self.makeClient(token="t0ken")
        response = client.request(b"GET", "/metrics")
        self.assertEqual(response.error(), (401, "unauthorized"))
        self.assertEqual(response.header(b"WWW-Authenticate"), b'Bearer realm="metrics"')
        self.assertNotIn(b"t0ken", response.body)
        self.assertEqual(client.metrics.value(sessions.METRICS_REFUSED, "token"), 1)
