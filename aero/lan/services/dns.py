# -*- test-case-name: aero.lan.services.test.test_dns -*-
"""
The DNS of a guest's LAN: what a guest is told, and what its policy learns from that.

Every type of question goes through the resolver of the whole server, after the rules about
domains; those about addresses are applied to what comes back. Static names are the operator's,
and the LAN itself has some (L{aero.lan.names}).

Guests have no IPv6. AAAA gets what A would get, without the addresses: a name that does not exist
does not exist whatever the type (RFC 8020), and one that does has nothing (RFC 2308 section 2.2).

A guest has a cache of its own for addresses, which is what its share of the resolver's work is
counted by, a bound on the questions under way, and a bound on how long it waits. A rate limits
the questions that it asks of the resolver (L{aero.lan.dnsrates}). Over UDP a question beyond
the rate is dropped: a stub resolver asks again after some seconds, when the guest may ask again,
so that a page loads slowly. REFUSED would end the lookup at once with an error. Over TCP a
question without an answer would keep the others waiting, so that there the answer is REFUSED.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Callable, Final, Iterable, NamedTuple

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, succeed
from twisted.logger import Logger

from aero.dns.engine import Answer
from aero.dns.exchange import PAYLOAD_SIZE
from aero.errors import DecodeError
from aero.metrics import lan as rows
from aero.wire.dns import (
    AA,
    AAAA,
    CNAME,
    FORMERR,
    HEADER_SIZE,
    IN,
    NOERROR,
    NXDOMAIN,
    QR,
    RCODE,
    REFUSED,
    SERVFAIL,
    A,
    identify,
    labelsOf,
    nameText,
    shortAnswer,
)
from aero.wire.dnsanswer import Record, ScannedAnswer, addressRecords, answerFor, scanAnswer
from aero.wire.dnsguest import (
    aboutOtherType,
    answersOnly,
    answerWith,
    isHostName,
    leadingRecords,
    serviceHints,
    truncated,
    withTTLs,
)
from aero.wire.dnsquery import Query, parseQuery

from ..dnsrates import QuestionRates
from ..names import LANNames

if TYPE_CHECKING:
    from ..lan import LAN

#: Blocked names of one guest whose addresses are being looked up.
MAX_BLOCKED_LOOKUPS: Final = 16


class _Kept(NamedTuple):
    answer: ScannedAnswer
    stored: float
    expires: float
    addresses: tuple[int, ...]


class GuestDNS:
    """
    Answers the questions of one guest.
    """

    _log = Logger()

    def __init__(self, lan: LAN, engine: Any, rates: QuestionRates, names: LANNames) -> None:
        """
        @param engine: The L{aero.dns.engine.DNSEngine} of the server.
        @param rates: The questions that guests may ask of it.
        @param names: The names of the LAN itself.
        """
        self._names = names
        settings = lan.settings
        self._lan = lan
        self._engine = engine
        self._rates = rates
        self._static = dict(settings.staticNames)
        self._maxPending = settings.maxPendingDNS
        self._timeout = settings.lookupTimeout
        self._defaultTTL = settings.defaultTTL
        self._maxTTL = settings.maxTTL
        self._maxKept = settings.maxDNSCacheEntries
        self._maxDatagram = lan.plan.mtu - 28
        #: By first insertion.
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._pending: set[Deferred[Any]] = set()
        self._blockedLookups = 0
        metrics = lan.metrics
        self._queries = metrics.counter(rows.L2_DNS_QUERIES)
        self._seconds = metrics.histogram(rows.DNS_SECONDS)

    def ask(
        self, data: bytes, viaTCP: bool, hasRoom: Callable[[int], bool] | None = None
    ) -> Deferred[bytes] | None:
        """
        Answer a message.

        @param hasRoom: Called with the size of an answer when it is there; where it returns
            false, the answer becomes SERVFAIL, so that the guest asks again.
        @return: Fires with the answer, and fails only when it is cancelled; C{None} for what
            has no answer.
        """
        try:
            query = parseQuery(data)
        except DecodeError:
            ident, flags = identify(data)
            if len(data) < HEADER_SIZE or flags & QR:
                return None
            return succeed(shortAnswer(ident, flags, FORMERR))
        answer = self._answer(query)
        if answer is None:
            return self._own(query, REFUSED) if viaTCP else None
        if not viaTCP:
            answer.addCallback(self._fitted, query)
        elif hasRoom is not None:
            answer.addCallback(
                lambda found: (
                    found if hasRoom(len(found)) else answerWith(query, SERVFAIL, (), PAYLOAD_SIZE)
                )
            )
        return answer

    def stop(self) -> None:
        """
        Forget who waits.
        """
        for waiting in list(self._pending):
            waiting.cancel()

    def _fitted(self, message: bytes, query: Query) -> bytes:
        """
        An answer that fits into the datagram that the guest takes.
        """
        most = 512 if query.edns is None else query.edns.payloadSize
        if len(message) <= min(most, self._maxDatagram):
            return message
        return truncated(query, message[3] & 15, PAYLOAD_SIZE)

    def _answer(self, query: Query) -> Deferred[bytes] | None:
        """
        See l2.md section 16.7 for the order.

        @return: C{None} where the guest asks too much.
        """
        now = self._lan.clock.seconds()
        if query.opcode or query.qclass != IN or (query.edns is not None and query.edns.version):
            if not self._rates.admit(self._lan.peer, now):
                return None
            asked: Deferred[Answer] = self._engine.query(query)
            return asked.addCallback(lambda answer: answer.message)
        name = nameText(query.name)
        if query.qtype == AAAA:
            found = self._answer(query._replace(qtype=A))
            return None if found is None else found.addCallback(self._withoutAddresses, query)
        own = self._names.find(query)
        if own is not None:
            made = answerWith(query, own.rcode, own.records, PAYLOAD_SIZE, AA, own.authority)
            return succeed(made)
        kept = self._kept.get(query.key)
        if kept is not None and now < kept.expires:
            self._learn(kept.addresses, kept.expires - now, now, True)
            age = int(now - kept.stored)
            return succeed(answerFor(query, kept.answer, age, PAYLOAD_SIZE))
        if len(self._pending) >= self._maxPending:
            self._lan.metrics.counter(rows.REFUSALS, "dns", "pending").inc()
            return self._own(query, SERVFAIL)
        if name not in self._static and not self._rates.admit(self._lan.peer, now):
            return None
        self._queries.inc()
        refusal = self._lan.egress.rules.nameRefusal(name)
        if refusal:
            return self._refused(query, name, refusal)
        static = self._static.get(name)
        if static is not None:
            return self._fromStatic(query, static, now)
        if query.qtype == A and not isHostName(labelsOf(query.name)):
            self._lan.dnsFailed.inc()
            return self._own(query, NXDOMAIN)
        return self._lookUp(query, now)

    def _withoutAddresses(self, message: bytes, query: Query) -> bytes:
        """
        The answer about AAAA.

        @param message: The one about A.
        """
        if message[3] & RCODE == NOERROR and message[6:8] != b"\0\0":
            return answerWith(query, NOERROR, (), PAYLOAD_SIZE)
        return aboutOtherType(query, message)

    # -- what the operator says

    def _refused(self, query: Query, name: str, refusal: str) -> Deferred[bytes]:
        """
        The guest may not have a name: there is no such name. What addresses it has is of
        interest all the same, unless all are refused that no name led to.
        """
        static = self._static.get(name)
        if static is not None and not self._lan.egress.rules.needsName:
            self._lan.nameRefused(refusal)
            self._learn((static,), self._defaultTTL, self._lan.clock.seconds(), False)
        else:
            self._block(query, refusal)
        return self._own(query, NXDOMAIN)

    def _block(self, query: Query, refusal: str) -> None:
        """
        Count the refusal of a name, and find its addresses, to block them.
        """
        lan = self._lan
        lan.nameRefused(refusal)
        full = self._blockedLookups >= MAX_BLOCKED_LOOKUPS
        if not (full or lan.egress.rules.needsName) and self._maxPending:
            self._blockedLookups += 1
            wanted = query._replace(qtype=A, edns=None)
            self._engine.query(wanted).addCallbacks(self._blockedFound, self._blockedLost)

    def _blockedFound(self, answer: Answer) -> None:
        self._blockedLookups -= 1
        try:
            records = addressRecords(answer.message)
        except DecodeError:
            return
        found = [record for record in records if record.rtype == A]
        addresses = tuple(int.from_bytes(record.data, "big") for record in found)
        now = self._lan.clock.seconds()
        self._learn(addresses, min((r.ttl for r in found), default=0), now, False)

    def _blockedLost(self, failure: Any) -> None:
        self._blockedLookups -= 1

    def _fromStatic(self, query: Query, address: int, now: float) -> Deferred[bytes]:
        if query.qtype != A:
            return self._own(query, NOERROR)
        refusal = self._lan.egress.rules.addressRefusal(address, True)
        if refusal:
            # Not one of the policy's refusals by count, but the operator's own mistake.
            self._lan.metrics.counter(rows.REFUSALS, "dns", refusal).inc()
            return self._own(query, NXDOMAIN)
        record = Record(query.name, A, self._defaultTTL, address.to_bytes(4, "big"))
        message = answerWith(query, NOERROR, [record], PAYLOAD_SIZE)
        self._keep(query, scanAnswer(message), self._defaultTTL, now, (address,))
        return succeed(message)

    def _own(self, query: Query, rcode: int) -> Deferred[bytes]:
        return succeed(answerWith(query, rcode, (), PAYLOAD_SIZE))

    # -- what the resolver says

    def _lookUp(self, query: Query, began: float) -> Deferred[bytes]:
        lookup: Deferred[Any] = self._engine.query(query)
        if self._timeout and not lookup.called:
            lookup.addTimeout(self._timeout, self._lan.clock)
        self._pending.add(lookup)

        def found(answer: Answer) -> bytes:
            return self._checked(query, answer)

        def failed(failure: Any) -> bytes:
            failure.trap(CancelledError, TimeoutError, DecodeError)
            self._lan.dnsFailed.inc()
            return answerWith(query, SERVFAIL, (), PAYLOAD_SIZE)

        def over(result: Any) -> Any:
            self._pending.discard(lookup)
            self._seconds.observe(self._lan.clock.seconds() - began)
            return result

        return lookup.addCallback(found).addErrback(failed).addBoth(over)

    def _checked(self, query: Query, answer: Answer) -> bytes:
        """
        What of an answer the guest may have. Rules hold for whatever leads somewhere, whichever
        type was asked for: aliases, addresses, and the targets and addresses of services.
        """
        lan = self._lan
        now = lan.clock.seconds()
        if answer.rcode != NOERROR:
            lan.dnsFailed.inc()
        message = answer.message
        records, end = leadingRecords(message)
        refusal = self._aliasRefusal(records)
        if refusal:
            self._aliasRefused(query, records, now, refusal)
            return answerWith(query, NXDOMAIN, (), PAYLOAD_SIZE)
        allowed: list[int] = []
        kept: list[Record] = []
        for record in records:
            found, why = self._judged(record, now)
            if why:
                refusal = why
            else:
                kept.append(record)
                allowed += found
        if query.qtype != A or answer.rcode != NOERROR:
            return self._otherType(query, message, end, kept, allowed, refusal)
        if refusal:
            if not allowed:
                lan.nameRefused(refusal)
                return answerWith(query, NXDOMAIN, (), PAYLOAD_SIZE)
            message = answerWith(query, NOERROR, kept, PAYLOAD_SIZE)
        elif not allowed:
            lan.dnsFailed.inc()
        scanned = withTTLs(scanAnswer(message), min(self._defaultTTL, self._maxTTL), self._maxTTL)
        if allowed:
            ttl = min((ttl for _, ttl in scanned.ttls), default=0)
            self._keep(query, scanned, ttl, now, tuple(allowed))
        return answerFor(query, scanned, 0, PAYLOAD_SIZE)

    def _otherType(
        self,
        query: Query,
        message: bytes,
        end: int,
        kept: list[Record],
        allowed: list[int],
        refusal: str,
    ) -> bytes:
        """
        An answer that is not about addresses, although it may have some.
        """
        lan = self._lan
        if refusal:
            lan.nameRefused(refusal)
            message = answerWith(query, message[3] & RCODE, kept, PAYLOAD_SIZE)
        elif lan.egress.rules.bindsNames and message[6:8] != b"\0\0":
            # What else an upstream adds may be addresses of names that nobody asked about.
            message = answersOnly(message, end)
        scanned = withTTLs(scanAnswer(message), 0, self._maxTTL)
        if allowed:
            ttl = min((ttl for _, ttl in scanned.ttls), default=0)
            self._learn(tuple(allowed), ttl, lan.clock.seconds(), True)
        return answerFor(query, scanned, 0, PAYLOAD_SIZE)

    def _aliasRefusal(self, records: Iterable[Record]) -> str:
        """
        Why the guest may not go where an alias leads.
        """
        refusalOf = self._lan.egress.rules.aliasRefusal
        for record in records:
            refusal = refusalOf(nameText(record.data)) if record.rtype == CNAME else ""
            if refusal:
                return refusal
        return ""

    def _aliasRefused(
        self, query: Query, records: Iterable[Record], now: float, refusal: str
    ) -> None:
        """
        An alias leads into a blocked domain, so that the addresses behind it are blocked.
        """
        addresses: list[int] = []
        for record in records:
            addresses += _leadsTo(record)[1]
        if addresses:
            ttl = min(record.ttl for record in records)
            self._learn(tuple(addresses), ttl, now, False)
            self._lan.nameRefused(refusal)
        else:
            self._block(query, refusal)

    def _judged(self, record: Record, now: float) -> tuple[tuple[int, ...], str]:
        """
        The addresses of a record that the guest may have; or why it may not have the record.
        """
        rules = self._lan.egress.rules
        target, addresses = _leadsTo(record)
        refusal = rules.aliasRefusal(target) if target else ""
        if refusal:
            self._learn(addresses, record.ttl, now, False)
            return (), refusal
        for address in addresses:
            refusal = rules.addressRefusal(address)
            if refusal:
                return (), refusal
        return addresses, ""

    # -- what is remembered

    def _keep(
        self, query: Query, answer: ScannedAnswer, ttl: int, now: float, addresses: tuple[int, ...]
    ) -> None:
        """
        Remember an answer; the one that came first makes room.
        """
        self._learn(addresses, ttl, now, True)
        if not ttl or not self._maxKept:
            return
        key = query.key
        if key not in self._kept and len(self._kept) >= self._maxKept:
            self._kept.popitem(last=False)
        self._kept[key] = _Kept(answer, now, now + ttl, addresses)

    def _learn(self, addresses: tuple[int, ...], ttl: float, now: float, allowed: bool) -> None:
        for address in addresses:
            self._lan.egress.learn(address, ttl, now, allowed)


def _leadsTo(record: Record) -> tuple[str, tuple[int, ...]]:
    """
    The name that a service is at, if it is not its own, and the addresses of a record.

    @raise DecodeError: It is malformed.
    """
    if record.rtype == A:
        return "", (int.from_bytes(record.data, "big"),)
    if record.rtype == CNAME:
        return "", ()
    target, addresses = serviceHints(record.data)
    return nameText(target), addresses
