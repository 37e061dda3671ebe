"""
Tests for L{aero.dns.upstreams} and L{aero.dns.exchange}.
"""

from __future__ import annotations

import dns.message
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from aero.dns.exchange import Exchange, ExchangeFailed, dislikesEDNS, usable
from aero.dns.upstreams import HTTPSFactory, makeExchanges
from aero.errors import ConfigurationError
from aero.metrics import ROWS, Metrics
from aero.policy.upstreams import Upstream
from aero.settings.dns import DNSSettings

from .fakes import FakeExchange, answerTo, counting, question

ASKED = question().message(1, question().wire(), payloadSize=1232)


class MakeExchangesTests(SynchronousTestCase):
    """
    Tests for L{makeExchanges}.
    """

    def make(self, *entries: str, https: HTTPSFactory | None = None) -> list[Exchange]:
        """
        The ways to upstreams as an operator writes them.
        """
        self.reactor = MemoryReactorClock()
        return makeExchanges(
            DNSSettings(upstreams=tuple(Upstream.parse(entry) for entry in entries)),
            reactor=self.reactor,
            metrics=Metrics(ROWS),
            randomness=counting(),
            https=https,
        )

    def test_kinds(self) -> None:
        """
        Each entry is asked as it says, in their order, and named so in metrics.
        """
        made = self.make(
            "[::1]",
            "tls://192.0.2.1",
            "https://dns.example/dns-query",
            https=lambda upstream: FakeExchange(upstream.label),
        )
        self.assertEqual(
            [(one.label, one.kind) for one in made[:2]],
            [("::1:53", "udp"), ("192.0.2.1:853", "dot")],
        )
        self.assertEqual(made[2].label, "https://dns.example/dns-query")

    def test_overTLS(self) -> None:
        """
        A DoT upstream is connected to at its port.
        """
        self.make("tls://192.0.2.1")[0].exchange(question())
        self.assertEqual(self.reactor.tcpClients[0][:2], ("192.0.2.1", 853))

    def test_noHTTPClient(self) -> None:
        """
        An HTTPS upstream where nothing speaks HTTP is a mistake of the configuration.
        """
        self.assertRaises(ConfigurationError, self.make, "https://dns.example/dns-query")


class UsableTests(SynchronousTestCase):
    """
    Tests for L{usable} and L{dislikesEDNS}.
    """

    def test_usable(self) -> None:
        """
        A well-formed answer is used whatever it says; a malformed one is a failure.
        """
        self.assertEqual(usable(answerTo(ASKED, rcode=2)).rcode, 2)
        error = self.assertRaises(ExchangeFailed, usable, answerTo(ASKED) + b"junk")
        self.assertEqual(error.reason, "malformed")

    def test_extended(self) -> None:
        """
        A result that only EDNS can carry is none for an asker without it.
        """
        error = self.assertRaises(ExchangeFailed, usable, answerTo(ASKED, rcode=16))
        self.assertEqual(error.reason, "rcode")

    def test_dislikesEDNS(self) -> None:
        """
        FORMERR or NOTIMP without OPT is how old servers say that they do not know EDNS.
        """
        found = [
            dislikesEDNS(usable(answerTo(ASKED, rcode=rcode, edns=edns)))
            for rcode, edns in ((1, False), (4, False), (1, True), (2, False), (0, False))
        ]
        self.assertEqual(found, [True, True, False, False, False])
        self.assertEqual(dns.message.from_wire(ASKED).edns, 0)
