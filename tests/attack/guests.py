"""
Floods of guests in C{/l2}.
"""

from __future__ import annotations

import itertools
import struct
from collections import Counter
from functools import partial
from typing import Iterator

from tests.support.guesthostile import floodOfSYNs
from tests.support.l2 import (
    ARP_REQUEST,
    FRAME,
    GATEWAY_IP,
    GUEST_IP,
    PROTOCOL,
    checksum,
    dhcp,
    echo,
    ethernet,
    ipv4,
    message,
    udp,
)

from .answers import WebSocketAnswers
from .flood import Attack, Flood
from .mux import over
from .site import Site
from .tunnel import Pieces, attack, masked

#: The address behind which the forwards are, and the ports of the echo and of the target that
#: sends without end.
REMOTE = bytes((203, 0, 113, 10))
ECHO, SPEW = 7, 19

SYN, ACK = 2, 16

#: Connections of the guest that takes all it can get.
GREEDY = 1_020

#: Names a second.
NAMES = 1_400


def cable(frame: bytes) -> bytes:
    """
    A WebSocket message with one Ethernet frame.
    """
    return masked(message(FRAME, frame))


def segment(port: int, to: int, sequence: int, acknowledgment: int, flags: int) -> bytes:
    """
    An Ethernet frame with a TCP segment of the guest, without data.
    """
    bare = struct.pack("!HHIIBBHHH", port, to, sequence, acknowledgment, 0x50, flags, 65_535, 0, 0)
    pseudo = GUEST_IP + REMOTE + struct.pack("!BBH", 0, 6, len(bare))
    whole = bare[:16] + struct.pack("!H", checksum(pseudo + bare)) + bare[18:]
    return ethernet(ipv4(6, whole, REMOTE))


def question(name: str, number: int) -> bytes:
    """
    An Ethernet frame with a DNS query for the address of a name.
    """
    labels = b"".join(bytes((len(part),)) + part.encode() for part in name.split("."))
    query = struct.pack("!HHHHHH", number & 0xFFFF, 0x0100, 1, 0, 0, 0)
    query += labels + b"\0" + struct.pack("!HH", 1, 1)
    return udp(GATEWAY_IP, 53, query, 20_000 + number % 40_000)


def greedy(answers: WebSocketAnswers) -> Iterator[bytes]:
    """
    Connections to a target that sends without end, of which nothing is ever acknowledged.
    """
    answers.messageReceived = lambda payload: _establish(answers, payload[4:])
    for first in range(0, GREEDY, 20):
        yield b"".join(
            cable(segment(10_000 + number, SPEW, 1, 0, SYN)) for number in range(first, first + 20)
        )


def _establish(answers: WebSocketAnswers, frame: bytes) -> None:
    """
    Answer a SYN of the server, and nothing else.
    """
    if frame[12:14] != b"\x08\x00" or frame[23] != 6 or frame[47] & (SYN | ACK) != SYN | ACK:
        return
    port = int.from_bytes(frame[36:38], "big")
    sequence = int.from_bytes(frame[38:42], "big") + 1 & 0xFFFFFFFF
    answers.reply(cable(segment(port, SPEW, 2, sequence, ACK)))


def names(answers: WebSocketAnswers) -> Iterator[bytes]:
    """
    Names that nobody has asked for before, a hundredth of a second's at a time.
    """
    each = NAMES // 100
    for first in itertools.count(0, each):
        yield b"".join(
            cable(question(f"n{number}.flood.test", number))
            for number in range(first, first + each)
        )


def idle(answers: WebSocketAnswers) -> Iterator[bytes]:
    """
    A guest that gets an address and is quiet then.
    """
    yield cable(dhcp(1)) + cable(ARP_REQUEST)


def tunnels(site: Site, deadline: float, tally: Counter[str]) -> None:
    """
    As many tunnels as there are to get.
    """
    attack(site, deadline, tally, target="/l2", pieces=idle, count=200, protocol=PROTOCOL)


def _flood(pieces: Pieces, pace: float = 0.0, *, comeBack: bool = True) -> Attack:
    return partial(
        attack, target="/l2", pieces=pieces, protocol=PROTOCOL, pace=pace, comeBack=comeBack
    )


_ARP = over(cable(ARP_REQUEST) * 300)
_DHCP = over(cable(dhcp(1)) * 50)
_PING = over(cable(echo(GATEWAY_IP, bytes(32))) * 200)
_SYN = over(b"".join(map(cable, itertools.islice(floodOfSYNs(), 300))))

FLOODS = (
    Flood(
        "guest-greedy",
        "/l2: 1,020 connections to a target that sends without end, nothing acknowledged",
        _flood(greedy, 0.1),
        hasGuest=True,
    ),
    Flood("guest-tunnels", "/l2: 200 tunnels", tunnels, hasGuest=True),
    Flood("guest-dns", "/l2: 1,400 new names a second", _flood(names, 0.01), hasGuest=True),
    Flood("guest-arp", "/l2: ARP", _flood(_ARP), hasGuest=True),
    Flood("guest-dhcp", "/l2: DHCP", _flood(_DHCP), hasGuest=True),
    Flood("guest-ping", "/l2: pings", _flood(_PING), hasGuest=True),
    Flood("guest-syn", "/l2: SYNs from everywhere", _flood(_SYN), hasGuest=True),
)
