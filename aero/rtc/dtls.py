# -*- test-case-name: aero.rtc.test.test_dtls -*-
"""
DTLS: aiortc's transport, with batches of datagrams and without media.

aiortc wakes its task for every datagram and reads one record of it. Here everything that has
arrived is taken at once, every record of a datagram is read, and what they carry goes to the
association in one call. No keys for SRTP are derived: there is no media.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any, Callable

from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsTransport
from OpenSSL import SSL

from aero.net.turns import Turn

#: Datagrams taken in one turn.
BATCH = 64
#: Bytes of a record's plaintext; the longest SCTP packet that browsers send has 1,200.
MAX_PLAINTEXT = 2_048
#: Bytes of a datagram of our handshake.
MAX_FLIGHT = 1_200

#: Seconds after which a new certificate is made; aiortc's are valid for 30 days.
CERTIFICATE_AGE = 86_400.0

_HEADER = 13
_APPLICATION_DATA = 23
_FIRST_RECORD, _LAST_RECORD = 20, 63


class Certificate(RTCCertificate):
    """
    A certificate whose TLS context is made once. It serves all peers for a day: making a key
    for each offer would let strangers keep the processor busy.
    """

    _context: SSL.Context | None = None

    def _create_ssl_context(self, srtp_profiles: list[Any]) -> SSL.Context:
        if self._context is None:
            self._context = super()._create_ssl_context(srtp_profiles)
            self._context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        return self._context


class Certificates:
    """
    Gives the certificate of the day.
    """

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._certificate: Certificate | None = None
        self._made = 0.0

    def current(self) -> Certificate:
        """
        The certificate to use for a new peer.
        """
        now = self._seconds()
        if self._certificate is None or now - self._made > CERTIFICATE_AGE:
            self._certificate = Certificate.generateCertificate()
            self._made = now
        return self._certificate


class DTLSTransport(RTCDtlsTransport):
    """
    One DTLS connection over one ICE connection.
    """

    #: The turns of the client.
    turn: Turn | None = None

    _established = False
    _ssl: Any

    @property
    def _ice(self) -> Any:
        """
        The L{aero.rtc.ice.IceConnection} below.
        """
        return self.transport

    def _setup_srtp(self) -> None:
        """
        There is no media.
        """

    def sendPackets(self, packets: list[bytes]) -> None:
        """
        Encrypt and send the packets of one turn. Before the handshake and after the end they
        are dropped, as a network would.
        """
        if self.state != "connected" or self._ssl is None:
            return
        tls = self._ssl
        datagrams = []
        try:
            for packet in packets:
                tls.send(packet)
                datagrams.append(tls.bio_read(MAX_PLAINTEXT))
        except SSL.Error:
            pass
        self._ice.sendDatagrams(datagrams)

    async def _recv_next(self) -> None:
        if not self._established:
            if not self.encrypted or self._ssl.DTLSv1_get_timeout() is not None:
                await super()._recv_next()
                return
            self._established = True
        datagrams = [await self._ice._recv()]
        turn = self.turn
        if turn is None:
            self._datagramsReceived(datagrams)
            return
        while turn.left() <= 0.0:
            came: asyncio.Future[None] = asyncio.get_event_loop().create_future()
            turn.wait(partial(_came, came))
            try:
                await came
            finally:
                turn.cancel()
        turn.run(partial(self._datagramsReceived, datagrams), 1)

    def _datagramsReceived(self, datagrams: list[bytes]) -> bool:
        """
        Take one datagram, and what else has arrived.

        @return: False: the next ones come in a turn of their own.
        @raise ConnectionError: The peer has closed the connection.
        """
        self._ice.takeMore(datagrams, BATCH)
        packets: list[bytes] = []
        closed = False
        for datagram in datagrams:
            if _FIRST_RECORD <= datagram[0] <= _LAST_RECORD:
                closed = self._records(datagram, packets) or closed
        if packets and self._data_receiver is not None:
            self._data_receiver.packetsReceived(packets)  # type: ignore[attr-defined]
        if closed:
            raise ConnectionError("the peer closed the DTLS connection")
        return False

    def _records(self, datagram: bytes, packets: list[bytes]) -> bool:
        """
        Read all records of one datagram.

        @return: Whether the peer closed the connection.
        """
        tls = self._ssl
        tls.bio_write(datagram)
        # One record of data is the rule, and then there is no need to ask for another one.
        single = datagram[0] == _APPLICATION_DATA and len(datagram) == _HEADER + int.from_bytes(
            datagram[11:13], "big"
        )
        try:
            packets.append(tls.recv(MAX_PLAINTEXT))
            while not single:
                packets.append(tls.recv(MAX_PLAINTEXT))
        except SSL.ZeroReturnError:
            return True
        except SSL.Error:
            pass
        if not single:
            self._flushFlight()
        return False

    async def _write_ssl(self) -> None:
        self._flushFlight()

    def _flushFlight(self) -> None:
        """
        Send what the handshake has to say, cut between records into datagrams.
        """
        pending = b""
        try:
            while True:
                pending += self._ssl.bio_read(65_536)
        except SSL.Error:
            pass
        if pending:
            self._ice.sendDatagrams(list(_datagrams(pending)))


def _came(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _datagrams(flight: bytes) -> list[bytes]:
    """
    Cut a flight between its records. What is no DTLS 1.2 record stays whole.
    """
    found: list[bytes] = []
    start = at = 0
    while at + _HEADER <= len(flight) and flight[at] < 32:
        end = at + _HEADER + int.from_bytes(flight[at + 11 : at + 13], "big")
        if end - start > MAX_FLIGHT and at > start:
            found.append(flight[start:at])
            start = at
        at = end
    found.append(flight[start:])
    return found
