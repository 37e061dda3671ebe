# -*- test-case-name: aero.stack.test.test_neighbours -*-
"""
Who is at which MAC address, and what waits for those of whom it is not known.

Theory of operation. There is one guest, with few addresses, and it speaks first nearly
always. So every packet and every ARP message of it teaches where its sender is, at once and
without a doubt: a guest that was restored from a snapshot or got another network card goes on
where it was. Nothing expires; the table is bounded instead, and an address that was pushed out
is learned again from its next packet. Only for an address never heard of is there a question
to ask, and packets wait for its answer (RFC 1122 section 2.3.2).

A guest that only receives may move without a word: what it acknowledges does not reach it any
more, so that it has nothing to say. So where something is sent while the guest has been silent,
it is asked as well, now and then; meanwhile all goes where it was last.
"""

from __future__ import annotations

from typing import Callable, Final

#: Addresses asked about at once.
MAX_QUESTIONS: Final = 16

#: Packets that wait for one address; the oldest is lost beyond it (RFC 1122 section 2.3.2.2).
MAX_WAITING: Final = 8

#: Questions before an address is given up, and the seconds between them.
TRIES: Final = 3
INTERVAL: Final = 1.0

#: Seconds of silence after which it is doubtful where the guest is, and between two questions.
DOUBT: Final = 1.0


class _Question:
    """
    An address that was asked about.

    @ivar tries: Questions asked.
    @ivar due: When to ask again, or to give up.
    @ivar packets: What waits for the answer.
    """

    __slots__ = ("due", "packets", "tries")

    def __init__(self, due: float) -> None:
        self.tries = 1
        self.due = due
        self.packets: list[bytes] = []


class Neighbours:
    """
    The MAC addresses of the guest.

    @ivar stations: MAC addresses by IPv4 address; for reading only.
    @ivar doubtAt: When to ask those again that something is sent to; whoever hears of the guest
        puts it off by L{DOUBT}.
    @ivar waitingBytes: Bytes of the packets that wait.
    """

    def __init__(
        self,
        maxStations: int,
        maxWaitingBytes: int,
        *,
        ask: Callable[[int], None],
        send: Callable[[bytes, bytes], None],
        drop: Callable[[str], None],
    ) -> None:
        """
        @param maxStations: Addresses remembered; the one learned first is forgotten beyond it.
        @param maxWaitingBytes: Bytes of packets that may wait in all.
        @param ask: Called with an address that somebody should ask about.
        @param send: Called with a MAC address and a packet that waited for it.
        @param drop: Called with the reason why a packet was lost.
        """
        self.stations: dict[int, bytes] = {}
        self.waitingBytes = 0
        self.doubtAt = float("inf")
        self._maxStations = max(1, maxStations)
        self._maxWaitingBytes = maxWaitingBytes
        self._ask = ask
        self._send = send
        self._drop = drop
        self._questions: dict[int, _Question] = {}

    def learn(self, address: int, hardwareAddress: bytes) -> None:
        """
        An address was seen at a MAC address. What waited for it is sent.
        """
        stations = self.stations
        if address not in stations and len(stations) >= self._maxStations:
            del stations[next(iter(stations))]
        stations[address] = hardwareAddress
        if address in self._questions:
            for packet in self._finish(address):
                self._send(hardwareAddress, packet)

    def doubt(self, address: int, now: float) -> None:
        """
        Something is sent to an address after L{doubtAt}.
        """
        self.doubtAt = now + DOUBT
        self._ask(address)

    def hold(self, address: int, packet: bytes, now: float) -> None:
        """
        Keep a packet for an address that is not in L{stations}, and see to it that somebody
        asks.
        """
        question = self._questions.get(address)
        if question is None:
            if len(self._questions) >= MAX_QUESTIONS:
                self._drop("neighbourQuestions")
                return
            question = self._questions[address] = _Question(now + INTERVAL)
            self._ask(address)
        if len(question.packets) >= MAX_WAITING:
            self.waitingBytes -= len(question.packets.pop(0))
            self._drop("neighbourWaiting")
        if self.waitingBytes + len(packet) > self._maxWaitingBytes:
            self._drop("neighbourWaiting")
            return
        question.packets.append(packet)
        self.waitingBytes += len(packet)

    def nextTimeout(self) -> float | None:
        """
        When L{handleTimeout} has something to do.
        """
        if not self._questions:
            return None
        return min(question.due for question in self._questions.values())

    def handleTimeout(self, now: float) -> None:
        """
        Ask again, or lose what waited for an address that nobody has.
        """
        for address, question in list(self._questions.items()):
            if question.due > now:
                continue
            if question.tries < TRIES:
                question.tries += 1
                question.due = now + INTERVAL
                self._ask(address)
            else:
                for _ in self._finish(address):
                    self._drop("neighbourUnknown")

    def _finish(self, address: int) -> list[bytes]:
        packets = self._questions.pop(address).packets
        self.waitingBytes -= sum(map(len, packets))
        return packets
