# -*- test-case-name: tests.test_smoke -*-
"""
HTTP and WebSocket as a client that hides nothing: header lines stay apart, redirects are not
followed, nothing is retried.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import socket
import ssl
import struct
from dataclasses import dataclass
from typing import Mapping, Sequence
from urllib.parse import urlsplit

#: Seconds for a connection, and for each answer.
TIMEOUT = 10.0

#: Bytes of an answer that are read; the rest is of no interest to a check.
MOST_BYTES = 4_194_304

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


@dataclass(frozen=True)
class Response:
    """
    One answer.

    @ivar headers: Name in lower case and value, line by line as sent.
    """

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        """
        The values of every line with a name.
        """
        return [value for key, value in self.headers if key == name.lower()]

    def one(self, name: str) -> str | None:
        """
        The value of the only line with a name; C{None} where there is none or more than one.
        """
        values = self.all(name)
        return values[0] if len(values) == 1 else None


class Site:
    """
    A deployment.

    @ivar url: Its base URL without the last slash.
    @ivar origin: What a browser sends as the Origin of its pages.
    """

    def __init__(
        self, url: str, *, verify: bool = True, ca: str | None = None, address: str = ""
    ) -> None:
        """
        @param verify: Whether its certificate has to be right.
        @param ca: A file with the root certificate to trust instead of the system's.
        @param address: Where to connect to, instead of where the name leads.
        @raise ValueError: This is no URL of a site.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"expected a URL such as https://example.com/, not {url!r}")
        self.secure = parts.scheme == "https"
        self.host = parts.hostname
        self.port = parts.port or (443 if self.secure else 80)
        self._address = address or self.host
        self.base = parts.path.rstrip("/")
        self.authority = parts.netloc.rpartition("@")[2]
        self.origin = f"{parts.scheme}://{self.authority}".lower()
        self.url = f"{parts.scheme}://{self.authority}{self.base}"
        self._context = ssl.create_default_context(cafile=ca) if self.secure else None
        if self._context is not None and not verify:
            self._context.check_hostname = False
            self._context.verify_mode = ssl.CERT_NONE

    def connect(self) -> socket.socket:
        """
        Open a connection.

        @raise OSError: It cannot be had, or its certificate is not to be trusted.
        """
        plain = socket.create_connection((self._address, self.port), TIMEOUT)
        if self._context is None:
            return plain
        return self._context.wrap_socket(plain, server_hostname=self.host)

    def path(self, path: str) -> str:
        """
        A path of a service under the base path, unless it has it already.
        """
        if self.base and (path + "/").startswith(self.base + "/"):
            return path
        return self.base + path

    def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] = {},
        body: bytes | None = None,
    ) -> Response:
        """
        Ask once.

        @raise OSError: There was no answer.
        """
        connection = http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT)
        connection.sock = self.connect()
        try:
            connection.putrequest(
                method, self.path(path), skip_host=True, skip_accept_encoding=True
            )
            connection.putheader("Host", self.authority)
            for name, value in headers.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.putheader("Connection", "close")
            connection.endheaders(body)
            answer = connection.getresponse()
            lines = [(name.lower(), value) for name, value in answer.getheaders()]
            return Response(answer.status, lines, answer.read(MOST_BYTES))
        except http.client.HTTPException as error:
            raise OSError(f"no HTTP answer: {error!r}") from None
        finally:
            connection.close()

    def webSocket(
        self, path: str, protocols: Sequence[str] = (), headers: Mapping[str, str] = {}
    ) -> WebSocket:
        """
        Ask for a WebSocket; see L{WebSocket.response} for what came of it.
        """
        return WebSocket(self, self.path(path), protocols, headers)


class WebSocket:
    """
    A WebSocket, or the refusal of one.

    @ivar response: The answer to the handshake.
    """

    def __init__(
        self, site: Site, target: str, protocols: Sequence[str], headers: Mapping[str, str]
    ) -> None:
        self._key = base64.b64encode(os.urandom(16))
        lines = {
            "Host": site.authority,
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": self._key.decode(),
            **({"Sec-WebSocket-Protocol": ", ".join(protocols)} if protocols else {}),
            **headers,
        }
        self._socket = site.connect()
        try:
            head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            self._socket.sendall(f"GET {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1"))
            self._buffer = b""
            self.response = self._readResponse()
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> WebSocket:
        return self

    def __exit__(self, *ignored: object) -> None:
        self._socket.close()

    @property
    def accepted(self) -> bool:
        """
        Whether the server switched protocols and proved that it understood the handshake.
        """
        digest = hashlib.sha1(self._key + _GUID, usedforsecurity=False).digest()
        proof = base64.b64encode(digest).decode()
        return self.response.status == 101 and self.response.one("sec-websocket-accept") == proof

    def send(self, payload: bytes, opcode: int = BINARY) -> None:
        """
        Send one message in one frame.
        """
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[place & 3] for place, byte in enumerate(payload))
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack("!H", size)
        self._socket.sendall(bytes([0x80 | opcode]) + length + mask + masked)

    def receive(self, timeout: float = TIMEOUT) -> tuple[int, bytes] | None:
        """
        Read one frame; the checks get none that is split.

        @return: Opcode and payload; C{None} when nothing came in time or the connection ended.
        """
        self._socket.settimeout(timeout)
        try:
            first, second = self._read(2)
            size = second & 127
            if size == 126:
                (size,) = struct.unpack("!H", self._read(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", self._read(8))
            return first & 15, self._read(min(size, MOST_BYTES))
        except (OSError, EOFError):
            return None

    def _readResponse(self) -> Response:
        while b"\r\n\r\n" not in self._buffer:
            if len(self._buffer) > 65_536:
                raise OSError("the answer to the handshake has no end")
            more = self._socket.recv(65_536)
            if not more:
                raise OSError("the connection ended in the middle of the handshake")
            self._buffer += more
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        words = first.split(" ", 2)
        if len(words) < 2 or not words[1].isdigit():
            raise OSError(f"no HTTP answer: {first[:80]!r}")
        pairs = [line.partition(":") for line in rest]
        headers = [(name.strip().lower(), value.strip()) for name, _, value in pairs]
        return Response(int(words[1]), headers, self._buffer)

    def _read(self, size: int) -> bytes:
        while len(self._buffer) < size:
            more = self._socket.recv(65_536)
            if not more:
                raise EOFError
            self._buffer += more
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken
