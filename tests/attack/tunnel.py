"""
WebSocket connections of attackers.
"""

from __future__ import annotations

import socket
from collections import Counter
from typing import Callable, Iterable

from tests.support.websocket import BINARY

from .answers import WebSocketAnswers
from .pump import Client, drive
from .site import Site

#: Makes the pieces of one WebSocket.
Pieces = Callable[[WebSocketAnswers], Iterable[bytes]]


def masked(payload: bytes, opcode: int = BINARY) -> bytes:
    """
    A client's frame with a mask of zeros, which leaves the payload as it is.
    """
    size = len(payload)
    head = bytes((0x80 | opcode,))
    if size < 126:
        head += bytes((0x80 | size,))
    else:
        head += b"\xfe" + size.to_bytes(2, "big")
    return head + bytes(4) + payload


def upgrade(site: Site, target: str, *headers: tuple[str, str]) -> tuple[socket.socket, int, bytes]:
    """
    Ask for a WebSocket.

    @return: The connection, the status, and what came behind the headers.
    @raise OSError: There is no answer.
    """
    lines = (
        ("Host", site.host),
        ("Origin", f"https://{site.host}"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        *headers,
    )
    head = "".join(f"{name}: {value}\r\n" for name, value in lines)
    made = site.tls()
    try:
        made.sendall(f"GET {target} HTTP/1.1\r\n{head}\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data:
            more = made.recv(4_096)
            if not more:
                raise ConnectionResetError("no answer to an upgrade")
            data += more
    except OSError:
        made.close()
        raise
    answer, _, rest = data.partition(b"\r\n\r\n")
    return made, int(answer.split(b" ", 2)[1]), rest


def attack(
    site: Site,
    deadline: float,
    tally: Counter[str],
    *,
    target: str | Callable[[Site], str],
    pieces: Pieces,
    count: int = 1,
    protocol: str = "",
    pace: float = 0.0,
    comeBack: bool = True,
) -> None:
    """
    Run one flood over so many WebSockets, all with one session; at C{/udp}, where a token
    is good for one session, each with its own.

    @param target: The path, or what makes it.
    @param protocol: The subprotocol that is offered.
    @param pace: See L{Client}.
    """
    path = target if isinstance(target, str) else target(site)
    known: list[tuple[str, str]] = []

    def session() -> tuple[str, str]:
        if path == "/udp":
            return site.session()
        if not known:
            known.append(site.session())
        return known[0]

    def connect() -> Client | None:
        try:
            cookie, token = session()
            lines = [("Cookie", cookie)]
            if protocol:
                lines.append(("Sec-WebSocket-Protocol", protocol))
            where = f"{path}?token={token}" if path == "/udp" else path
            made, status, rest = upgrade(site, where, *lines)
        except (OSError, AssertionError) as why:
            tally[str(why) if "status" in str(why) else "refused"] += 1
            return None
        if status != 101:
            tally[f"status {status}"] += 1
            made.close()
            return None
        answers = WebSocketAnswers(tally)
        client = Client(made, pieces(answers), tally, answers, pace=pace)
        answers.reply = client.queue
        answers.feed(rest)
        return client

    drive(connect, count, deadline, tally, comeBack=comeBack)
