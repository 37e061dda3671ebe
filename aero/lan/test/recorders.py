"""
Protocols that write down what happens to them.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer


class Recorder(Protocol):
    """
    Writes down what happens to it.
    """

    transport: Any

    def __init__(self) -> None:
        self.data = b""
        self.lost: list[Any] = []
        self.made = 0

    def connectionMade(self) -> None:
        self.made += 1

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.append(reason.value)


@implementer(IHalfCloseableProtocol)
class HalfRecorder(Recorder):
    """
    The same, for whom each direction ends on its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[str] = []

    def readConnectionLost(self) -> None:
        self.ends.append("read")

    def writeConnectionLost(self) -> None:
        self.ends.append("write")
