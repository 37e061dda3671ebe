"""
The scenes of the transcript of the reference's stack: which situations follow each other in one
tunnel, and what is done in between that the transcript does not show as frames.
"""

from __future__ import annotations

import socket
import time
from typing import Callable, Final, NamedTuple

import dns.rcode
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from .golden import REFERENCE_ISN
from .goldenstage import PLACE, Stage

#: What somebody does before the frames of a step.
Act = Callable[[Stage], object]


class Out(NamedTuple):
    """
    What comes out of a step.

    @ivar frames: The frames to the guest, in words.
    @ivar host: What the hosts outside are asked for.
    """

    frames: tuple[str, ...] = ()
    host: tuple[str, ...] = ()


class Step(NamedTuple):
    """
    A part of a scene.

    @ivar titles: The situations of the transcript, none for what only we do; two where the
        transcript tells the answer in a situation of its own.
    @ivar act: What is done before.
    @ivar first: Frames that the guest sends before those of the transcript.
    @ivar out: What comes out where no situation tells.
    @ivar since: Seconds that have passed at least since the guest was told an address.
    """

    titles: tuple[str, ...]
    act: Act | None = None
    first: tuple[bytes, ...] = ()
    out: Out = Out()
    since: float | None = None


def _step(*titles: str, act: Act | None = None) -> Step:
    return Step(titles, act)


def _segment(
    port: int, flags: str, sequence: int, acknowledgment: int = 0, *, to: int = 80
) -> bytes:
    """
    A segment that the transcript does not show.
    """
    tcp = TCP(sport=port, dport=to, flags=flags, seq=sequence, ack=acknowledgment, window=65_535)
    ends = IP(src="10.0.2.15", dst=PLACE)
    return bytes(Ether(dst="02:00:00:00:00:01", src="02:aa:bb:cc:dd:ee") / ends / tcp)


def _opening(port: int, isn: int) -> tuple[Step, Step]:
    """
    A handshake that the transcript does not show.
    """
    first = isn + 1 & 0xFFFFFFFF
    answer = Out((f"tcp {PLACE}:80>{port} SA +0 {first}",), (f"dial {PLACE}:80",))
    return (
        Step((), None, (_segment(port, "S", isn),), answer),
        Step((), None, (_segment(port, "A", first, REFERENCE_ISN + 1),)),
    )


def _says(data: bytes) -> Act:
    """
    The host sends.
    """
    return lambda stage: stage.hosts.connection().sendall(data)


def _saysALot(data: bytes) -> Act:
    """
    The host sends more than fits in a window, to a guest that acknowledges it.
    """

    def act(stage: Stage) -> None:
        stage.acknowledgeAll()
        stage.hosts.connection().sendall(data)

    return act


def _ends(stage: Stage) -> None:
    """
    The host has no more to send.
    """
    stage.hosts.connection().shutdown(socket.SHUT_WR)


def _discards(stage: Stage) -> None:
    """
    What follows in the transcript is counted without the data that the reference lost.
    """
    stage.discarded = len(_EARLY)


def _answers(rcode: dns.rcode.Rcode) -> Act:
    """
    The name server answers, with nothing.
    """
    return lambda stage: stage.hosts.answer(rcode)


def _alive(port: int, acknowledgment: int) -> Step:
    """
    The connection still carries data.
    """
    words = f"tcp {PLACE}:80>{port} PA +1 {acknowledgment} {b'alive'.hex()}"
    return Step((), _says(b"alive"), (), Out((words,)))


_EARLY: Final = b"220"
_LEASE: Final = _step("DHCPREQUEST")
_WAIT: Final = 1.1

SCENES: Final[dict[str, tuple[Step, ...]]] = {
    "lan": (
        _step("DHCPDISCOVER"),
        _LEASE,
        _step("ARP who-has 10.0.2.2"),
        _step("ARP who-has 10.0.2.3"),
        _step("ARP who-has 10.0.2.15 (probe)"),
        _step("DNS A", "DNS A resolved ttl60"),
        Step(("DNS A again @5011ms (cache)",), lambda _: time.sleep(_WAIT), since=_WAIT),
        _step("DNS AAAA"),
        _step("DNS ANY class CH"),
        _step("DNS A nx"),
        _step("nx result", act=_answers(dns.rcode.NXDOMAIN)),
        _step("DNS root name"),
        Step((), _answers(dns.rcode.NOERROR), (), Out(("dns 10.0.2.2 53000 1239 8180 . 1 1",))),
        _step("ICMP echo gw"),
        _step("ICMP echo 8.8.8.8"),
    ),
    "connection": (
        _LEASE,
        _step("SYN"),
        _step("SYN retransmit"),
        _step("host data before guest ACK", act=_says(_EARLY)),
        _step("host connected"),
        _step("ACK"),
        _step("data 'hello'", act=_discards),
        _step("dup data"),
        _step("overlap data 'lo wor'"),
        _step("ooo data"),
        _step("keepalive probe seq-1 len0"),
        _step("host data 5", act=_says(b"hello")),
        _step("host data 16384", act=_saysALot(b"A" * 16_384)),
        _step("host data 65536", act=_saysALot(b"B" * 65_536)),
        _step("guest FIN"),
        # The other way round in the transcript; but no socket sends after its end.
        _step("host data after fin_sent", act=_says(b"late")),
        _step("host closed after FIN", act=_ends),
        _step("stray data on unknown conn"),
        _step("SYN+ACK on unknown conn"),
    ),
    "hostEnd": (
        _LEASE,
        Step(("SYN conn2",), None, (_segment(40_002, "S", 100),)),
        Step((), None, (_segment(40_002, "A", 101, REFERENCE_ISN + 1),)),
        _step("host EOF", act=_ends),
        _step("guest acks our FIN"),
        _step("guest data after host EOF"),
        _step("guest FIN after host EOF"),
        _step("further ACK"),
    ),
    "early": (
        _LEASE,
        Step((), lambda stage: stage.hosts.hold(f"{PLACE}:80")),
        *_opening(40_003, 100),
        _step("early data (not connected)"),
        _step("early FIN (not connected)"),
        _step("then connected", act=lambda stage: stage.hosts.release(f"{PLACE}:80")),
        Step((), _ends, (), Out((f"tcp {PLACE}:80>40003 FA +1 105",))),
    ),
    "refusals": (
        _LEASE,
        _step("SYN to 10.0.0.1"),
        Step(
            ("SYN then host error",),
            lambda stage: stage.hosts.hold(f"{PLACE}:81"),
            (_segment(40_004, "S", 1_234, to=81),),
        ),
        _step("host error", act=lambda stage: stage.hosts.refuse(f"{PLACE}:81")),
        _step("guest RST unknown"),
    ),
    "strayEnd": (_LEASE, *_opening(40_005, 100), _step("OOO FIN"), _alive(40_005, 101)),
    "wrap": (
        _LEASE,
        *_opening(40_006, 0xFFFFFFF0),
        _step("in-order across wrap (20B)"),
        _step("retransmit of that (dup before wrap)"),
    ),
    "udp": (
        _LEASE,
        _step("UDP out"),
        _step("UDP in", act=lambda stage: stage.hosts.reply(f"{PLACE}:9999", b"ok")),
        _step("UDP to 10.0.2.2:123"),
        _step("UDP broadcast"),
    ),
    "noLease": (
        _step("UDP before DHCP"),
        _step("TCP SYN before DHCP"),
        _step("ICMP before DHCP"),
        _step("DNS AAAA before DHCP"),
        _step("DHCPINFORM"),
        _step("DHCPREQUEST for other ip/server"),
        _step("DHCPRELEASE"),
        _step("UDP after release"),
    ),
    "synData": (
        _LEASE,
        _step("SYN+data"),
        _step("SYN+data retransmit"),
        _step("new SYN diff ISN"),
    ),
    "odd": (
        _LEASE,
        _step("UDP frag 1 (len>payload)"),
        _step("UDP frag 2"),
        _step("non-first fragment parsed as header"),
        _step("VLAN tagged"),
        _step("IPv6"),
        _step("spoofed src ip"),
    ),
    "oddNames": (
        _LEASE,
        _step("DNS EDNS"),
        Step(
            (),
            _answers(dns.rcode.NXDOMAIN),
            (),
            Out(("dns 10.0.2.2 53000 1234 8183 a. 1 1 ar EDNS 0 0",)),
        ),
        _step("DNS qdcount=2"),
        _step("DNS opcode=5 (update)"),
        _step("UDP 53 to 8.8.8.8"),
    ),
    "dataEnd": (
        _LEASE,
        *_opening(40_001, 5_000),
        _step("FIN with data"),
        Step((), _ends, (), Out((f"tcp {PLACE}:80>40001 FA +1 5005",))),
    ),
    "reset": (
        _LEASE,
        *_opening(40_001, 5_000),
        _step("RST out of window"),
        _alive(40_001, 5_001),
    ),
    "hostGone": (
        _LEASE,
        _opening(40_001, 5_000)[0],
        _step("host closed before guest ACK", act=_ends),
        _opening(40_001, 5_000)[1]._replace(out=Out((f"tcp {PLACE}:80>40001 FA +1 5001",))),
    ),
    "probe": (_step("ARP probe for gw"),),
    "wrapOverlap": (
        _LEASE,
        *_opening(40_006, 0xFFFFFFF0),
        _step("first 20B reaches seq 5"),
        _step("overlap from fffffff1 len 30 (10 new)"),
        _step("FUTURE seg: next=5, seq=... pre-wrap future"),
    ),
    "wrapFuture": (
        _LEASE,
        *_opening(40_007, 0xFFFFFFE0),
        _step("OOO: next=ffffffe1 seg at 0x10 (future, wrapped) len 8"),
    ),
}
