"""
Certificates from a public CA: Pebble plays Let's Encrypt, with all that goes wrong there.
"""

from __future__ import annotations

import datetime
import json
import os
import signal
import ssl
import stat
import threading
import time
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from .support.acme import Pebble, PublicAero
from .support.acmefaults import Gate, problem
from .support.browser import Browser, inBrowserThread
from .support.curl import curl
from .support.http import Connection, request
from .support.metrics import metric
from .support.targets import Target, echo
from .support.tools import freePort
from .support.websocket import WebSocket, tcpTarget
from .test_tls import presented, waitFor

GOOD = "is good until"
FAILED = "No certificate for"


class _ACMETestCase(SynchronousTestCase):
    def pebble(self, **options: Any) -> Pebble:
        """
        An authority that ends with the test.
        """
        pebble = Pebble(**options)
        self.addCleanup(pebble.stop)
        return pebble

    def gate(self, pebble: Pebble) -> Gate:
        """
        A gate before an authority.
        """
        gate = Gate(pebble)
        self.addCleanup(gate.stop)
        return gate

    def start(self, pebble: Pebble, *options: str, state: Path | None = None) -> PublicAero:
        """
        A server that ends with the test.
        """
        server = PublicAero(pebble, *options, state=state)
        self.addCleanup(server.kill)
        return server

    def readiness(self, server: PublicAero) -> tuple[int, Any]:
        """
        What C{/readyz} says to who takes any certificate.
        """
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        with Connection(server.port, tls=tls, serverName=server.domain) as connection:
            response = connection.request("GET", "/readyz", host=server.domain)
            return response.status, response.json()


class FirstTests(_ACMETestCase):
    """
    The first certificate of a site, and what is kept of it.
    """

    def test_http(self) -> None:
        """
        Over C{http-01}: curl that trusts the authority's root is served, for both names; the files
        are for the owner alone; a restart orders nothing (E13).
        """
        pebble = self.pebble()
        names = ("--acme-names", "www.example.test", "--acme-email", "me@example.test")
        server = self.start(pebble, *names, "--acme-challenge", "http-01")
        server.waitUntilSaid(GOOD)
        self.assertGreater(server.said("terms of service"), 0)
        response = curl(server, "/readyz")
        self.assertEqual(response.status, 200)
        told = json.loads(response.body)["certificate"]
        self.assertFalse(told["placeholder"])
        self.assertTrue(86_000 < told["expiresInSeconds"] <= 86_400, told)
        self.assertEqual(pebble.said("Attempting to validate w/ HTTP"), 6)
        context = server.tlsContext("http/1.1")
        with Connection(server.port, tls=context, serverName="www.example.test") as connection:
            self.assertEqual(connection.request("GET", "/", host="www.example.test").status, 200)
        kept = list((server.state / "acme").glob("*/*"))
        self.assertEqual(
            {path.name for path in kept},
            {"account.json", "account.key", "retry.json", "site.pem", "turn"},
        )
        self.assertEqual({stat.S_IMODE(path.stat().st_mode) for path in kept}, {0o600})
        self.assertEqual(metric(server, "aero_acme_attempts_total", outcome="success"), 1)
        name = {"name": server.domain}
        after = metric(server, "aero_tls_certificate_not_after_timestamp_seconds", **name)
        before = metric(server, "aero_tls_certificate_not_before_timestamp_seconds", **name)
        self.assertTrue(after - 86_402 < before < after, (before, after))
        first = presented(server, server.domain)
        self.assertEqual(server.stop(), 0)
        again = self.start(pebble, *names, state=server.state)
        self.assertEqual(presented(again, again.domain), first)
        self.assertEqual(curl(again, "/readyz").status, 200)
        self.assertEqual(pebble.said("Issued certificate"), 1)

    def test_alpn(self) -> None:
        """
        Over C{tls-alpn-01} no port but that of the site is needed, and half of all nonces refused
        are no obstacle.
        """
        pebble = self.pebble(nonceReject=50)
        server = self.start(pebble, "--http-port", "0")
        server.waitUntilSaid(GOOD)
        self.assertEqual(curl(server, "/healthz").status, 200)
        self.assertEqual(pebble.said("w/ HTTP"), 0)
        self.assertEqual(metric(server, "aero_acme_challenges_total", kind="tls-alpn-01"), 1)
        self.assertGreater(pebble.said("HEAD /nonce-plz"), 1)

    def test_otherKind(self) -> None:
        """
        If the authority does not reach one port, the other one is tried.
        """
        pebble = self.pebble()
        server = self.start(pebble, "--http-port", str(freePort()))
        server.waitUntilSaid(GOOD)
        self.assertEqual(server.said(FAILED), 1)
        self.assertEqual(curl(server, "/healthz").status, 200)
        self.assertEqual(metric(server, "aero_acme_challenges_total", kind="http-01"), 1)
        self.assertEqual(metric(server, "aero_acme_challenges_total", kind="tls-alpn-01"), 1)

    def test_external(self) -> None:
        """
        An authority that wants accounts bound to others of its own gets that.
        """
        secret = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
        pebble = self.pebble(externalKeys={"kid-1": secret})
        server = PublicAero(pebble, AERO_ACME_EAB_KID="kid-1", AERO_ACME_EAB_HMAC_KEY=secret)
        self.addCleanup(server.kill)
        server.waitUntilSaid(GOOD)
        self.assertNotIn(secret, "\n".join(server.log))

    @inBrowserThread
    def test_browser(self) -> None:
        """
        Chromium trusts the chain, and the page is cross-origin isolated.
        """
        pebble = self.pebble()
        server = self.start(pebble)
        server.waitUntilSaid(GOOD)
        browser = Browser(server)
        with browser.open() as tab:
            tab.goto("/")
            self.assertTrue(tab.page.evaluate("window.crossOriginIsolated"))
        browser.close()


class RenewalTests(_ACMETestCase):
    """
    Renewal of certificates of seconds.
    """

    def test_underTunnels(self) -> None:
        """
        A WebSocket stays up over renewals, and new connections see the new certificates.
        """
        pebble = self.pebble(validity=15)
        with Target(echo) as target:
            server = PublicAero(pebble, TCP_ALLOW_PRIVATE_IPS="1")
            self.addCleanup(server.kill)
            server.waitUntilSaid(GOOD)
            with WebSocket(server, tcpTarget("127.0.0.1", target.port)) as tunnel:
                self.assertTrue(tunnel.accepted, tunnel.response)
                seen = {presented(server, server.domain)}
                for times in (2, 3):
                    tunnel.send(b"still there")
                    self.assertEqual(tunnel.receiveBytes(11), b"still there")
                    server.waitUntilSaid(GOOD, times)
                    waitFor(
                        lambda: curl(server, "/readyz").status == 200, "the certificate is good"
                    )
                    seen.add(presented(server, server.domain))
                self.assertEqual(len(seen), 3)
                tunnel.send(b"to the end")
                self.assertEqual(tunnel.receiveBytes(10), b"to the end")
        self.assertEqual(server.said(FAILED), 0)

    def test_window(self) -> None:
        """
        An authority that wants a certificate replaced now is obeyed (RFC 9773).
        """
        pebble = self.pebble()
        gate = self.gate(pebble)
        gate.renewalInfo = True
        server = self.start(pebble, "--acme-directory", gate.url)
        server.waitUntilSaid(GOOD)
        first = presented(server, server.domain)
        past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
        window = {"start": past.isoformat(), "end": past.isoformat()}

        def renew(method: str, path: str) -> Any:
            if path.startswith("/renewal-info/"):
                return 200, {"suggestedWindow": window}, {"Retry-After": "21600"}
            return None

        gate.fault = renew
        server.sendSignal(signal.SIGHUP)
        server.waitUntilSaid(GOOD, 2)
        self.assertNotEqual(presented(server, server.domain), first)


class WorkersTests(_ACMETestCase):
    """
    Several processes behind one port: the authority reaches whichever accepts its connection.
    """

    names = ("--acme-names", ",".join(f"{name}.example.test" for name in "ab"))

    def holder(self, server: PublicAero) -> int:
        """
        The process whose turn it is to talk to the authority.
        """
        (turn,) = (server.state / "acme").glob("*/turn")
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if fields[1] == "FLOCK" and fields[5].endswith(f":{turn.stat().st_ino}"):
                return int(fields[4])
        raise AssertionError("nobody's turn")

    def seen(self, server: PublicAero) -> set[bytes]:
        """
        The certificates that a dozen connections get.
        """
        return {presented(server, server.domain) for _ in range(12)}

    def test_http(self) -> None:
        """
        Over C{http-01}: one order is made, nothing fails, and all serve its certificate. When the
        process whose turn it is gets killed, another one renews.
        """
        pebble = self.pebble(validity=15)
        options = ("--workers", "2", *self.names, "--acme-challenge", "http-01")
        server = self.start(pebble, *options)
        server.waitUntilSaid(GOOD, 2)
        first = self.seen(server)
        self.assertEqual(len(first), 1)
        self.assertEqual(pebble.said("Issued certificate"), 1)
        self.assertEqual(pebble.said("Attempting to validate w/ HTTP"), 9)
        before = self.holder(server)
        os.kill(before, signal.SIGKILL)
        waitFor(lambda: pebble.said("Issued certificate") == 2, "the certificate is renewed")
        self.assertNotEqual(self.holder(server), before)
        waitFor(lambda: server.said("is ready") == 3, "there are two workers again")
        waitFor(lambda: not self.seen(server) & first, "all serve the new one")
        self.assertEqual(curl(server, "/readyz").status, 200)
        self.assertEqual(server.said(FAILED), 0)
        self.assertEqual(list((server.state / "acme").glob("*/answers.json")), [])
        self.assertEqual(server.stop(), 0)

    def test_alpn(self) -> None:
        """
        Over C{tls-alpn-01} it is the same.
        """
        pebble = self.pebble()
        server = self.start(pebble, "--workers", "2", *self.names, "--http-port", "0")
        server.waitUntilSaid(GOOD, 2)
        self.assertEqual(len(self.seen(server)), 1)
        self.assertEqual(pebble.said("Issued certificate"), 1)
        self.assertEqual(server.said(FAILED), 0)
        self.assertEqual(curl(server, "/readyz").status, 200)
        self.assertEqual(metric(server, "aero_acme_placeholder"), 0)
        self.assertEqual(server.stop(), 0)


class TroubleTests(_ACMETestCase):
    """
    What stands in the way.
    """

    def test_down(self) -> None:
        """
        While the authority is away a placeholder is served and the process is not ready; the
        certificate comes once it is back. With a certificate, its absence goes unnoticed.
        """
        pebble = self.pebble(start=False)
        server = self.start(pebble, "--acme-retry", "2")
        server.waitUntilSaid(FAILED)
        self.assertTrue(server.said("(unreachable)"), server.log)
        status, body = self.readiness(server)
        self.assertEqual((status, body), (503, {"ok": False, "certificate": {"placeholder": True}}))
        pebble.start()
        server.waitUntilSaid(GOOD)
        self.assertEqual(curl(server, "/readyz").status, 200)
        first = presented(server, server.domain)
        server.stop()
        pebble.halt()
        again = self.start(pebble, state=server.state)
        self.assertEqual(presented(again, again.domain), first)
        self.assertEqual(self.readiness(again)[0], 200)
        self.assertEqual(again.said(FAILED), 0)

    def test_rejected(self) -> None:
        """
        A name that the authority refuses is said so in its words, with a placeholder served, and
        not tried again at once; SIGHUP tries again.
        """
        pebble = self.pebble(blocked=["example.test"])
        server = self.start(pebble)
        server.waitUntilSaid(FAILED)
        self.assertTrue(server.said("(rejectedIdentifier)"), server.log)
        self.assertEqual(self.readiness(server)[0], 503)
        time.sleep(1)
        self.assertEqual(server.said(FAILED), 1)
        server.sendSignal(signal.SIGHUP)
        server.waitUntilSaid(FAILED, 2)

    def test_limited(self) -> None:
        """
        A rate limit is respected to the second, even when SIGHUP asks for more, and across a
        restart.
        """
        pebble = self.pebble()
        gate = self.gate(pebble)
        limited = problem("rateLimited", 429, Retry_After="6")
        gate.fault = lambda method, path: limited if "order" in path else None
        options = ("--acme-directory", gate.url, "--acme-retry", "1")
        server = self.start(pebble, *options)
        server.waitUntilSaid("(rateLimited)")
        gate.fault = lambda method, path: None
        server.sendSignal(signal.SIGHUP)
        server.stop()
        again = self.start(pebble, *options, state=server.state)
        again.waitUntilSaid(GOOD)
        refused, accepted = gate.times("/order-plz")[:2]
        self.assertGreaterEqual(accepted - refused, 6)

    def test_errors(self) -> None:
        """
        Errors in the middle of an order are survived: the next one goes through.
        """
        pebble = self.pebble()
        gate = self.gate(pebble)
        troubles = [
            ("/finalize-order", problem("serverInternal", 500)),
            ("/certZ", (502, "<html>", {"Content-Type": "text/html"})),
            ("/authZ", (200, {"nonsense": True}, {"Replay-Nonce": "bm9uY2U"})),
        ]

        def fault(method: str, path: str) -> Any:
            if troubles and path.startswith(troubles[0][0]):
                return troubles.pop(0)[1]
            return None

        gate.fault = fault
        server = self.start(pebble, "--acme-directory", gate.url, "--acme-retry", "1")
        server.waitUntilSaid(GOOD)
        self.assertEqual((server.said(FAILED), troubles), (3, []))
        self.assertEqual(curl(server, "/healthz").status, 200)
        self.assertEqual(request(server, "GET", "/healthz").status, 200)

    def test_stopMeanwhile(self) -> None:
        """
        A process that waits for the authority stops all the same.
        """
        pebble = self.pebble()
        gate = self.gate(pebble)

        released = threading.Event()
        self.addCleanup(released.set)

        def stall(method: str, path: str) -> None:
            if "order" in path:
                released.wait(120)

        gate.fault = stall
        server = self.start(pebble, "--acme-directory", gate.url)
        waitFor(lambda: bool(gate.times("/order-plz")), "the order was sent")
        self.assertEqual(server.stop(), 0)
