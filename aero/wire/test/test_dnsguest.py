"""
Tests for L{aero.wire.dnsguest}.
"""

from __future__ import annotations

import dns.message
import dns.rcode
import dns.rrset
from twisted.trial.unittest import SynchronousTestCase

from aero.errors import DecodeError
from aero.wire.dns import CNAME, NOERROR, NXDOMAIN, A
from aero.wire.dnsanswer import Record, answerFor, scanAnswer
from aero.wire.dnsguest import (
    HTTPS,
    answersOnly,
    answerWith,
    isHostName,
    leadingRecords,
    serviceHints,
    truncated,
    withTTLs,
)
from aero.wire.dnsquery import parseQuery

#: The query of the reference's transcript, and its answer (l2.md section 16.7).
QUERY = bytes.fromhex("123401000001000000000000044563686f054c6f63616c0000010001")
ANSWER = bytes.fromhex(
    "123481800001000100000000044563686f054c6f63616c0000010001c00c000100010000003c0004cb00710a"
)
ADDRESS = bytes((203, 0, 113, 10))


class AnswerTests(SynchronousTestCase):
    """
    Answers that are made here.
    """

    def test_transcript(self) -> None:
        """
        The answer of the transcript is made byte for byte, in the spelling of the question.
        """
        query = parseQuery(QUERY)
        record = Record(b"\x04echo\x05local\0", A, 60, ADDRESS)
        self.assertEqual(answerWith(query, NOERROR, [record], 1_232), ANSWER)

    def test_refusal(self) -> None:
        """
        A name that is refused does not exist.
        """
        made = answerWith(parseQuery(QUERY), NXDOMAIN, (), 1_232)
        self.assertEqual(made[2:4].hex(), "8183")
        self.assertEqual(made[12:], QUERY[12:])

    def test_edns(self) -> None:
        """
        Who sends OPT gets one; another implementation reads the answer.
        """
        asked = dns.message.make_query("www.example.com", "A", use_edns=0, payload=4_096)
        query = parseQuery(asked.to_wire())
        records = [
            Record(b"\3www\7example\3com\0", 5, 10, b"\4edge\7example\3net\0"),
            Record(b"\4edge\7example\3net\0", A, 20, ADDRESS),
        ]
        found = dns.message.from_wire(answerWith(query, NOERROR, records, 1_232))
        self.assertEqual((found.edns, found.payload, found.id), (0, 1_232, asked.id))
        self.assertEqual(
            [rrset.to_text() for rrset in found.answer],
            [
                "www.example.com. 10 IN CNAME edge.example.net.",
                "edge.example.net. 20 IN A 203.0.113.10",
            ],
        )

    def test_truncated(self) -> None:
        """
        An answer that does not fit says so, and nothing else.
        """
        found = dns.message.from_wire(truncated(parseQuery(QUERY), NOERROR, 1_232))
        self.assertTrue(found.flags & 0x0200)
        self.assertEqual((len(found.question), found.answer), (1, []))

    def test_ttls(self) -> None:
        """
        TTLs are brought within bounds; an answer that is within them is left as it is.
        """
        scanned = scanAnswer(ANSWER)
        self.assertIs(withTTLs(scanned, 60, 300), scanned)
        query = parseQuery(QUERY)
        for ttl, expected in ((0, 60), (1, 1), (300, 300), (301, 300), (86_400, 300)):
            changed = scanAnswer(ANSWER[:-10] + ttl.to_bytes(4, "big") + ANSWER[-6:])
            made = answerFor(query, withTTLs(changed, 60, 300), 0, 1_232)
            self.assertEqual(int.from_bytes(made[-10:-6], "big"), expected)

    def test_hostNames(self) -> None:
        """
        White space and control characters are in no name of a host; most else may be.
        """
        for label in (b"bad name", b"\0", b"tab\t", b"del\x7f"):
            self.assertFalse(isHostName([b"www", label]))
        self.assertTrue(isHostName([b"_http", b"xn--bcher-kva", "b\xfccher".encode(), b"a*b"]))


def answerOf(*records: str) -> bytes:
    """
    An answer made by dnspython.

    @param records: Owner, type and data.
    """
    made = dns.message.make_response(dns.message.make_query("www.example.com", "HTTPS"))
    for record in records:
        owner, rtype, data = record.split(" ", 2)
        made.answer.append(dns.rrset.from_text(owner, 60, "IN", rtype, data))
    wire: bytes = made.to_wire()
    return wire


class LeadingTests(SynchronousTestCase):
    """
    What in an answer leads somewhere.
    """

    answer = answerOf(
        "www.example.com. CNAME edge.example.net.",
        'edge.example.net. TXT "passed over"',
        'edge.example.net. HTTPS 1 svc.example.net. alpn="h2,h3" port=8443 ipv4hint="1.2.3.4,5.6.7.8"'
        ' ipv6hint="2001:db8::1"',
        "edge.example.net. A 9.9.9.9",
    )

    def test_records(self) -> None:
        """
        Aliases, addresses and services are found, in their order, names without compression.
        """
        records, end = leadingRecords(self.answer)
        self.assertEqual(end, len(self.answer))
        self.assertEqual(
            [(record.name, record.rtype) for record in records],
            [
                (b"\3www\7example\3com\0", CNAME),
                (b"\4edge\7example\3net\0", HTTPS),
                (b"\4edge\7example\3net\0", A),
            ],
        )
        self.assertEqual(records[0].data, b"\4edge\7example\3net\0")
        self.assertEqual(
            serviceHints(records[1].data),
            (b"\3svc\7example\3net\0", (0x01020304, 0x05060708)),
        )

    def test_ownTarget(self) -> None:
        """
        A service may be at its owner, and give no address.
        """
        for text in ("0 .", '1 . alpn="h2"'):
            records, _ = leadingRecords(answerOf(f"www.example.com. HTTPS {text}"))
            self.assertEqual(serviceHints(records[0].data), (b"\0", ()))

    def test_truncated(self) -> None:
        """
        An answer that ends too early is malformed, wherever that is.
        """
        for size in range(len(self.answer)):
            self.assertRaises(DecodeError, leadingRecords, self.answer[:size])

    def test_malformedServices(self) -> None:
        """
        A service that ends in the middle of something is malformed, as are parameters out of
        order or twice, and addresses of a wrong length.
        """
        data = leadingRecords(self.answer)[0][1].data
        offset = 2 + len(serviceHints(data)[0])
        whole = {offset}
        while offset < len(data):
            offset += 4 + int.from_bytes(data[offset + 2 : offset + 4], "big")
            whole.add(offset)
        for size in set(range(len(data))) - whole:
            self.assertRaises(DecodeError, serviceHints, data[:size])
        for parameters in (
            "0004 0000",
            "0004 0003 010203",
            "0004 0005 0102030405",
            "0004 0004 01020304 0001 0000",
            "0004 0004 01020304 0004 0004 01020304",
        ):
            malformed = b"\0\1\0" + bytes.fromhex(parameters)
            self.assertRaises(DecodeError, serviceHints, malformed)

    def test_answersOnly(self) -> None:
        """
        What stands behind the answers is cut off; another implementation reads the rest.
        """
        made = dns.message.from_wire(self.answer)
        made.authority.append(
            dns.rrset.from_text("example.net.", 60, "IN", "NS", "ns.example.net.")
        )
        made.additional.append(dns.rrset.from_text("ns.example.net.", 60, "IN", "A", "1.1.1.1"))
        whole = made.to_wire()
        cut = dns.message.from_wire(answersOnly(whole, leadingRecords(whole)[1]))
        self.assertEqual((cut.authority, cut.additional), ([], []))
        self.assertEqual(cut.answer, made.answer)
