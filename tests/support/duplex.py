"""
TLS for a client that sends and receives from different threads.

Python's own TLS socket must not be used by two threads at once. Here OpenSSL works in memory,
under a lock that is never held while a thread waits for the network.
"""

from __future__ import annotations

import socket
import ssl
import threading

_READ = 262_144


class DuplexTLS:
    """
    The part of a socket's interface that the tests use, over TLS.
    """

    def __init__(self, plain: socket.socket, context: ssl.SSLContext, serverName: str) -> None:
        """
        Connect the TLS layer: the handshake is done when this returns.
        """
        self._plain = plain
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=serverName)
        self._state = threading.Lock()
        self._sending = threading.Lock()
        self._unsent = b""
        while True:
            try:
                self._tls.do_handshake()
                self._flush()
                return
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()

    def fileno(self) -> int:
        """
        The descriptor, to wait for.
        """
        return self._plain.fileno()

    def settimeout(self, seconds: float | None) -> None:
        """
        How long one system call may wait.
        """
        self._plain.settimeout(seconds)

    def setsockopt(self, level: int, name: int, value: int | bytes) -> None:
        """
        Set an option of the socket below.
        """
        self._plain.setsockopt(level, name, value)

    def shutdown(self, how: int) -> None:
        """
        Half-close the socket below, whatever TLS thinks of it.
        """
        self._plain.shutdown(how)

    def version(self) -> str | None:
        """
        The version of TLS.
        """
        return self._tls.version()

    def selected_alpn_protocol(self) -> str | None:
        """
        The application protocol.
        """
        return self._tls.selected_alpn_protocol()

    def close(self) -> None:
        """
        Close without a word, as a socket does.
        """
        self._plain.close()

    def sendall(self, data: bytes) -> None:
        """
        Send everything. What a timeout left over goes out before what is sent next.
        """
        with self._sending, memoryview(data) as view:
            for at in range(0, len(data), _READ):
                with self._state:
                    self._tls.write(view[at : at + _READ])
                self._flush()

    def recv(self, size: int) -> bytes:
        """
        The next bytes; empty at the end of the stream.
        """
        while True:
            with self._state:
                try:
                    return self._tls.read(size)
                except ssl.SSLWantReadError:
                    pass
                except ssl.SSLZeroReturnError:
                    return b""
            self._fill()

    def _flush(self) -> None:
        with self._state:
            self._unsent += self._outgoing.read()
        while self._unsent:
            self._unsent = self._unsent[self._plain.send(self._unsent) :]

    def _fill(self) -> None:
        data = self._plain.recv(_READ)
        with self._state:
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()
