"""
Name servers for the resolver to ask: a real one, and one that does as it is told.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import subprocess
import threading
import time
from typing import Callable

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset

from .tools import freePort, require


class Dnsmasq:
    """
    The real one, on loopback, which knows nothing but what it is told.

    @ivar port: Where it listens, for UDP and TCP.
    """

    def __init__(self, *records: str) -> None:
        """
        @param records: Options that make records.
        """
        program = require("dnsmasq")
        self.port = freePort()
        self._process = subprocess.Popen(
            [
                program,
                # Not --no-daemon, with which an idle TCP connection holds up everybody else.
                "--keep-in-foreground",
                "--log-facility=-",
                "--conf-file=/dev/null",
                f"--port={self.port}",
                "--listen-address=127.0.0.1",
                "--bind-interfaces",
                "--no-resolv",
                "--no-hosts",
                "--no-poll",
                "--pid-file=",
                "--user=",
                "--group=",
                *records,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 20
        probe = dns.message.make_query("localhost.", "A")
        while True:
            try:
                dns.query.tcp(probe, "127.0.0.1", timeout=1, port=self.port)
                return
            except (OSError, dns.exception.DNSException):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise AssertionError("dnsmasq does not answer") from None
                time.sleep(0.05)

    def stop(self) -> None:
        """
        End it.
        """
        self._process.kill()
        self._process.communicate()


class Asked:
    """
    One query that came, and the ways to answer it.

    @ivar query: What it says.
    @ivar tcp: Whether it came over TCP.
    @ivar port: Where it came from.
    """

    def __init__(self, wire: bytes, port: int, send: Callable[[bytes], object], tcp: bool) -> None:
        self.wire = wire
        self.query = dns.message.from_wire(wire)
        self.port = port
        self.tcp = tcp
        self.send = send

    @property
    def labels(self) -> tuple[bytes, ...]:
        """
        The labels of the name, in lower case.
        """
        return tuple(label.lower() for label in self.query.question[0].name.labels)

    def answer(
        self, *records: str, rcode: dns.rcode.Rcode = dns.rcode.NOERROR, authority: str = ""
    ) -> dns.message.Message:
        """
        A correct answer.

        @param records: TTL, type and data of each record, such as C{100 A 192.0.2.1}; all of
            them belong to the name that was asked for.
        @param authority: The same for an SOA record.
        """
        response = dns.message.make_response(self.query, recursion_available=True)
        response.set_rcode(rcode)
        name = self.query.question[0].name
        for record, section in [(one, response.answer) for one in records] + (
            [(authority, response.authority)] if authority else []
        ):
            ttl, kind, data = record.split(" ", 2)
            section.append(dns.rrset.from_text(name, int(ttl), "IN", kind, data))
        return response


class Scripted:
    """
    One that runs a function for every query, over UDP and TCP on the same port.

    @ivar port: Where it listens.
    @ivar asked: What came.
    """

    def __init__(self, behave: Callable[[Asked], None], tls: ssl.SSLContext | None = None) -> None:
        """
        @param tls: What connections over TCP are encrypted with, where they are.
        """
        self._behave = behave
        self._tls = tls
        self.asked: list[Asked] = []
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listening.getsockname()[1]
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", self.port))
        for work in (self._datagrams, self._connections):
            threading.Thread(target=work, daemon=True).start()

    def times(self, name: str) -> int:
        """
        How often a name was asked for, in any case.
        """
        labels = (*name.lower().encode().split(b"."), b"")
        return sum(one.labels == labels for one in list(self.asked))

    def _datagrams(self) -> None:
        while True:
            wire, peer = self._udp.recvfrom(65_535)

            def send(data: bytes, peer: tuple[str, int] = peer) -> None:
                self._udp.sendto(data, peer)

            self._run(Asked(wire, peer[1], send, tcp=False))

    def _connections(self) -> None:
        while True:
            connection, peer = self._listening.accept()
            threading.Thread(target=self._converse, args=(connection, peer[1]), daemon=True).start()

    def _converse(self, connection: socket.socket, port: int) -> None:
        if self._tls is not None:
            try:
                connection = self._tls.wrap_socket(connection, server_side=True)
            except OSError:  # the client does not trust it
                return
        with connection, connection.makefile("rb") as stream:

            def send(data: bytes) -> None:
                with contextlib.suppress(OSError):  # who asked may have hung up
                    connection.sendall(struct.pack("!H", len(data)) + data)

            while len(head := stream.read(2)) == 2:
                wire = stream.read(struct.unpack("!H", head)[0])
                self._run(Asked(wire, port, send, tcp=True))

    def _run(self, asked: Asked) -> None:
        self.asked.append(asked)
        threading.Thread(target=self._behave, args=(asked,), daemon=True).start()
