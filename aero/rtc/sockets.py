# -*- test-case-name: aero.rtc.test.test_ice -*-
"""
The UDP sockets of ICE.

asyncio's datagram transport calls back once for each datagram and keeps what the kernel does not
take in a buffer without bound. Here a readable socket is emptied in batches, data goes to the
connection without being tried as STUN first, and a full socket drops, as UDP may: the layers
above send again what matters.
"""

from __future__ import annotations

import asyncio
import random
import socket
from typing import Any, Callable, Sequence

from aioice import stun
from aioice.ice import StunProtocol

from aero.net.turns import Turn

#: Datagrams read in one turn of the reactor.
BATCH = 64
#: Bytes of one datagram; whatever is longer is cut, and then fails its checksum.
MAX_DATAGRAM = 2_048
#: Bytes that the kernel holds for us in either direction.
KERNEL_BUFFER = 1_048_576
#: What takes more than C{net.core.rmem_max}, where this process may (linux/socket.h).
_SNDBUFFORCE, _RCVBUFFORCE = 32, 33
#: Ports tried before an address is left out.
MAX_ATTEMPTS = 256

#: What a STUN message begins with (RFC 7983 section 7).
_LAST_STUN = 3


class CheckingProtocol(StunProtocol):
    """
    Sends the connectivity checks that the connection allows. Other requests, such as those to the
    operator's STUN server, carry no C{USERNAME} and are always sent.
    """

    receiver: Any

    def send_stun(self, message: stun.Message, addr: tuple[str, int]) -> None:
        """
        Send a message, or leave a check out: it counts as lost.
        """
        isCheck = message.message_class == stun.Class.REQUEST and "USERNAME" in message.attributes
        if not isCheck or self.receiver.checks.allowsCheck((addr[0], addr[1])):
            super().send_stun(message, addr)

    async def request(
        self,
        request: stun.Message,
        addr: tuple[str, int],
        integrity_key: bytes | None = None,
        retransmissions: int | None = None,
    ) -> tuple[stun.Message, tuple[str, int]]:
        """
        Send a request and wait for the answer.
        """
        answer = await super().request(request, addr, integrity_key, retransmissions)
        if integrity_key is not None:
            self.receiver.checks.answerReceived((addr[0], addr[1]))
        return answer


class IceSocket(CheckingProtocol):
    """
    One UDP socket on one local address: for aioice its protocol and its transport.

    @ivar dropped: Datagrams that the kernel had no room for.
    """

    transport: Any

    def __init__(self, receiver: Any, sock: socket.socket, turn: Turn | None = None) -> None:
        """
        @param turn: The turns of the client; what it sends meanwhile waits in the system.
        """
        super().__init__(receiver)
        self._turn = turn
        self.dropped = 0
        self.transport = self
        self._socket = sock
        self._loop = asyncio.get_event_loop()
        self._isOpen = True
        self._loop.add_reader(sock.fileno(), self._readable)

    @property
    def address(self) -> tuple[str, int]:
        """
        The local address and port.
        """
        host, port = self._socket.getsockname()[:2]
        return host, port

    def sendto(self, data: bytes, address: tuple[str, int]) -> None:
        """
        Send one datagram, or drop it.
        """
        try:
            self._socket.sendto(data, address)
        except OSError:
            self.dropped += 1

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """
        What aioice asks a transport for.
        """
        return self.address if name == "sockname" else default

    async def close(self) -> None:
        """
        Close the socket.
        """
        if self._isOpen:
            self._isOpen = False
            if self._turn is not None:
                self._turn.cancel()
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self.connection_lost(None)

    def _readable(self) -> None:
        turn = self._turn
        if turn is None:
            self._read()
        elif turn.left() > 0.0:
            turn.run(self._read, 1)
        else:
            self._loop.remove_reader(self._socket.fileno())
            turn.wait(self._turnCame)

    def _turnCame(self) -> None:
        self._loop.add_reader(self._socket.fileno(), self._readable)
        self._readable()

    def _read(self) -> bool:
        """
        Empty the socket, so far.

        @return: False: the reactor says when there is more.
        """
        receive, receiver = self._socket.recvfrom, self.receiver
        for _ in range(BATCH):
            try:
                data, address = receive(MAX_DATAGRAM)
            except OSError:
                return False
            if not data:
                continue
            if data[0] > _LAST_STUN:
                receiver.datagramReceived(data, address[:2])
            else:
                receiver.stunReceived(self, data, address[:2])
            if not self._isOpen:
                return False
        return False


def bindSocket(
    address: str,
    ports: tuple[int, int] | None,
    *,
    choose: Callable[[Sequence[int], int], list[int]] = random.sample,
    open: Callable[[int, int], socket.socket] = socket.socket,
) -> socket.socket | None:
    """
    Bind a UDP socket.

    @param ports: The lowest and the highest port, or C{None} for any.
    @param choose: Draws some of a range, like C{random.sample}.
    @param open: Makes a socket of a family and a kind.
    @return: C{None} where nothing could be bound.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    candidates: Sequence[int] = [0]
    if ports is not None:
        all_ = range(ports[0], ports[1] + 1)
        candidates = choose(all_, min(len(all_), MAX_ATTEMPTS))
    try:
        sock = open(family, socket.SOCK_DGRAM)
    except OSError:
        return None
    sock.setblocking(False)
    for option, forced in ((socket.SO_RCVBUF, _RCVBUFFORCE), (socket.SO_SNDBUF, _SNDBUFFORCE)):
        try:
            sock.setsockopt(socket.SOL_SOCKET, forced, KERNEL_BUFFER)
        except OSError:
            # As much as C{net.core.rmem_max} lets processes without the right to more have.
            sock.setsockopt(socket.SOL_SOCKET, option, KERNEL_BUFFER)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    for port in candidates:
        try:
            sock.bind((address, port))
        except OSError:
            continue
        return sock
    sock.close()
    return None
