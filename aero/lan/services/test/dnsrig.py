"""
A LAN whose guest asks questions.
"""

from __future__ import annotations

from typing import Any

import dns.message
import dns.rcode
import dns.rrset

from aero.testing.lan import LANRig

PUBLIC = "93.184.215.14"


def reply(query: Any, *records: str, rcode: int = 0) -> bytes:
    """
    What an upstream answers, made by dnspython.

    @param records: As in a zone file: owner, TTL, type and data.
    """
    asked = dns.message.make_query(_nameOf(query), query.qtype)
    made = dns.message.make_response(asked, recursion_available=True)
    made.set_rcode(dns.rcode.Rcode(rcode))
    for record in records:
        owner, ttl, rtype, data = record.split(" ", 3)
        made.answer.append(dns.rrset.from_text(owner, int(ttl), "IN", rtype, data))
    wire: bytes = made.to_wire()
    return wire


def _nameOf(query: Any) -> Any:
    return dns.name.from_wire(query.name, 0)[0]


class DNSRig(LANRig):
    """
    A LAN whose guest asks questions.
    """

    def ask(self, name: str, rtype: str = "A", **options: Any) -> None:
        """
        Send a question over UDP, to the gateway or C{to} somebody else.
        """
        to = options.pop("to", "10.0.2.2")
        self.guest.sendDatagram(
            5_300, to, 53, dns.message.make_query(name, rtype, **options).to_wire()
        )
        self.settle()

    def upstream(self, *records: str, rcode: int = 0, index: int = -1) -> None:
        """
        Answer what was asked last.
        """
        self.dns.answer(reply(self.dns.queries[index][0], *records, rcode=rcode), index)
        self.settle()

    def answers(self) -> list[Any]:
        """
        The answers since the last call.
        """
        found = [dns.message.from_wire(each.data) for each in self.guest.datagrams]
        self.guest.datagrams.clear()
        return found

    def answer(self) -> Any:
        """
        The one answer since the last call.
        """
        found = self.answers()
        assert len(found) == 1, found
        return found[0]

    def resolve(self, name: str, *addresses: str, ttl: int = 60) -> Any:
        """
        A question about addresses, and its answer.
        """
        self.ask(name)
        self.upstream(*(f"{name}. {ttl} A {address}" for address in addresses))
        return self.answer()


def addressesIn(message: Any) -> list[str]:
    """
    The addresses of an answer.
    """
    return [str(record) for rrset in message.answer for record in rrset if rrset.rdtype == 1]
