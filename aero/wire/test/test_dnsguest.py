"""
Tests for L{aero.wire.dnsguest}.
"""

from __future__ import annotations

import dns.message
import dns.rcode
from twisted.trial.unittest import SynchronousTestCase

from aero.wire.dns import NOERROR, NXDOMAIN, A
from aero.wire.dnsanswer import Record, answerFor, scanAnswer
from aero.wire.dnsguest import answerWith, isHostName, truncated, withTTLs
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
