"""
The transcript of the reference's stack (C{l2-golden-frames.txt}), and frames in words.

Two frames that say the same to a guest have the same words. Left out are the number of a packet,
initial sequence numbers, and windows and options of TCP. Checksums are not left out: they have to
be right, by the reckoning of scapy, which reads the frames too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Iterable, Mapping, NamedTuple

from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dns import DNS
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from aero.testing.vectors import loadText

GUEST, GATEWAY = "10.0.2.15", "10.0.2.2"
MACS = {
    "02:aa:bb:cc:dd:ee": "guest",
    "02:00:00:00:00:01": "gateway",
    "ff:ff:ff:ff:ff:ff": "all",
}

#: What the first connection of nearly every scene begins with in the transcript.
REFERENCE_ISN = 1_000_003

#: The end of a TCP connection, as a guest names it: address, port, the guest's port.
Key = tuple[str, int, int]

#: What host actions are called in the transcript, and here.
_HOST = (
    (r'resolve name "(.*)" \(request \d+\)', r"resolve \1"),
    (r"dial TCP (\S+) \(connection \d+\)", r"dial \1"),
    (r"write to connection \d+: (\w+)", r"write \1"),
    (r"close connection \d+", r"close"),
    (r"UDP send guest port \d+ -> (\S+) data (\w+)", r"datagram \1 \2"),
)


class Situation(NamedTuple):
    """
    One situation of the transcript.

    @ivar received: Frames of the guest.
    @ivar sent: Frames to it.
    @ivar host: What the host side is asked for.
    """

    title: str
    received: list[bytes]
    sent: list[bytes]
    host: list[str]


@dataclass
class Segment:
    """
    A TCP segment, or some that follow each other, in words.

    @ivar sequence: Where the first begins, and whether that is counted from the ISN.
    """

    head: str
    flags: str
    sequence: tuple[bool, int]
    acknowledgment: int
    data: bytes

    def __str__(self) -> str:
        counted, number = self.sequence
        words = [self.head, self.flags, f"{number:+}" if counted else str(number)]
        if "A" in self.flags:
            words.append(str(self.acknowledgment))
        if self.data:
            words.append(_data(self.data))
        return " ".join(words)

    def follows(self, earlier: Segment) -> bool:
        """
        Whether this goes on with the data of an earlier one.
        """
        return bool(
            self.data
            and earlier.data
            and (self.head, self.acknowledgment) == (earlier.head, earlier.acknowledgment)
            and self.sequence[1] == earlier.sequence[1] + len(earlier.data)
            and "F" not in earlier.flags
        )


def inWords(frames: Iterable[bytes], bases: dict[Key, int]) -> list[str]:
    """
    Frames of the transcript in words.

    @param bases: What is known of connections; what their SYN+ACKs tell is added.
    """
    made = []
    for frame in frames:
        packet = Ether(frame)
        if TCP in packet:
            known = packet[TCP].seq if str(packet[TCP].flags) == "SA" else REFERENCE_ISN
            bases.setdefault(keyOf(packet), known)
        made.append(described(frame, bases))
    return joined(made)


def transcript() -> dict[str, Situation]:
    """
    Every situation, by its title, in order.

    @raise SkipTest: The vectors are not here.
    """
    situations: dict[str, Situation] = {}
    for line in loadText("l2-golden-frames.txt").splitlines():
        if line.startswith("## "):
            current = Situation(line[3:], [], [], [])
            assert current.title not in situations, current.title
            situations[current.title] = current
        elif line.startswith("in  ("):
            current.received.append(_frame(line))
        elif line.startswith("out ("):
            current.sent.append(_frame(line))
        elif line.startswith("host action: "):
            current.host.append(_hostAction(line.removeprefix("host action: ")))
    return situations


def _frame(line: str) -> bytes:
    """
    The frame of a line. A very long one is not printed to its end, which repeats its last byte;
    its checksum tells whether that is so.
    """
    size, text = re.fullmatch(r"(?:in |out) \((\d+)\): (\w+)(?:\.\.\.)?", line).groups()  # type: ignore[union-attr]
    frame = bytes.fromhex(text[: len(text) // 2 * 2])
    frame = frame.ljust(int(size), frame[-1:])
    assert len(frame) == int(size), line
    return frame


def _hostAction(text: str) -> str:
    for pattern, words in _HOST:
        if found := re.fullmatch(pattern, text):
            return found.expand(words)
    raise AssertionError(f"unknown host action: {text}")


def decoded(frame: bytes) -> Any:
    """
    A frame as scapy reads it.

    @raise AssertionError: A checksum or a length is wrong.
    """
    again = Ether(frame)
    for layer in (IP, UDP, TCP, ICMP):
        if layer in again:
            del again[layer].chksum
    assert bytes(again) == frame, f"a wrong checksum: {frame.hex()}, not {bytes(again).hex()}"
    packet = Ether(frame)
    if IP in packet:
        assert packet[IP].len == len(frame) - 14, frame.hex()
        assert UDP not in packet or packet[UDP].len == packet[IP].len - 20, frame.hex()
    return packet


def described(frame: bytes, bases: Mapping[Key, int]) -> Segment | str:
    """
    A frame in words. What is as in every frame to the guest is not said.

    @param bases: The first sequence number of connections.
    """
    packet = decoded(frame)
    words = []
    for word, mac, usual in (("to", packet.dst, "guest"), ("from", packet.src, "gateway")):
        if MACS.get(mac) != usual:
            words.append(f"{word} {MACS.get(mac, mac)}")
    if ARP in packet:
        return " ".join([*words, _arp(packet[ARP])])
    ip = packet[IP]
    for word, value, common in (
        ("to", ip.dst, GUEST),
        ("ttl", ip.ttl, 64),
        ("flags", str(ip.flags), "DF"),
        ("offset", ip.frag, 0),
        ("tos", ip.tos, 0),
        ("ihl", ip.ihl, 5),
    ):
        if value != common:
            words.append(f"{word} {value}")
    if TCP in packet:
        return _tcp(packet, words, bases)
    if ICMP in packet:
        words.append(_icmp(ip))
    elif BOOTP in packet:
        words.append(_dhcp(packet))
    elif DNS in packet:
        words.append(f"dns {ip.src} {packet[UDP].dport} {_dns(packet[DNS])}")
    elif UDP in packet:
        udp = packet[UDP]
        words.append(f"udp {ip.src}:{udp.sport}>{udp.dport} {_data(bytes(udp.payload))}")
    else:
        words.append(f"protocol {ip.proto} {_data(bytes(ip.payload))}")
    return " ".join(words)


def joined(frames: Iterable[Segment | str]) -> list[str]:
    """
    Frames in words, those of one stretch of data in one.
    """
    made: list[Segment | str] = []
    for each in frames:
        last = made[-1] if made else None
        if isinstance(each, Segment) and isinstance(last, Segment) and each.follows(last):
            flags = "".join(flag for flag in "FSRPA" if flag in each.flags + last.flags)
            made[-1] = Segment(
                last.head, flags, last.sequence, last.acknowledgment, last.data + each.data
            )
        else:
            made.append(each)
    return [str(each) for each in made]


def aged(line: str, least: float, most: float) -> str:
    """
    An answer with the TTL that is left of 60 s, without it if that is right.

    @param least: The seconds that have passed, at least and at most.
    """
    found = re.search(r" ttl (\d+) ", line)
    if found and 60 - most - 1 <= int(found[1]) <= 60 - int(least):
        return line.replace(found[0], " what is left of 60 s ")
    return line


def keyOf(packet: Packet) -> Key:
    """
    The connection of a segment to the guest.
    """
    return packet[IP].src, packet[TCP].sport, packet[TCP].dport


def _data(data: bytes) -> str:
    if len(data) > 32 and data == data[:1] * len(data):
        return f"{data[:1].hex()}*{len(data)}"
    return data.hex()


def _arp(arp: Any) -> str:
    return (
        f"arp {arp.hwtype:x} {arp.ptype:x} {arp.hwlen} {arp.plen} {arp.op}"
        f" {arp.psrc} is {MACS.get(arp.hwsrc, arp.hwsrc)} for {arp.pdst} {MACS.get(arp.hwdst)}"
    )


def _tcp(packet: Any, words: list[str], bases: Mapping[Key, int]) -> Segment:
    tcp = packet[TCP]
    if tcp.reserved or tcp.urgptr:
        words.append(f"odd {tcp.reserved} {tcp.urgptr}")
    words.append(f"tcp {packet[IP].src}:{tcp.sport}>{tcp.dport}")
    key = keyOf(packet)
    counted = key in bases and not (tcp.seq == 0 and "R" in str(tcp.flags))
    sequence = (counted, tcp.seq - bases[key] if counted else tcp.seq)
    data = bytes(tcp.payload)
    return Segment(" ".join(words), str(tcp.flags), sequence, tcp.ack, data)


def _icmp(ip: Any) -> str:
    icmp = ip[ICMP]
    head = f"icmp {ip.src} {icmp.type}/{icmp.code}"
    message = bytes(icmp)
    if icmp.type in (0, 8):
        return f"{head} {icmp.id:04x} {icmp.seq} {message[8:].hex()}"
    quoted = IP(message[8:])
    ends = quoted[TCP] if TCP in quoted else quoted[UDP]
    return (
        f"{head} {message[4:8].hex()} of {quoted.proto}"
        f" {quoted.src}:{ends.sport}>{quoted.dst}:{ends.dport}"
    )


def _dhcp(packet: Any) -> str:
    bootp = packet[BOOTP]
    words = [f"dhcp {packet[IP].src}:{packet[UDP].sport}>{packet[UDP].dport}"]
    words.append(f"{bootp.op} {bootp.xid:x} {bootp.flags} {bootp.yiaddr} {bootp.siaddr}")
    assert (bootp.htype, bootp.hlen, bootp.chaddr[6:]) == (1, 6, bytes(10)), packet
    words.append(MACS.get(":".join(f"{byte:02x}" for byte in bootp.chaddr[:6]), "stranger"))
    for name in ("hops", "secs", "ciaddr", "giaddr", "sname", "file"):
        value = getattr(bootp, name)
        if value not in (0, "0.0.0.0", bytes(64), bytes(128)):
            words.append(f"{name} {value}")
    for option in packet[DHCP].options:
        if option not in ("end", "pad"):
            words.append(f"{option[0]}={','.join(map(str, option[1:]))}")
    return " ".join(words)


def _dns(message: Any) -> str:
    words = [f"{message.id:04x} {bytes(message)[2:4].hex()}"]
    words += [f"{_name(each.qname)} {each.qtype} {each.qclass}" for each in message.qd]
    assert len(message.qd) == message.qdcount, message
    for section in ("an", "ns", "ar"):
        records = getattr(message, section)
        assert len(records) == getattr(message, f"{section}count"), message
        for each in records:
            if each.type == 41:
                words.append(f"{section} EDNS {each.version} {each.extrcode}")
            else:
                words.append(
                    f"{section} {_name(each.rrname)} {each.type} {each.rclass} ttl {each.ttl}"
                    f" {each.rdata}"
                )
    return " ".join(words)


def _name(name: bytes) -> str:
    return name.decode()
