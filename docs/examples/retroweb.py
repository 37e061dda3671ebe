"""
Tunnels that know a guest from 1995: its browser sends no C{Host} header, without which today's
web servers cannot tell which site is meant, and cannot speak today's TLS at all::

    PYTHONPATH=docs/examples twistd -n aero --app retroweb.Server
"""

from __future__ import annotations

from twisted.logger import Logger

from aero.app import Aero
from aero.errors import Refused
from aero.net.dialer import ApprovedTarget
from aero.ws.protocol import Closed
from aero.ws.tcp import TCPTunnelProtocol

#: The longest head of a request that is looked at.
MAX_HEAD = 8_192


class RetroTunnel(TCPTunnelProtocol):
    """
    A tunnel that names the site in the first request, where the guest did not.
    """

    log = Logger()

    def __init__(self) -> None:
        super().__init__()
        self.head: bytes | None = b""  # of the first request, while it is not complete
        self.sent = self.received = 0

    def connectionRequested(self, target: ApprovedTarget) -> None:
        if target.port == 443:
            raise Refused(403, "forbidden", "This guest does not speak TLS 1.2; use port 80")

    def clientDataReceived(self, data: bytes) -> None:
        self.sent += len(data)
        if self.head is None:
            self.sendToTarget(data)
            return
        self.head += data
        if b"\r\n\r\n" in self.head or len(self.head) > MAX_HEAD or not isRequest(self.head):
            self.releaseHead()

    def targetDataReceived(self, data: bytes) -> None:
        self.received += len(data)
        self.sendToClient(data)

    def peerClosed(self) -> None:
        self.releaseHead()  # what is held back comes before the end of the stream
        super().peerClosed()

    def sessionClosed(self, reason: Closed) -> None:
        self.log.info(
            "{target}: {sent} bytes sent, {received} received",
            target=self.target,
            sent=self.sent,
            received=self.received,
        )

    def releaseHead(self) -> None:
        """
        Send what was held back, and everything after it as it comes.
        """
        if self.head:
            self.sendToTarget(withHost(self.head, str(self.target).removesuffix(":80")))
        self.head = None


def isRequest(head: bytes) -> bool:
    """
    Whether this begins an HTTP request, as far as it goes.
    """
    return any(head[:5].startswith(method[: len(head)]) for method in (b"GET ", b"HEAD ", b"POST "))


def withHost(head: bytes, site: str) -> bytes:
    """
    Add a C{Host} header to a request that has none.
    """
    lines, end, body = head.partition(b"\r\n\r\n")
    first, *rest = lines.split(b"\r\n")
    if not end or not isRequest(head) or b" HTTP/1." not in first:
        return head
    if any(line.lower().startswith(b"host:") for line in rest):
        return head
    return b"\r\n".join([first, b"Host: " + site.encode(), *rest]) + end + body


class Server(Aero):
    """
    aero with such tunnels at C{/tcp}.
    """

    tcpProtocol = RetroTunnel
