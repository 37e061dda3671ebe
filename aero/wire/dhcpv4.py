# -*- test-case-name: aero.wire.test.test_dhcpv4 -*-
"""
DHCP messages (RFC 2131) and the options that a small server speaks (RFC 2132).

Two things about options are easily forgotten. They may go on in the fields for the boot file
and the server's name (option 52, RFC 2132 section 9.3), and one that is longer than 255 bytes
comes in several parts that belong together (RFC 3396). Both are read and written here.

A message without a message type is one of BOOTP (RFC 951, RFC 1534 section 2), which may lack the
magic cookie and with it all options.
"""

from __future__ import annotations

import struct
from typing import Final, Iterable, Mapping, NamedTuple

from aero.errors import DecodeError

from .dns import encodeName

BOOTREQUEST: Final = 1
BOOTREPLY: Final = 2

# Message types (RFC 2132 section 9.6); 0 stands for none.
BOOTP: Final = 0
DISCOVER: Final = 1
OFFER: Final = 2
REQUEST: Final = 3
DECLINE: Final = 4
ACK: Final = 5
NAK: Final = 6
RELEASE: Final = 7
INFORM: Final = 8

#: Their names, for logs and metrics.
NAMES: Final = {
    BOOTP: "bootp",
    DISCOVER: "discover",
    OFFER: "offer",
    REQUEST: "request",
    DECLINE: "decline",
    ACK: "ack",
    NAK: "nak",
    RELEASE: "release",
    INFORM: "inform",
}

# Options.
PAD: Final = 0
SUBNET_MASK: Final = 1
ROUTER: Final = 3
DNS_SERVERS: Final = 6
HOST_NAME: Final = 12
DOMAIN_NAME: Final = 15
INTERFACE_MTU: Final = 26
BROADCAST_ADDRESS: Final = 28
NTP_SERVERS: Final = 42
REQUESTED_ADDRESS: Final = 50
LEASE_TIME: Final = 51
OVERLOAD: Final = 52
MESSAGE_TYPE: Final = 53
SERVER_IDENTIFIER: Final = 54
PARAMETER_LIST: Final = 55
MESSAGE: Final = 56
MAX_MESSAGE_SIZE: Final = 57
RENEWAL_TIME: Final = 58
REBINDING_TIME: Final = 59
CLIENT_IDENTIFIER: Final = 61
DOMAIN_SEARCH: Final = 119
CLASSLESS_ROUTES: Final = 121
END: Final = 255

#: The flag of a client that cannot take unicast before it has an address.
BROADCAST: Final = 0x8000

#: Bytes before the options, the magic cookie included.
FIXED: Final = 240
#: The shortest message, because BOOTP's has 300 bytes (RFC 1542 section 2.1).
MIN_SIZE: Final = 300
#: What every client takes: the least datagram (RFC 2131 section 2), less IP and UDP headers.
DEFAULT_SIZE: Final = 576 - 28

#: Bytes of the options of a BOOTP message, after the magic cookie.
_VENDOR: Final = MIN_SIZE - FIXED

_COOKIE: Final = b"\x63\x82\x53\x63"
_HEAD: Final = struct.Struct("!4BIHHIIII")
_SNAME: Final = slice(44, 108)
_FILE: Final = slice(108, 236)


class Message(NamedTuple):
    """
    One message.

    @ivar op: L{BOOTREQUEST} or L{BOOTREPLY}.
    @ivar hardwareAddress: The client's MAC address, 6 bytes.
    @ivar options: Values by code, parts joined. C{OVERLOAD} and padding are not among them.
    @ivar cookie: Whether the message has the magic cookie, without which it has no options.
    @ivar serverName: The name of the server that a BOOTP client asks; empty for any.
    """

    op: int
    xid: int
    secs: int
    flags: int
    ciaddr: int
    yiaddr: int
    siaddr: int
    giaddr: int
    hardwareAddress: bytes
    options: Mapping[int, bytes]
    cookie: bool = True
    serverName: bytes = b""

    @property
    def kind(self) -> int:
        """
        The message type; L{BOOTP} where there is none.
        """
        return self.options.get(MESSAGE_TYPE, b"\0")[0]

    def address(self, code: int) -> int | None:
        """
        An option that is one address; C{None} where it is missing or no address.
        """
        value = self.options.get(code, b"")
        return int.from_bytes(value, "big") if len(value) == 4 else None

    def number(self, code: int) -> int | None:
        """
        An option that is an unsigned number of 2 or 4 bytes.
        """
        value = self.options.get(code, b"")
        return int.from_bytes(value, "big") if len(value) in (2, 4) else None


def parse(data: bytes) -> Message:
    """
    Read a message between Ethernet stations.

    @raise DecodeError: It is too short, not for Ethernet, has an unknown message type, or an option
        runs off its field.
    """
    if len(data) < FIXED:
        raise DecodeError("a DHCP message is shorter than its fixed part")
    op, htype, hlen, _, xid, secs, flags, ciaddr, yiaddr, siaddr, giaddr = _HEAD.unpack_from(data)
    if op not in (BOOTREQUEST, BOOTREPLY):
        raise DecodeError("a DHCP message is a request or a reply")
    if htype != 1 or hlen != 6:
        raise DecodeError("the hardware address is not one of Ethernet")
    cookie = data[236:240] == _COOKIE
    parts: dict[int, list[bytes]] = {}
    if cookie:
        _readOptions(data[FIXED:], parts)
    overload = b"".join(parts.pop(OVERLOAD, []))
    if overload:
        if len(overload) != 1 or not 1 <= overload[0] <= 3:
            raise DecodeError("the overload option is malformed")
        if overload[0] & 1:
            _readOptions(data[_FILE], parts)
        if overload[0] & 2:
            _readOptions(data[_SNAME], parts)
        parts.pop(OVERLOAD, None)
    options = {code: b"".join(values) for code, values in parts.items()}
    kind = options.get(MESSAGE_TYPE)
    serverName = b""
    if kind is None:
        if len(data) < MIN_SIZE:
            raise DecodeError("a message without a type is shorter than those of BOOTP")
        serverName = bytes(data[_SNAME]).partition(b"\0")[0]
    elif len(kind) != 1 or not DISCOVER <= kind[0] <= INFORM:
        raise DecodeError("the message type is unknown")
    return Message(
        op,
        xid,
        secs,
        flags,
        ciaddr,
        yiaddr,
        siaddr,
        giaddr,
        bytes(data[28:34]),
        options,
        cookie,
        serverName,
    )


def _readOptions(field: bytes, found: dict[int, list[bytes]]) -> None:
    """
    Read the options of one field; those that were there before go on (RFC 3396 section 5).
    """
    offset = 0
    size = len(field)
    while offset < size:
        code = field[offset]
        offset += 1
        if code == PAD:
            continue
        if code == END:
            return
        if offset >= size or offset + 1 + field[offset] > size:
            raise DecodeError("an option runs off its field")
        end = offset + 1 + field[offset]
        found.setdefault(code, []).append(bytes(field[offset + 1 : end]))
        offset = end


def build(message: Message, maxSize: int = DEFAULT_SIZE) -> bytes:
    """
    Make a message.

    Options are written in their order. What does not fit goes to the fields for the boot file
    and the server's name, and what does not fit there either is left out, so that the
    important ones come first.

    @param maxSize: Bytes that the receiver takes.
    """
    encoded = [_encode(code, value) for code, value in message.options.items()]
    room = max(maxSize, MIN_SIZE) - FIXED - 1
    sname, file, overload = b"", b"", 0
    if sum(map(len, encoded)) > room:
        main, rest = _fill(encoded, room - 3)
        file, rest = _fill(rest, 128 - 1)
        sname, _ = _fill(rest, 64 - 1)
        overload = (1 if file else 0) | (2 if sname else 0)
    else:
        main = b"".join(encoded)
    if overload:
        main += bytes((OVERLOAD, 1, overload))
        file += b"\xff" if file else b""
        sname += b"\xff" if sname else b""
    fields = sname.ljust(64, b"\0") + file.ljust(128, b"\0")
    return (_start(message) + fields + _COOKIE + main + b"\xff").ljust(MIN_SIZE, b"\0")


def buildBOOTP(message: Message) -> bytes:
    """
    Make a message of BOOTP, which has always L{MIN_SIZE} bytes.

    With the magic cookie the options follow that have room, in their order; without it there are
    none (RFC 1533 section 2).
    """
    vendor = b""
    if message.cookie:
        encoded = [_encode(code, value) for code, value in message.options.items()]
        vendor = _COOKIE + _fill(encoded, _VENDOR - 1)[0] + b"\xff"
    return (_start(message) + bytes(64 + 128) + vendor).ljust(MIN_SIZE, b"\0")


def _start(message: Message) -> bytes:
    """
    The fields before the server's name.
    """
    head = _HEAD.pack(
        message.op,
        1,
        6,
        0,
        message.xid,
        message.secs,
        message.flags,
        message.ciaddr,
        message.yiaddr,
        message.siaddr,
        message.giaddr,
    )
    return head + message.hardwareAddress.ljust(16, b"\0")


def _encode(code: int, value: bytes) -> bytes:
    """
    One option, in as many parts as it takes; an empty one has one.
    """
    parts = [value[at : at + 255] for at in range(0, len(value), 255)] or [b""]
    return b"".join(bytes((code, len(part))) + part for part in parts)


def _fill(options: list[bytes], room: int) -> tuple[bytes, list[bytes]]:
    """
    Take the options that fit.

    @return: Them, and the others.
    """
    taken: list[bytes] = []
    left: list[bytes] = []
    for option in options:
        if len(option) <= room:
            taken.append(option)
            room -= len(option)
        else:
            left.append(option)
    return b"".join(taken), left


def addresses(values: Iterable[int]) -> bytes:
    """
    The value of an option that is a list of addresses.
    """
    return b"".join(value.to_bytes(4, "big") for value in values)


def routes(values: Iterable[tuple[int, int, int]]) -> bytes:
    """
    The value of option 121: network, prefix length, router (RFC 3442). Of the network only
    the bytes that the prefix reaches into are written.
    """
    made = []
    for network, prefix, router in values:
        significant = (prefix + 7) // 8
        made.append(
            bytes((prefix,)) + network.to_bytes(4, "big")[:significant] + router.to_bytes(4, "big")
        )
    return b"".join(made)


def searchList(domains: Iterable[str]) -> bytes:
    """
    The value of option 119: names in wire form (RFC 3397 section 2), with pointers to the
    ends that they share (RFC 1035 section 4.1.4).

    @raise DecodeError: One is no name.
    """
    made = bytearray()
    known: dict[tuple[bytes, ...], int] = {}
    for domain in domains:
        labels = [label.encode("ascii") for label in domain.strip(".").split(".")]
        encodeName(labels)
        for index in range(len(labels)):
            tail = tuple(labels[index:])
            at = known.get(tail)
            if at is not None:
                made += (0xC000 | at).to_bytes(2, "big")
                break
            if len(made) < 0x4000:
                known[tail] = len(made)
            made += bytes((len(labels[index]),)) + labels[index]
        else:
            made.append(0)
    return bytes(made)
