"""
An attacker's connections: all of one process in one loop, which ends at its deadline.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import time
from collections import Counter
from typing import Callable, Iterable, Iterator

from .answers import Answers

#: The longest piece that is given to TLS at once: one record.
RECORD = 16_384

#: Seconds to rest when a client has nothing to send just now.
REST = 0.005

#: How often one process comes back with a new connection, and how many of them a second.
COME_BACKS, COME_BACKS_PER_SECOND = 200, 20.0

_LATER = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError)


class Client:
    """
    One connection.

    @ivar socket: The connection, which does not block.
    @ivar ended: Whether the server has closed it.
    @ivar isDone: Whether everything was sent.
    @ivar due: When it sends again.
    """

    def __init__(
        self,
        connection: socket.socket,
        pieces: Iterable[bytes],
        tally: Counter[str],
        answers: Answers | None,
        *,
        pace: float = 0.0,
    ) -> None:
        """
        @param pieces: What is sent; an empty piece is "not now".
        @param answers: What reads the answers; C{None} never reads.
        @param pace: Seconds between two pieces; 0 is as fast as the server takes them.
        """
        connection.setblocking(False)
        self.socket = connection
        self.ended = self.isDone = False
        self.due = 0.0
        self.tally = tally
        self.answers = answers
        self._pieces: Iterator[bytes] = iter(pieces)
        self._pace = pace
        self._unsent: list[bytes] = []

    def queue(self, data: bytes) -> None:
        """
        Send something before the next piece.
        """
        self._unsent.append(data)
        self.isDone = False
        self.due = 0.0

    def write(self, now: float) -> None:
        """
        Send a few records, as far as the connection takes them.
        """
        for _ in range(8):
            if not self._unsent and not self._refill(now):
                return
            head = self._unsent[0]
            try:
                sent = self.socket.send(head[:RECORD])
            except _LATER:
                return
            except OSError:
                self.end("reset")
                return
            self.tally["bytes"] += sent
            if sent < len(head):
                self._unsent[0] = head[sent:]
            else:
                del self._unsent[0]

    def read(self) -> None:
        """
        Take what came.
        """
        for _ in range(8):
            try:
                data = self.socket.recv(65_536)
            except _LATER:
                return
            except OSError:
                self.end("reset")
                return
            if not data:
                self.end("closed")
                return
            if self.answers is not None:
                self.answers.feed(data)

    def end(self, reason: str) -> None:
        """
        Close, and count why.
        """
        self.ended = True
        self.tally[reason] += 1
        self.socket.close()

    def _refill(self, now: float) -> bool:
        if now < self.due:
            return False
        piece = next(self._pieces, None)
        if piece is None:
            self.isDone = True
            return False
        self.due = now + (self._pace if piece else REST)
        if piece:
            self._unsent.append(piece)
        return bool(piece)


#: Makes a client; C{None} where the server refuses the connection.
Connect = Callable[[], Client | None]


def drive(
    connect: Connect, count: int, deadline: float, tally: Counter[str], *, comeBack: bool = True
) -> None:
    """
    Open so many connections and send what they have to send, until a deadline.

    @param comeBack: Whether a connection that the server closed or refused is tried again, a
        bounded number of times.
    """
    clients: list[Client] = []
    missing, spare, due = count, COME_BACKS if comeBack else 0, 0.0
    with selectors.DefaultSelector() as selector:
        while (now := time.monotonic()) < deadline:
            if missing and now >= due:
                missing -= 1
                made = connect()
                if made is None:
                    gone = 1
                else:
                    gone = 0
                    clients.append(made)
                    tally["connections"] += 1
                    if made.answers is not None:
                        selector.register(made.socket, selectors.EVENT_READ, made)
            else:
                gone = 0
            _turn(selector, clients)
            for client in [client for client in clients if client.ended]:
                gone += 1
                clients.remove(client)
                if client.answers is not None:
                    selector.unregister(client.socket)
            if gone:
                again = min(spare, gone)
                spare, missing = spare - again, missing + again
                due = now + 1 / COME_BACKS_PER_SECOND
        for client in clients:
            client.socket.close()


def _turn(selector: selectors.BaseSelector, clients: list[Client]) -> None:
    """
    Let each client send what is due, then read.
    """
    now = time.monotonic()
    busy = False
    for client in clients:
        if now >= client.due and not client.isDone:
            client.write(now)
            busy = busy or now >= client.due
    for key, _ in selector.select(0.0005 if busy else REST):
        client = key.data
        if not client.ended:
            client.read()
