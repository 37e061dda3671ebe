"""
A guest that pings through the system's ping sockets, to be run in a network namespace of its
own: it prints what came back, and what was counted.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from twisted.internet import asyncioreactor

asyncioreactor.install()

from twisted.internet import reactor  # noqa: E402

from aero.lan.factory import LANFactory  # noqa: E402
from aero.lan.peer import GuestPeer  # noqa: E402
from aero.metrics import ROWS, Metrics  # noqa: E402
from aero.metrics import lan as rows  # noqa: E402
from aero.net.deliveries import Deliveries  # noqa: E402
from aero.settings import Settings  # noqa: E402
from aero.testing.guest import Guest  # noqa: E402
from aero.testing.lan import MemoryDNS, MemoryNames  # noqa: E402


def main() -> None:
    """
    Ping two addresses of loopback, and wait a moment.
    """
    settings, metrics, guest = Settings(), Metrics(ROWS), Guest()
    dns: Any = MemoryDNS()
    loop: Any = reactor
    factory = LANFactory(
        settings.lan,
        reactor=loop,
        metrics=metrics,
        dns=dns,
        resolver=MemoryNames({}),
        egress=settings.egress,
        lanEgress=dataclasses.replace(settings.lanEgress, allowPrivateAddresses=True),
        maxFrame=guest.maxFrame,
        deliveries=Deliveries(settings.delivery, clock=loop, metrics=metrics),
    )
    lan = factory.buildLAN(GuestPeer("1", "127.0.0.1"), guest)
    guest.attach(lan.framesReceived)
    guest.ping("127.0.0.1", 1, b"one")
    guest.ping("127.0.0.9", 2, b"two" * 300)

    def end() -> None:
        for source, sequence, data in sorted(guest.echoes):
            print(source, sequence, len(data))
        for outcome in ("sent", "answered", "unavailable"):
            print(outcome, int(metrics.value(rows.PINGS, outcome)))
        factory.stop()
        loop.stop()

    loop.callLater(1, end)
    loop.run()


if __name__ == "__main__":
    main()
