# -*- test-case-name: tests.test_fuzz -*-
"""
Headers of Ethernet, ARP, IPv4, ICMP, UDP and TCP, each read from the same bytes, and the Internet
checksum; the first eight bytes are addresses and ports for what is made.
"""

from __future__ import annotations

from aero.wire import arp, ethernet, icmpv4, ipv4, tcp, udp
from aero.wire.checksum import checksum, onesSum, pseudoHeader

from .explore import main

#: More than this is not summed word by word.
_MOST = 3_000


# Each reader says what is wrong or reads what is there, as the plainest reading of its RFC does.
# What is made of the same fields verifies, and reads as the same.
def check(data: bytes) -> None:
    whole = data[8 : 8 + _MOST]
    first, second = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:8], "big")
    _checkSums(whole, first)
    _checkEthernet(whole)
    _checkIPv4(whole, first, second)
    _checkTransport(whole, first, second)
    _checkOptions(whole[:40])


def _plainSum(data: bytes, initial: int) -> int:
    total = initial
    for place in range(0, len(data), 2):
        total += data[place] << 8 | (data[place + 1] if place + 1 < len(data) else 0)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def _checkSums(data: bytes, initial: int) -> None:
    assert onesSum(data, initial) == _plainSum(data, initial)
    assert checksum(data) == 0xFFFF - _plainSum(data, 0)


def _checkEthernet(frame: bytes) -> None:
    if len(frame) >= ethernet.HEADER:
        assert ethernet.isGroup(frame[:6]) == bool(frame[0] % 2)
        assert bytes.fromhex(ethernet.macText(frame[:6]).replace(":", "")) == frame[:6]
    packet = arp.parse(frame)
    right = frame[:6] == b"\0\x01\x08\0\x06\x04" and len(frame) >= 28
    assert (packet is not None) == right
    if packet is not None:
        assert packet.encode() == frame[:28]


def _checkIPv4(packet: bytes, source: int, destination: int) -> None:
    size = len(packet)
    length = (packet[0] & 15) * 4 if packet else 0
    total = int.from_bytes(packet[2:4], "big")
    for offset in (0, 3):
        assert ipv4.verify(bytes(offset) + packet, offset) == (
            "short"
            if size < 20
            else "version"
            if packet[0] >> 4 != 4
            else "length"
            if length < 20 or total < length or total > size
            else "checksum"
            if _plainSum(packet[:length], 0) != 0xFFFF
            else ""
        )
    if size >= 60:
        ipv4.routesItself(packet)
    made = ipv4.buildHeader(
        source, destination, source & 255, size, destination & 0xFFFF, source >> 16, source >> 24
    )
    assert ipv4.verify(made + packet, 0) == ""
    assert not ipv4.routesItself(made)
    assert int.from_bytes(made[12:16], "big") == source
    assert ipv4.addressNumber(ipv4.addressText(destination)) == destination


def _checkTransport(data: bytes, source: int, destination: int) -> None:
    end = len(data)
    pseudo = pseudoHeader(source, destination, 6, 0)
    for found in (
        icmpv4.verify(data, 0, end),
        udp.verify(data, 0, end, source, destination),
        tcp.verify(data, 0, end, pseudo),
    ):
        assert found in ("", "short", "length", "checksum")
    assert icmpv4.quote(data, 0, end) == data[:548]
    message = icmpv4.build(source & 255, destination & 255, destination, data)
    assert icmpv4.verify(message, 0, len(message)) == ""
    ports = source & 0xFFFF, destination & 0xFFFF
    datagram = udp.build(source, ports[0], destination, ports[1], data)
    assert datagram[6:8] != b"\0\0"
    # Padding behind a datagram is not part of it.
    assert udp.verify(datagram + b"x", 0, len(datagram) + 1, source, destination) == ""
    options = data[: end // 4 * 4][:40]
    segment = tcp.build(*ports, source, destination, 0x1FF, ports[1], pseudo, options, data)
    assert tcp.verify(segment, 0, len(segment), pseudo) == ""
    assert (segment[12] >> 4) * 4 == 20 + len(options)
    assert segment[20 + len(options) :] == data
    # One bit elsewhere is found, whatever it was.
    place = source % len(segment)
    if place != 12:
        changed = bytearray(segment)
        changed[place] ^= 1 << (destination & 7)
        assert tcp.verify(bytes(changed), 0, len(changed), pseudo) == "checksum"


def _checkOptions(data: bytes) -> None:
    options = tcp.parseOptions(data, 0, len(data))
    assert options.shift is None or options.shift <= tcp.MAX_SHIFT
    made = tcp.buildOptions(options)
    assert len(made) % 4 == 0
    assert tcp.parseOptions(made, 0, len(made)) == options


if __name__ == "__main__":
    main(check)
