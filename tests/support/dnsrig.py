"""
What the tests of DNS share: name servers, names that tell them what to do, and the questions.
"""

from __future__ import annotations

import atexit
import base64
import functools
import itertools
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, ClassVar, Sequence
from urllib.parse import urlencode

import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.rrset

from .http import Response, request, sessionCookie
from .nameservers import Asked, Dnsmasq, Scripted
from .rigs import USUAL, Rigged
from .server import Aero

MESSAGE = "application/dns-message"

#: What the two scripted servers say when they do as they should, and what nobody may believe.
FIRST, SECOND, FORGED = "192.0.2.1", "192.0.2.2", "203.0.113.66"

_SOA = "50 SOA ns.example. host.example. 1 2 3 4 50"

#: Faults of the first server that a client must never see anything of.
FAULTS = (
    "wrong-id",
    "wrong-name",
    "wrong-type",
    "wrong-class",
    "wrong-port",
    "two-questions",
    "no-question",
    "a-query",
    "wrong-opcode",
    "garbage",
    "cut",
    "loop",
    "counts",
    "nothing",
)

_numbers = itertools.count()


def fresh(label: str) -> str:
    """
    A name that nobody has asked for yet; its first label tells the servers what to do.
    """
    return f"{label}.n{next(_numbers)}-{os.getpid()}.example"


def _forgery(asked: Asked, fault: str) -> list[bytes]:
    """
    Messages with one fault each.
    """
    answer = asked.answer(f"100 A {FORGED}")
    wire = answer.to_wire()
    if fault == "wrong-id":
        return [bytes([wire[0] ^ bit]) + wire[1:] for bit in (1, 128)]
    if fault in ("wrong-name", "wrong-type", "wrong-class"):
        others: dict[str, tuple[Any, str, str]] = {
            "wrong-name": ("elsewhere.example.", "IN", "A"),
            "wrong-type": (answer.question[0].name, "IN", "AAAA"),
            "wrong-class": (answer.question[0].name, "CH", "A"),
        }
        name, rdclass, rdtype = others[fault]
        answer.question = [dns.rrset.from_text(name, 0, rdclass, rdtype)]
    elif fault == "two-questions":
        answer.question *= 2
    elif fault == "no-question":
        answer.question = []
    elif fault == "a-query":
        answer.flags &= ~dns.flags.QR
    elif fault == "wrong-opcode":
        answer.set_opcode(dns.opcode.STATUS)
    elif fault == "garbage":
        return [b"", b"\0", wire[:2], wire[:11], wire[:2] + os.urandom(100)]
    elif fault == "cut":
        return [wire[:size] for size in range(12, len(wire))]
    elif fault == "loop":
        end = 12 + len(answer.question[0].name.to_wire() or b"") + 4
        pointer = (0xC000 | end).to_bytes(2, "big")
        tail = b"\0\1\0\1\0\0\0\x64\0\4\xcb\0\x71\x42"
        return [wire[:6] + b"\0\1\0\0\0\0" + wire[12:end] + pointer + tail]
    elif fault == "counts":
        return [wire[:6] + b"\xff\xff" + wire[8:]]
    elif fault == "nothing":
        return []
    return [answer.to_wire()]


def _first(asked: Asked) -> None:
    """
    What the first server does.
    """
    if any(b"." in label or b" " in label for label in asked.labels):
        asked.send(asked.answer(rcode=dns.rcode.NXDOMAIN, authority=_SOA).to_wire())
        return
    label = asked.labels[0].decode("latin-1")
    good = asked.answer(f"100 A {FIRST}")
    kind, _, then = label.partition("--")
    if kind.startswith("tcp-"):
        if asked.tcp:
            for wire in _forgery(asked, kind.removeprefix("tcp-")):
                asked.send(wire)
            return
        kind = "truncated"
    if kind in FAULTS:
        if asked.tcp:
            return
        if kind == "wrong-port":
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                forged = asked.answer(f"100 A {FORGED}").to_wire()
                other.sendto(forged, ("127.0.0.1", asked.port))
        for wire in _forgery(asked, "" if kind == "wrong-port" else kind):
            if kind != "wrong-port":
                asked.send(wire)
        if then == "then":
            asked.send(good.to_wire())
        return
    if kind == "lower":
        good.question[0].name = dns.name.from_text(good.question[0].name.to_text().lower())
    elif kind == "truncated" and not asked.tcp:
        good = asked.answer(f"100 A {FORGED}")
        good.flags |= dns.flags.TC
    elif kind == "flood" and not asked.tcp:
        for wire in _forgery(asked, "wrong-id") * 60:
            asked.send(wire)
        return
    elif kind == "slow":
        time.sleep(0.3)
    elif kind in ("servfail", "refused"):
        good = asked.answer(rcode=getattr(dns.rcode, kind.upper()))
    elif kind == "nodata":
        good = asked.answer(authority=_SOA)
    elif kind == "nxdomain":
        good = asked.answer(rcode=dns.rcode.NXDOMAIN, authority=_SOA)
    elif kind == "zero":
        good = asked.answer(f"0 A {FIRST}")
    elif kind == "huge":
        good = asked.answer(*(f"100 A 192.0.2.{n}" for n in range(250)))
        good.answer += [
            dns.rrset.from_text(good.question[0].name, 100, "IN", "TXT", '"' + "x" * 250 + '"')
            for _ in range(16)
        ]
    elif asked.query.question[0].rdtype == dns.rdatatype.PTR:
        good = asked.answer("100 PTR dns.example.")
    asked.send(good.to_wire(max_size=65_535))


def _second(asked: Asked) -> None:
    """
    What the second server does: answer, unless the name says that both have the fault.
    """
    label = asked.labels[0]
    if label == b"servfail--both":
        asked.send(asked.answer(rcode=dns.rcode.SERVFAIL).to_wire())
    elif label == b"huge--both":
        _first(asked)
    elif not label.endswith(b"--both"):
        asked.send(asked.answer(f"100 A {SECOND}").to_wire())


@functools.cache
def scripted() -> tuple[Scripted, Scripted]:
    """
    The two servers.
    """
    return Scripted(_first), Scripted(_second)


@functools.cache
def dnsmasq() -> Dnsmasq:
    """
    The real server.
    """
    made = Dnsmasq(
        "--host-record=dual.example,192.0.2.11,2001:db8::11",
        "--cname=alias.example,dual.example",
        "--ptr-record=8.8.8.8.in-addr.arpa,dns.example",
        "--mx-host=mail.example,mx.example,10",
        *(f"--txt-record=long.example,{n:02}{'t' * 240}" for n in range(12)),
        "--local=/example/",
        "--local-ttl=100",
    )
    atexit.register(made.stop)
    return made


#: No limit on the rate: everything here comes from one address.
_UNLIMITED = USUAL | {"DNS_QPS_PER_IP": "0", "DNS_MAX_QUERY_BYTES": "512"}


class DNSRigged(Rigged):
    """
    Tests that ask. A mix-in, as L{Rigged} is.
    """

    def settings(self) -> dict[str, str]:
        """
        Upstreams that do what names tell them.
        """
        first, second = scripted()
        upstreams = f"127.0.0.1:{first.port},udp://127.0.0.1:{second.port}"
        return _UNLIMITED | {"DNS_UPSTREAMS": upstreams, "DNS_UPSTREAM_TIMEOUT_MS": "700"}

    def real(self) -> dict[str, str]:
        """
        dnsmasq as the upstream.
        """
        return _UNLIMITED | {"DNS_UPSTREAMS": f"127.0.0.1:{dnsmasq().port}"}

    def send(
        self,
        method: str,
        target: str,
        *headers: tuple[str, str],
        body: bytes | None = None,
        settings: dict[str, str] | None = None,
    ) -> Response:
        """
        One request with a session.
        """
        server = self.server(settings or self.settings())
        cookie = ("Cookie", self.cookie(server))
        return request(server, method, target, cookie, *headers, body=body)

    _cookies: ClassVar[dict[str, str]] = {}

    def cookie(self, server: Aero) -> str:
        """
        One session for each server.
        """
        key = str(server.state)
        if key not in self._cookies:
            self._cookies[key] = sessionCookie(server)
        return self._cookies[key]

    def post(self, wire: bytes, settings: dict[str, str] | None = None) -> Response:
        """
        C{POST /dns-query}.
        """
        header = ("Content-Type", MESSAGE)
        return self.send("POST", "/dns-query", header, body=wire, settings=settings)

    def get(self, wire: bytes, settings: dict[str, str] | None = None) -> Response:
        """
        C{GET /dns-query}.
        """
        text = base64.urlsafe_b64encode(wire).rstrip(b"=").decode()
        return self.send("GET", f"/dns-query?dns={text}", settings=settings)

    def ask(
        self, name: Any, kind: str = "A", settings: dict[str, str] | None = None
    ) -> dns.message.Message:
        """
        Ask a proper question and check that the reply answers just that.
        """
        query = dns.message.make_query(name, kind)
        response = self.post(query.to_wire(), settings)
        self.assertEqual((response.status, response.one("Content-Type")), (200, MESSAGE))
        answer = dns.message.from_wire(response.body)
        self.assertTrue(query.is_response(answer), str(answer))
        self.assertEqual(
            [one.name.labels for one in answer.question],
            [one.name.labels for one in query.question],
        )
        return answer

    def addresses(self, answer: dns.message.Message) -> list[str]:
        """
        The data of the answer's records.
        """
        return [str(data) for rrset in answer.answer for data in rrset]

    def json(
        self, settings: dict[str, str] | None = None, **parameters: str
    ) -> tuple[int, dict[str, Any]]:
        """
        C{GET /dns-json}: status and what the body says.
        """
        response = self.send("GET", f"/dns-json?{urlencode(parameters)}", settings=settings)
        self.assertEqual(response.one("Cache-Control"), "no-store")
        found: dict[str, Any] = response.json()
        return response.status, found

    def together(self, ask: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
        """
        Do something with all values at the same time, and give the results in order.
        """
        self.cookie(self.server(self.settings()))
        with ThreadPoolExecutor(len(values)) as threads:
            return list(threads.map(ask, values))

    def assertMessage(self, response: Response, status: int, message: bytes) -> None:
        """
        A reply is exactly this DNS message, and not to be kept.
        """
        self.assertEqual((response.status, response.body.hex()), (status, message.hex()))
        self.assertEqual(response.one("Content-Type"), MESSAGE)
        self.assertEqual(response.one("Cache-Control"), "no-store")
