"""
A site that resolves names, whose upstream a test plays.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from aero.auth.sessions import Sessions
from aero.dns.engine import DNSEngine
from aero.dns.exchange import usable
from aero.http.router import Router
from aero.metrics import ROWS, Metrics
from aero.settings.dns import DNSSettings
from aero.testing.web import WebClient
from aero.web.dns import DNSQueryEndpoint
from aero.web.dnsjson import DNSJSONEndpoint
from aero.web.dnslimit import DNSAdmission
from aero.wire.dnsanswer import ScannedAnswer
from aero.wire.dnsquery import Question

NOW = 1_700_000_000.0


class PlayedUpstream:
    """
    Gives every question to the test.

    @ivar asked: The questions as messages with the id 0, and who waits for an answer.
    """

    label = "192.0.2.53:53"
    kind = "udp"

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, Deferred[ScannedAnswer]]] = []

    def exchange(self, question: Question) -> Deferred[ScannedAnswer]:
        """
        See L{aero.dns.exchange.Exchange.exchange}.
        """
        waiting: Deferred[ScannedAnswer] = Deferred(lambda _: None)
        self.asked.append((question.message(0, question.wire(), payloadSize=None), waiting))
        return waiting

    def stop(self) -> None:
        """
        See L{aero.dns.exchange.Exchange.stop}.
        """

    def answer(self, raw: bytes) -> None:
        """
        Answer the last question.
        """
        self.asked[-1][1].callback(usable(raw))


class DNSCase(SynchronousTestCase):
    """
    A client with a session.
    """

    def setUp(self) -> None:
        self.makeSite()

    def makeSite(self, **settings: Any) -> None:
        """
        Make a site with other settings than the default.
        """
        self.clock = Clock()
        self.clock.advance(NOW)
        self.metrics = Metrics(ROWS)
        self.upstream = PlayedUpstream()
        sessions = Sessions(["secret"], 3_600, "Lax")
        self.cookie = sessions.renew(None, NOW, True)[1].partition(b";")[0]
        made = DNSSettings(**settings)
        self.engine = DNSEngine(
            made, reactor=self.clock, metrics=self.metrics, exchanges=[self.upstream]
        )
        admission = DNSAdmission(made, sessions, self.metrics, self.clock.seconds)
        router = Router()
        for path, kind in (("/dns-query", DNSQueryEndpoint), ("/dns-json", DNSJSONEndpoint)):
            router.addResource(path, kind(self.engine, admission, made.maxQueryBytes))
        self.client = WebClient(router, clock=self.clock, metrics=self.metrics)

    def counted(self, name: str, **labels: str) -> float:
        """
        The value of a counter.
        """
        return self.metrics.registry.get_sample_value(name, labels) or 0.0
