# -*- test-case-name: tests.test_fuzz -*-
"""
Frames of a guest, into a whole LAN with all that runs in it: each has its length in two bytes
in front of it.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet import error
from twisted.logger import globalLogPublisher

from aero.lan.peer import GuestPeer
from aero.policy.forwards import Forward
from aero.testing.lan import LANRig

from .explore import main
from .stackframe import _frames, _right

#: Frames taken of one input.
_MOST: Final = 40
_PEER: Final = GuestPeer("fuzz", "198.51.100.7")

_rig = LANRig(
    maxConnections=8,
    maxFlows=8,
    maxPendingDNS=4,
    maxDNSCacheEntries=4,
    staticNames=(("echo.local", 0xCB00710A),),
    tcpForwards=(Forward(0xCB00710A, 80, "127.0.0.1", 8_080),),
    udpForwards=(Forward(0xCB00710A, 7, "127.0.0.1", 7),),
    rules={"blockedDomains": ("blocked.example",), "maxRememberedAddresses": 8},
)
_failures: list[Any] = []


def _observe(event: dict[str, Any]) -> None:
    if "log_failure" in event:
        _failures.append(event["log_failure"])


_observer: Any = _observe
globalLogPublisher.addObserver(_observer)


class _Port:
    """
    Takes everything.
    """

    maxFrame = 2_048

    def sendFrames(self, frames: list[bytes]) -> None:
        for frame in frames:
            assert 14 < len(frame) <= 1_514


# Nothing raises and nothing fails within, whatever the frames are. Nothing leaves for places that
# are not public, what is kept stays within its bounds, and when the guest is gone nothing is left.
def check(data: bytes) -> None:
    frames = list(_frames(data))[:_MOST]
    _feed(frames)
    _feed([_right(frame) for frame in frames])


def _feed(frames: list[bytes]) -> None:
    reactor, network = _rig.reactor, _rig.network
    reactor.tcpClients.clear()
    reactor.connectors.clear()
    network.sockets.clear()
    network.used.clear()
    _rig.dns.queries.clear()
    _failures.clear()
    lan = _rig.factory.buildLAN(_PEER, _Port())
    _rig.lan = lan
    ends: list[Any] = []
    for number, frame in enumerate(frames):
        lan.framesReceived([frame])
        reactor.advance(0.01)
        _beOutside(ends, number)
        reactor.advance(0.3 if number & 1 else 0.0)
        assert len(lan.udp) <= 8 and lan.driver.stack.connections <= 8
        assert lan.egress.remembered <= 16
    reactor.advance(100)
    lan.stop()
    reactor.advance(0)
    # Targets that were told everything may still have their time to take it: that of a delivery.
    for call in reactor.getDelayedCalls():
        assert call.getTime() - reactor.seconds() <= 120
        call.cancel()
    assert reactor.getReaders() == []
    assert all(socket.closed for socket in network.sockets)
    if _failures:
        raise AssertionError(_failures[0].getTraceback())


def _beOutside(ends: list[Any], number: int) -> None:
    """
    Be every target, resolver and remote.
    """
    reactor, network = _rig.reactor, _rig.network
    for index, (host, port, *_) in enumerate(reactor.tcpClients):
        assert host == "127.0.0.1" or not host.startswith(("10.", "127.", "192.168.", "169.254."))
        if port & 1:
            _rig.failTarget(error.ConnectionRefusedError(), index)
        elif not reactor.connectors[index].stoppedConnecting:
            ends.append(_rig.acceptTarget(index))
            ends[-1].send(b"banner" * 400)
    reactor.tcpClients.clear()
    reactor.connectors.clear()
    for end in ends:
        if end.transport.value() and not end.transport.disconnected:
            end.send(end.take())
    if number % 5 == 4 and ends:
        end = ends.pop()
        if not end.transport.disconnected:
            end.end() if number & 1 else end.lose(error.ConnectionLost())
    for index, socket in enumerate(network.sockets):
        if not socket.closed and socket.sent:
            for _, address in socket.sent:
                network.deliver(index, (b"answer", address))
            socket.sent.clear()
    while _rig.dns.queries:
        query, waiting = _rig.dns.queries[-1]
        if not waiting.called:
            head = query.ident.to_bytes(2, "big") + b"\x81\x80\0\1\0\1\0\0\0\0" + query.question
            record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + bytes((93, 184, 215, number & 255))
            _rig.dns.answer(head + record)
        _rig.dns.queries.pop()


if __name__ == "__main__":
    main(check)
