"""
Where the transcript of the reference's stack is played: a guest at C{/l2}, and the places of
loopback that its packets are led to. None may leave for anywhere else.
"""

from __future__ import annotations

import ipaddress
import queue
import select
import socket
import time
from functools import partial
from pathlib import Path
from typing import Callable

import dns.rcode
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether

from .golden import GUEST, REFERENCE_ISN, Key, Segment, aged, decoded, described, joined, keyOf
from .l2 import OPEN, Guest, echo, l2Options
from .l2case import SOON
from .nameservers import Asked, Scripted
from .server import Aero

PLACE = "203.0.113.10"
STATIC = "echo.local"

#: Seconds after which what was not sent will not be: longer than an acknowledgment waits.
QUIET = 0.1

_MAC = "02:aa:bb:cc:dd:ee"

#: The data of the ping whose answer ends the watch.
_FENCE = b"what comes before this"


class Hosts:
    """
    Everybody outside, all of them on loopback.

    @ivar did: What was asked of them, in words.
    """

    def __init__(self) -> None:
        self.did: list[str] = []
        self._connections: list[socket.socket] = []
        self._open: list[socket.socket] = []
        self._listening = {
            f"{PLACE}:{port}": socket.create_server(("127.0.0.1", 0)) for port in (80, 81)
        }
        self._datagrams = {
            name: _datagramSocket() for name in (f"{PLACE}:9999", f"{PLACE}:2", "8.8.8.8:53")
        }
        self._source: dict[str, tuple[str, int]] = {}
        self._held: dict[str, socket.socket] = {}
        self._pending: list[str] = []
        self._refusing: dict[str, tuple[str, int]] = {}
        self._questions: queue.Queue[Asked] = queue.Queue()
        self._asked: list[Asked] = []
        self.resolver = Scripted(self._questions.put)

    def variables(self) -> dict[str, str]:
        """
        Settings that lead guests here, and keep them from everywhere else.
        """
        return {
            "AERO_L2_TCP_FORWARD": _forwards(self._listening),
            "AERO_L2_UDP_FORWARD": _forwards(self._datagrams),
            "AERO_L2_ALLOWED_TCP_PORTS": "80,81",
            "AERO_L2_ALLOWED_UDP_PORTS": "2,53,123,137,9999",
            "AERO_L2_PINGS_PER_SECOND": "0",
            "AERO_L2_TCP_CONNECT_TIMEOUT_MS": "30000",
            "AERO_L2_DNS_A": f"{STATIC}={PLACE}",
            "DNS_UPSTREAMS": f"127.0.0.1:{self.resolver.port}",
        }

    def check(self, packet: Ether) -> None:
        """
        Whether a packet of the guest stays here.

        @raise AssertionError: It may leave.
        """
        if IP not in packet:
            return
        target = packet[IP].dst
        if not ipaddress.ip_address(target).is_global or ICMP in packet:
            return
        layer, places = (TCP, self._listening) if TCP in packet else (UDP, self._datagrams)
        assert f"{target}:{packet[layer].dport}" in places, packet.summary()

    def look(self) -> None:
        """
        Take what came.
        """
        waiting: dict[socket.socket, Callable[[], None]] = {}
        for name, listening in self._listening.items():
            if name not in self._held:
                waiting[listening] = partial(self._accept, listening, name)
        for name, one in self._datagrams.items():
            waiting[one] = partial(self._receive, one, name)
        for one in self._open:
            waiting[one] = partial(self._read, one)
        for ready in select.select(list(waiting), [], [], 0)[0]:
            waiting[ready]()
        for name in self._held:
            if not self._pending and _dialled(self._listening[name].getsockname()[1]):
                self._pending.append(name)
                self._did(f"dial {name}")
        while not self._questions.empty():
            asked = self._questions.get()
            self._asked.append(asked)
            self._did(f"resolve {str(asked.query.question[0].name).rstrip('.').lower()}")

    def connection(self) -> socket.socket:
        """
        The TCP connection that came last.
        """
        return self._connections[-1]

    def hold(self, name: str) -> None:
        """
        Let connections to a place hang: its queue is full.
        """
        listening = self._listening[name]
        listening.listen(0)
        self._held[name] = socket.create_connection(listening.getsockname())

    def release(self, name: str) -> None:
        """
        Take them after all.
        """
        listening = self._listening[name]
        listening.listen(16)
        listening.accept()[0].close()
        self._held.pop(name).close()

    def refuse(self, name: str) -> None:
        """
        Refuse them after all, until there is a new scene.
        """
        address = self._listening[name].getsockname()
        self._listening.pop(name).close()
        self._held.pop(name).close()
        self._refusing[name] = address

    def forget(self) -> None:
        """
        Begin anew.
        """
        for name in list(self._held):
            self.release(name)
        while self._refusing:
            name, address = self._refusing.popitem()
            self._listening[name] = socket.create_server(address)
        self.look()
        while self._connections:
            self._connections.pop().close()
        for kept in (self._open, self._pending, self._asked, self.did):
            kept.clear()

    def answer(self, rcode: dns.rcode.Rcode) -> None:
        """
        Answer what was asked, without a record.
        """
        while self._asked:
            asked = self._asked.pop()
            asked.send(asked.answer(rcode=rcode).to_wire())

    def reply(self, name: str, data: bytes) -> None:
        """
        Answer the last datagram to a place.
        """
        self._datagrams[name].sendto(data, self._source[name])

    def _accept(self, listening: socket.socket, name: str) -> None:
        connection = listening.accept()[0]
        self._connections.append(connection)
        self._open.append(connection)
        if name in self._pending:
            self._pending.remove(name)
        else:
            self._did(f"dial {name}")

    def _receive(self, one: socket.socket, name: str) -> None:
        data, self._source[name] = one.recvfrom(65_536)
        self._did(f"datagram {name} {data.hex()}")

    def _read(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(65_536)
        except ConnectionResetError:
            data, end = b"", "reset"
        else:
            end = "close"
        if data:
            self._did(f"write {data.hex()}")
        else:
            self._open.remove(connection)
            self._did(end)

    def _did(self, words: str) -> None:
        self.did.append(words)


class Stage:
    """
    A tunnel of a guest that does what it is told.

    @ivar hosts: Everybody outside.
    @ivar acknowledges: Whether the guest acknowledges data that comes.
    @ivar discarded: Bytes that the reference threw away at the beginning of a connection.
    """

    def __init__(self, server: Aero, hosts: Hosts) -> None:
        self.hosts = hosts
        self.acknowledges = False
        self.discarded = 0
        self._guest = Guest(server)
        assert self._guest.accepted, self._guest.response
        self._bases: dict[Key, int] = {}
        self._next: dict[Key, int] = {}
        self._sent: dict[Key, int] = {}
        self._frames: list[Segment | str] = []
        self._expected: list[str] = []
        self._since: float | None = None
        self._began = time.monotonic()
        self._fenced = False

    def close(self) -> None:
        """
        Drop the tunnel.
        """
        self._guest.connection.close()

    def send(self, frame: bytes) -> None:
        """
        Send a frame of the transcript, whose acknowledgments are made to fit.
        """
        packet = Ether(frame)
        self.hosts.check(packet)
        if TCP in packet and "A" in packet[TCP].flags:
            tcp = packet[TCP]
            key = packet[IP].dst, tcp.dport, tcp.sport
            if key in self._bases:
                shift = self._bases[key] + self.discarded - REFERENCE_ISN
                tcp.ack = self._next[key] if self.acknowledges else tcp.ack + shift & 0xFFFFFFFF
                del tcp.chksum
        self._guest.sendFrame(bytes(packet))

    def watch(
        self, frames: list[str], host: list[str], *, since: float | None = None
    ) -> tuple[list[str], list[str]]:
        """
        What comes out until it is what is expected, and for a moment longer: frames in words, and
        what the hosts were asked for, sorted.

        @param since: How many seconds ago at least the guest was told an address that it is told
            again.
        """
        self._expected, self._since = frames, since
        deadline = time.monotonic() + SOON
        while self._seen() != (frames, host) and time.monotonic() < deadline:
            self._take(0.02)
        deadline = time.monotonic() + QUIET
        while time.monotonic() < deadline:
            self._take(0.02)
        self._fenced = False
        self._guest.sendFrame(echo(bytes((10, 0, 2, 2)), _FENCE))
        deadline = time.monotonic() + SOON
        while not self._fenced:
            assert time.monotonic() < deadline, "the gateway does not answer"
            self._take(0.02)
        seen = self._seen()
        self._frames.clear()
        self.hosts.did.clear()
        return seen

    def acknowledgeAll(self) -> None:
        """
        Acknowledge what has come, and from now on what comes.
        """
        self.acknowledges = True
        for key in self._next:
            self._acknowledge(key)

    def _acknowledge(self, key: Key) -> None:
        tcp = TCP(sport=key[2], dport=key[1], seq=self._sent[key], ack=self._next[key], flags="A")
        ends = Ether(dst="02:00:00:00:00:01", src=_MAC) / IP(src=GUEST, dst=key[0])
        tcp.window = 65_535
        self._guest.sendFrame(bytes(ends / tcp))

    def _seen(self) -> tuple[list[str], list[str]]:
        frames = joined(self._frames)
        if self._since is not None:
            passed = time.monotonic() - self._began
            frames = [aged(frame, self._since, passed) for frame in frames]
        return frames, sorted(self.hosts.did)

    def _take(self, seconds: float) -> None:
        """
        Take every frame that is there, or the first that begins within so many seconds.
        """
        self.hosts.look()
        connection = self._guest.connection
        while connection.pending or select.select([connection.socket], [], [], seconds)[0]:
            self._received(self._guest.receiveFrame())
            seconds = 0

    def _received(self, frame: bytes) -> None:
        assert len(frame) <= 1_514, len(frame)
        packet = decoded(frame)
        if frame.endswith(_FENCE):
            self._fenced = True
        elif ARP in packet and packet[ARP].op == 1 and packet[ARP].pdst == GUEST:
            # The reference never asks. Here a guest that is silent for a second is asked.
            there = ARP(op=2, hwsrc=_MAC, psrc=GUEST, hwdst=packet.src, pdst=packet[ARP].psrc)
            self._guest.sendFrame(bytes(Ether(src=_MAC, dst=packet.src) / there))
        elif TCP not in packet or self._fresh(packet, frame):
            self._frames.append(described(frame, self._shown()))

    def _shown(self) -> dict[Key, int]:
        return {key: base + self.discarded for key, base in self._bases.items()}

    def _fresh(self, packet: Ether, frame: bytes) -> bool:
        """
        Whether a segment is new: the guest acknowledges little, so that some are sent again
        after a while. A SYN+ACK may come again because the guest asks for it.
        """
        key, tcp = keyOf(packet), packet[TCP]
        flags = str(tcp.flags)
        self._sent[key] = tcp.ack
        if "S" in flags:
            if self._bases.get(key) == tcp.seq:
                words = str(described(frame, self._shown()))
                return words in self._expected and words not in map(str, self._frames)
            self._bases[key], self._next[key] = tcp.seq, tcp.seq + 1 & 0xFFFFFFFF
            return True
        size = len(bytes(tcp.payload)) + ("F" in flags)
        if key not in self._next or not size:
            return True
        end = tcp.seq + size & 0xFFFFFFFF
        new = bool(0 < (end - self._next[key] & 0xFFFFFFFF) < 1 << 31)
        if new:
            self._next[key] = end
        if self.acknowledges:
            self._acknowledge(key)
        return new


def serve(hosts: Hosts) -> Aero:
    """
    A server whose guests reach these hosts and nobody else.
    """
    return Aero(*l2Options(), state=None, runDir=None, **OPEN | hosts.variables())


def _datagramSocket() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", 0))
    return made


def _forwards(places: dict[str, socket.socket]) -> str:
    return ",".join(f"{name}=127.0.0.1:{one.getsockname()[1]}" for name, one in places.items())


def _dialled(port: int) -> bool:
    """
    Whether somebody is about to connect to a port of loopback: SYN_SENT in the kernel's table.
    """
    lines = Path("/proc/net/tcp").read_text().splitlines()
    return any(f" 0100007F:{port:04X} 02 " in line for line in lines)
