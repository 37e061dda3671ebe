# -*- test-case-name: aero.rtc.test.test_ice -*-
"""
ICE: aioice's agent on sockets, ports and addresses of the operator's choice (relay.md section 8.3).

What differs from aioice:

  - host candidates are bound at once, inside a range of ports, on one address or on all, and may
    be offered under the public address of a one-to-one NAT;
  - candidates from STUN and TURN servers follow as they are found;
  - waiting for remote candidates costs nothing, where aioice looks for them 50 times a second;
  - what strangers can make it keep is bounded: remote candidates, datagrams before the handshake;
  - candidates that a client tells pass the policy about addresses, and unanswered checks are few
    (L{aero.policy.icechecks});
  - names ending in C{.local} are not resolved: browsers are reached by the checks they send.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
from dataclasses import dataclass
from typing import Any, Callable, Sequence

import aioice
from aioice import stun
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import (
    ICE_COMPLETED,
    CandidatePair,
    StunProtocol,
    get_host_addresses,
    relayed_candidate,
    server_reflexive_candidate,
)

from aero.net.turns import Turn
from aero.policy.icechecks import SessionChecks
from aero.wire.sdp import Candidate

from .sockets import CheckingProtocol, IceSocket, bindSocket

#: Remote candidates kept, those found by their checks included.
MAX_REMOTE = 64
#: Local addresses used.
MAX_LOCAL = 16
#: Datagrams that wait to be read. The handshake needs few, and a turn empties it.
MAX_QUEUED = 1_024
MAX_QUEUED_EARLY = 16
#: Seconds that STUN and TURN servers have to answer.
GATHERING_LIMIT = 5.0
#: Seconds between two checks of consent, and until it is lost (RFC 7675 section 5.1).
CONSENT_INTERVAL = 5.0

_CHECK_INTERVAL = 0.02
_COMPONENT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class IceOptions:
    """
    How the operator wants ICE to be done.

    @ivar listen: The one local address to bind; empty for all but loopback.
    @ivar ports: The lowest and highest port, or C{None}.
    @ivar publicAddresses: Addresses of a one-to-one NAT, at most one a family.
    @ivar publicAsHost: Whether they replace the local ones, instead of standing beside them.
    @ivar stun: A STUN server's host and port, or C{None}.
    @ivar turn: What C{aioice.ice.relayed_candidate} is told of a TURN server, or C{None}.
    @ivar consentTimeout: Seconds without an answer after which the peer is gone.
    """

    listen: str = ""
    ports: tuple[int, int] | None = None
    publicAddresses: tuple[str, ...] = ()
    publicAsHost: bool = True
    stun: tuple[str, int] | None = None
    turn: dict[str, Any] | None = None
    consentTimeout: float = 30.0


class IceConnection(aioice.Connection):
    """
    One ICE connection, on the answering side. For aiortc's DTLS it is the ICE transport too.

    @ivar found: Called with each local candidate that is found after L{bind}.
    @ivar checks: What may be checked.
    """

    def __init__(
        self,
        options: IceOptions,
        found: Callable[[Candidate], None],
        checks: SessionChecks,
        makeTurn: Callable[[], Turn | None] = lambda: None,
    ) -> None:
        """
        @param makeTurn: Makes what each socket takes the client's turns with.
        """
        self._makeTurn = makeTurn
        super().__init__(ice_controlling=False, turn_server=None, stun_server=None)
        self.found = found
        self.checks = checks
        self._options = options
        self._wake = asyncio.Event()
        self._gathering: asyncio.Future[None] | None = None
        self._known: set[tuple[str, int]] = set()

    # -- what aiortc's DTLS transport uses

    @property
    def role(self) -> str:
        """
        Which side nominates.
        """
        return "controlling" if self.ice_controlling else "controlled"

    async def _recv(self) -> bytes:
        data: bytes = await self.recv()
        return data

    async def _send(self, data: bytes) -> None:
        self.sendDatagrams([data])

    @property
    def dropped(self) -> int:
        """
        Datagrams that the system had no room for.
        """
        return sum(each.dropped for each in self._protocols if isinstance(each, IceSocket))

    def takeMore(self, datagrams: list[bytes], limit: int) -> None:
        """
        Take what else has arrived, without waiting.
        """
        queue = self._queue
        while len(datagrams) < limit and not queue.empty():
            item = queue.get_nowait()
            if item is None:
                queue.put_nowait(None)
                return
            datagrams.append(item[0])

    def sendDatagrams(self, datagrams: Sequence[bytes]) -> None:
        """
        Send datagrams to the peer, if there is a way to it.
        """
        pair = self._nominated.get(_COMPONENT)
        if pair is None:
            return
        # An IceSocket, or the transport of a TURN allocation.
        send, address = pair.protocol.transport.sendto, pair.remote_addr
        for datagram in datagrams:
            send(datagram, address)

    # -- local candidates

    def bind(self) -> list[Candidate]:
        """
        Bind the host candidates.

        @return: What may be told of them.
        """
        self._local_candidates_start = True
        options = self._options
        addresses = [options.listen] if options.listen else _localAddresses()
        for address in addresses:
            sock = bindSocket(address, options.ports)
            if sock is None:
                continue
            protocol = IceSocket(self, sock, self._makeTurn())
            host, port = protocol.address
            protocol.local_candidate = aioice.Candidate(
                foundation=candidate_foundation("host", "udp", host),
                component=_COMPONENT,
                transport="udp",
                priority=candidate_priority(_COMPONENT, "host", 65_535 - len(self._protocols)),
                host=host,
                port=port,
                type="host",
            )
            self._protocols.append(protocol)
            self._local_candidates += self._offered(protocol.local_candidate)
        self._local_candidates_end = True
        return [_told(candidate) for candidate in self._local_candidates]

    def _offered(self, local: aioice.Candidate) -> list[aioice.Candidate]:
        """
        What the peer is told of a host candidate, behind a one-to-one NAT.
        """
        version = ipaddress.ip_address(local.host).version
        for public in self._options.publicAddresses:
            if ipaddress.ip_address(public).version != version:
                continue
            kind = "host" if self._options.publicAsHost else "srflx"
            mapped = aioice.Candidate(
                foundation=candidate_foundation(kind, "udp", public),
                component=_COMPONENT,
                transport="udp",
                priority=candidate_priority(_COMPONENT, kind),
                host=public,
                port=local.port,
                type=kind,
                related_address=None if kind == "host" else local.host,
                related_port=None if kind == "host" else local.port,
            )
            return [mapped] if kind == "host" else [local, mapped]
        return [local]

    async def gatherFromServers(self) -> None:
        """
        Ask the STUN and TURN servers; L{found} hears of what they give.
        """
        options = self._options
        tasks: list[asyncio.Future[Any]] = []
        if options.stun is not None:
            for protocol in self._protocols:
                if ":" not in protocol.local_candidate.host:
                    asking = server_reflexive_candidate(protocol, options.stun)
                    tasks.append(asyncio.ensure_future(asking))
        if options.turn is not None:
            relaying = relayed_candidate(
                component=_COMPONENT,
                hide_related_address=False,
                protocol_factory=lambda: CheckingProtocol(self),
                **options.turn,
            )
            tasks.append(asyncio.ensure_future(relaying))
        try:
            for done in asyncio.as_completed(tasks, timeout=GATHERING_LIMIT):
                try:
                    candidate, protocol = await done
                except TimeoutError:
                    return
                except Exception:  # noqa: BLE001, S112 - a server that fails is one less
                    continue
                await self._serverAnswered(candidate, protocol)
        finally:
            for task in tasks:
                task.cancel()

    async def _serverAnswered(
        self, candidate: aioice.Candidate, protocol: StunProtocol | None
    ) -> None:
        if self._closing:
            if protocol is not None:
                await protocol.close()
            return
        if protocol is not None:
            self._protocols.append(protocol)
            for remote in self._remote_candidates:
                self._pair_remote_candidate(remote)
            self.sort_check_list()
        self._local_candidates.append(candidate)
        self.found(_told(candidate))

    # -- remote candidates

    def addRemote(self, candidate: Candidate) -> None:
        """
        The peer told a candidate. Those that cannot be used are passed over.
        """
        if (
            candidate.transport != "udp"
            or candidate.component != _COMPONENT
            or candidate.kind not in ("host", "srflx", "relay")
            or not candidate.port
            or len(self._remote_candidates) >= MAX_REMOTE
            or self._closing
        ):
            return
        try:
            address = ipaddress.ip_address(candidate.address)
        except ValueError:
            return  # a name
        if address.is_multicast or address.is_unspecified:
            return
        if not self.checks.allowsCandidate(str(address)):
            return
        self._known.add((str(address), candidate.port))
        self._add_remote_candidate(
            aioice.Candidate(
                foundation=candidate.foundation,
                component=_COMPONENT,
                transport="udp",
                priority=candidate.priority,
                host=str(address),
                port=candidate.port,
                type=candidate.kind,
            ),
            str(address),
        )

    # -- connecting

    async def establish(self, ufrag: str, password: str, *, lite: bool) -> None:
        """
        Check pairs until one is nominated. More remote candidates may come meanwhile.

        @raise ConnectionError: The connection was closed.
        """
        self.remote_username, self.remote_password = ufrag, password
        self.remote_is_lite = lite
        self.ice_controlling = lite
        for remote in self._remote_candidates:
            self._pair_remote_candidate(remote)
        self.sort_check_list()
        self._unfreeze_initial()
        for early in self._early_checks:
            self.check_incoming(*early)
        self._early_checks.clear()
        self._early_checks_done = True
        while not self._check_list_done:
            if self._startCheck():
                await asyncio.sleep(_CHECK_INTERVAL)
            else:
                self._wake.clear()
                await self._wake.wait()
        result = await self._check_list_state.get()
        for pair in self._check_list:
            if pair.task is not None:
                pair.task.cancel()
        if result != ICE_COMPLETED or self._closing:
            raise ConnectionError("ICE negotiation failed")
        self._query_consent_task = asyncio.ensure_future(self._keepConsent())

    def _startCheck(self) -> bool:
        """
        Start the check of the best pair that waits for one.
        """
        for state in (CandidatePair.State.WAITING, CandidatePair.State.FROZEN):
            for pair in self._check_list:
                if pair.state == state and pair.task is None:
                    self.check_start_task(pair)
                    return True
        return False

    async def _keepConsent(self) -> None:
        """
        Ask the peer again and again whether it still wants our datagrams (RFC 7675).
        """
        loop = asyncio.get_running_loop()
        confirmed = loop.time()
        interval = min(CONSENT_INTERVAL, self._options.consentTimeout / 4)
        while True:
            await asyncio.sleep(interval * (0.8 + 0.4 * random.random()))  # noqa: S311
            pair = self._nominated.get(_COMPONENT)
            if pair is None or self.remote_password is None:
                continue
            request = self.build_request(pair, nominate=False)
            try:
                await pair.protocol.request(
                    request,
                    pair.remote_addr,
                    integrity_key=self.remote_password.encode("utf-8"),
                    retransmissions=1,
                )
                confirmed = loop.time()
            except stun.TransactionError:
                if loop.time() - confirmed >= self._options.consentTimeout:
                    break
        self._query_consent_task = None
        await self.close()

    def check_complete(self, pair: CandidatePair) -> None:
        """
        A check has ended.
        """
        super().check_complete(pair)
        self._wake.set()

    def _pair_remote_candidate(self, remote_candidate: aioice.Candidate) -> None:
        super()._pair_remote_candidate(remote_candidate)
        self._wake.set()

    async def close(self) -> None:
        """
        Close the sockets and end what waits.
        """
        closing = super().close()
        self._wake.set()
        await closing
        self._wake.set()

    # -- datagrams

    def datagramReceived(self, data: bytes, address: tuple[str, int]) -> None:
        """
        Something other than STUN arrived on one of our sockets.
        """
        if address in self._known:
            self.data_received(data, _COMPONENT)

    def stunReceived(self, protocol: IceSocket, data: bytes, address: tuple[str, int]) -> None:
        """
        What may be STUN arrived. A message that makes aioice stumble is dropped.
        """
        try:
            protocol.datagram_received(data, address)
        except (ValueError, KeyError, AssertionError, AttributeError, TypeError):
            return

    def data_received(self, data: bytes, component: int) -> None:
        """
        Queue a datagram, also those that a TURN server passes on; what is too much is dropped.
        """
        if data and self._queue.qsize() < (MAX_QUEUED if self._nominated else MAX_QUEUED_EARLY):
            super().data_received(data, component)

    def check_incoming(
        self, message: stun.Message, addr: tuple[str, int], protocol: StunProtocol
    ) -> None:
        """
        The peer checks a pair, perhaps from an address that it did not tell.
        """
        if addr not in self._known:
            if len(self._remote_candidates) >= MAX_REMOTE or "PRIORITY" not in message.attributes:
                return
            self._known.add(addr)
        self.checks.checkReceived(addr)
        super().check_incoming(message, addr, protocol)
        self._wake.set()


def _localAddresses() -> list[str]:
    """
    The addresses of this machine that others can reach.
    """
    found = []
    for text in get_host_addresses(use_ipv4=True, use_ipv6=True):
        address = ipaddress.ip_address(text)
        if not (address.is_loopback or address.is_link_local):
            found.append(text)
    return found[:MAX_LOCAL]


def _told(candidate: aioice.Candidate) -> Candidate:
    return Candidate(
        candidate.foundation[:32],
        candidate.component,
        candidate.transport,
        candidate.priority,
        candidate.host,
        candidate.port,
        candidate.type,
        candidate.related_address or "",
        candidate.related_port or 0,
    )
