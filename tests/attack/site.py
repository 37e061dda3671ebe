"""
A server as a client of the attack bench sees it: where it is, and how to connect.
"""

from __future__ import annotations

import json
import socket
import ssl
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from tests.support.http import Connection, Response

#: Where well-behaved clients and attackers come from.
NEIGHBOUR, ATTACKER = "127.0.0.1", "127.0.0.2"

#: Seconds that an attacker waits for a connection or for the answer to a request.
PATIENCE = 5.0


@dataclass(frozen=True)
class Site:
    """
    One server and the targets behind it.

    @ivar port: Its HTTPS port on loopback.
    @ivar domain: Its name.
    @ivar authority: The PEM file that its certificate is checked with.
    @ivar source: The address that the client comes from.
    @ivar targets: The ports of the targets by name (L{tests.attack.targets}).
    """

    port: int
    domain: str
    authority: str
    source: str
    targets: dict[str, int]

    @classmethod
    def fromJSON(cls, text: str) -> Self:
        """
        Read what L{toJSON} wrote.
        """
        found: dict[str, Any] = json.loads(text)
        return cls(**found)

    def toJSON(self) -> str:
        """
        A text for the command line of another process.
        """
        return json.dumps(asdict(self))

    def seenFrom(self, source: str) -> Site:
        """
        The same server for a client with another address.
        """
        return replace(self, source=source)

    @property
    def host(self) -> str:
        """
        The value of C{Host}.
        """
        return f"{self.domain}:{self.port}"

    def context(self, protocol: str = "http/1.1") -> ssl.SSLContext:
        """
        TLS settings of a client that speaks one protocol.
        """
        made = ssl.create_default_context(cafile=self.authority)
        made.set_alpn_protocols([protocol])
        return made

    def tcp(self, receiveBuffer: int = 0) -> socket.socket:
        """
        A TCP connection without TLS.

        @param receiveBuffer: Bytes of the receive buffer; 0 leaves it to the system.
        """
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.settimeout(PATIENCE)
        if receiveBuffer:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receiveBuffer)
        made.bind((self.source, 0))
        made.connect(("127.0.0.1", self.port))
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def tls(
        self,
        protocol: str = "http/1.1",
        context: ssl.SSLContext | None = None,
        receiveBuffer: int = 0,
    ) -> ssl.SSLSocket:
        """
        A TLS connection.

        @raise OSError: The server refuses it.
        """
        plain = self.tcp(receiveBuffer)
        try:
            return (context or self.context(protocol)).wrap_socket(
                plain, server_hostname=self.domain
            )
        except OSError:
            plain.close()
            raise

    def connection(self) -> Connection:
        """
        An HTTP/1.1 connection for requests one after another.
        """
        return Connection(self.port, tls=self.context(), serverName=self.domain, source=self.source)

    def post(self, path: str, *headers: tuple[str, str], body: bytes = b"") -> Response:
        """
        Send one POST on a connection of its own.
        """
        with self.connection() as connection:
            return connection.request("POST", path, *headers, body=body, host=self.host)

    def session(self) -> tuple[str, str]:
        """
        A new session: its cookie, and the token for the relay.

        @raise OSError: The server gives none.
        """
        response = self.post("/session")
        if response.status != 201:
            raise ConnectionRefusedError(f"status {response.status}")
        cookie = response.one("Set-Cookie").split(";")[0]
        return cookie, str(response.json()["udpRelay"]["token"])
