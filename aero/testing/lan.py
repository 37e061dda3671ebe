# -*- test-case-name: aero.testing.test.test_lan -*-
"""
A guest's LAN without a network, for tests of what runs in it::

    rig = LANRig()
    rig.lan.listenTCP(80, factory)
    connection = rig.guest.connect("10.0.2.2", 80)
    rig.settle()
    connection.write(b"GET / HTTP/1.0\\r\\n\\r\\n")
    rig.settle()
    connection.received

The stack is the real one, the guest is L{aero.testing.guest.Guest}, and both are checked by the
other. Time is C{rig.reactor}, a L{MemoryReactorClock<twisted.internet.testing.MemoryReactorClock>}
that L{LANRig.settle} moves by next to nothing; targets are connected by
L{LANRig.acceptTarget}, and UDP sockets are those of a
L{MemoryNetwork<aero.testing.udp.MemoryNetwork>}.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from aero.dns.engine import Answer
from aero.lan.factory import LANFactory
from aero.lan.lan import LAN
from aero.lan.peer import GuestPeer
from aero.metrics import ROWS, Metrics
from aero.net.commons import Commons
from aero.net.deliveries import Deliveries
from aero.net.resolver import LookupFailed
from aero.settings import Settings
from aero.wire.dnsquery import Query

from .guest import Guest
from .udp import MemoryNetwork
from .web import MemoryTransport
from .ws import TargetEnd


class MemoryDNS:
    """
    A resolver for everybody whose answers are given by the test.

    @ivar queries: Every query and what waits for its answer.
    """

    #: Whether it has an answer to reverse questions about private addresses.
    answersPrivateReverse = False

    def __init__(self) -> None:
        self.queries: list[tuple[Query, Deferred[Answer]]] = []

    def query(self, query: Query) -> Deferred[Answer]:
        """
        See L{aero.dns.engine.DNSEngine.query}.
        """
        waiting: Deferred[Answer] = Deferred()
        self.queries.append((query, waiting))
        return waiting

    def answer(self, message: bytes, index: int = -1) -> None:
        """
        Answer a query.

        @param message: An answer; its id is made to fit.
        """
        query, waiting = self.queries[index]
        whole = query.ident.to_bytes(2, "big") + message[2:]
        waiting.callback(Answer(whole, whole[3] & 15, "upstream", 60))


class MemoryNames:
    """
    A resolver of host names.

    @ivar names: What it knows.
    """

    def __init__(self, names: dict[str, list[str]]) -> None:
        self.names = names

    def resolve(self, name: str) -> Deferred[list[str]]:
        """
        See L{aero.net.resolver.Resolver.resolve}.
        """
        found = self.names.get(name)
        return succeed(found) if found else fail(LookupFailed(name, "failed"))


class LANRig:
    """
    One LAN, its guest, and the world around it.

    @ivar reactor: The clock, and the way to targets.
    @ivar metrics: The whole catalogue.
    @ivar network: The UDP sockets.
    @ivar dns: What answers questions.
    @ivar names: What looks up the hosts of forwards.
    @ivar deliveries: The connections to targets whose guest has gone.
    @ivar factory: The factory.
    @ivar commons: What all clients share.
    @ivar guest: The guest.
    @ivar lan: Its LAN.
    """

    #: Seconds that the clock moves in L{settle}; more than a delayed acknowledgment takes.
    moment = 0.05

    def __init__(
        self,
        *,
        factory: type[LANFactory] = LANFactory,
        guest: Guest | None = None,
        egress: dict[str, Any] | None = None,
        rules: dict[str, Any] | None = None,
        shares: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        """
        @param factory: The class of the factory.
        @param egress: Settings that guests share with other clients, where they differ from
            the defaults.
        @param rules: The same of the settings for guests only.
        @param shares: The same of what all clients share.
        @param settings: The same of the LAN's own settings.
        """
        defaults = Settings()
        self.reactor: Any = MemoryReactorClock()
        self.metrics = Metrics(ROWS)
        self.network = MemoryNetwork(self.reactor)
        self.dns = MemoryDNS()
        self.names = MemoryNames({})
        self.guest = guest or Guest()
        self.deliveries = Deliveries(defaults.delivery, clock=self.reactor, metrics=self.metrics)
        self.commons = Commons(
            self.reactor, self.metrics, dataclasses.replace(defaults.shares, **(shares or {}))
        )
        self.factory = factory(
            dataclasses.replace(defaults.lan, **settings),
            reactor=self.reactor,
            metrics=self.metrics,
            dns=self.dns,  # type: ignore[arg-type]
            resolver=self.names,
            egress=dataclasses.replace(defaults.egress, **(egress or {})),
            lanEgress=dataclasses.replace(defaults.lanEgress, **(rules or {})),
            maxFrame=self.guest.maxFrame,
            deliveries=self.deliveries,
            randomness=lambda size: bytes(range(7, 7 + size)),
            openSocket=self.network.openSocket,
            commons=self.commons,
        )
        self.lan: LAN = self.factory.buildLAN(
            GuestPeer("tunnel-1", "198.51.100.7", "session-1"), self.guest
        )
        self.guest.attach(self.lan.framesReceived)

    def settle(self, turns: int = 20) -> None:
        """
        Let everything happen that is going to: so many turns of the reactor, and then what
        was put off for a moment.
        """
        for _ in range(turns):
            self.reactor.advance(0)
        self.reactor.advance(self.moment)
        for _ in range(turns):
            self.reactor.advance(0)
        self.guest.check()

    def acceptTarget(self, index: int = -1) -> TargetEnd:
        """
        Let one of the connections that were asked for succeed.
        """
        host, _, factory, _, _ = self.reactor.tcpClients[index]
        return TargetEnd(factory.buildProtocol(None), MemoryTransport(host))

    def failTarget(self, reason: Exception, index: int = -1) -> None:
        """
        Let one of them fail.
        """
        factory = self.reactor.tcpClients[index][2]
        factory.clientConnectionFailed(self.reactor.connectors[index], Failure(reason))
