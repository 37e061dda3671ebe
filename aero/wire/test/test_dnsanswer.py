"""
Tests for L{aero.wire.dnsanswer}.
"""

from __future__ import annotations

import contextlib

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
from twisted.trial.unittest import SynchronousTestCase

from aero.errors import DecodeError
from aero.testing.properties import given, strategies
from aero.wire.dns import NXDOMAIN, RD
from aero.wire.dnsanswer import (
    MAX_TTL,
    Record,
    addressRecords,
    answerFor,
    mismatch,
    scanAnswer,
    unknownVersion,
)
from aero.wire.dnsquery import EDNS, Query, parseQuery

NAME = b"\3www\7example\3com\0"
QUERY = Query(0x4321, RD, b"\3wWw\7eXample\3com\0", 1, 1)
SOA = "example.com. {ttl} IN SOA ns.example.com. host.example.com. 1 2 3 4 {minimum}"


def answer(
    *records: str,
    authority: tuple[str, ...] = (),
    additional: tuple[str, ...] = (),
    qtype: str = "A",
    rcode: int = 0,
    flags: int = 0,
    edns: bool = False,
) -> bytes:
    """
    An answer of another implementation, compressed.
    """
    query = dns.message.make_query("www.example.com", qtype, id=0x77)
    response = dns.message.make_response(query, recursion_available=True)
    response.set_rcode(dns.rcode.Rcode(rcode))
    response.flags |= flags
    for section, texts in (
        (response.answer, records),
        (response.authority, authority),
        (response.additional, additional),
    ):
        for text in texts:
            name, ttl, rclass, rtype, data = text.split(" ", 4)
            section.append(dns.rrset.from_text(name, int(ttl), rclass, rtype, data))
    response.use_edns(
        0 if edns else False,
        options=[dns.edns.GenericOption(dns.edns.OptionType.COOKIE, b"12345678")] if edns else None,
    )
    return response.to_wire()


A100 = "www.example.com. 100 IN A 192.0.2.1"


class ScanAnswerTests(SynchronousTestCase):
    """
    Tests for L{scanAnswer}.
    """

    def test_lifetimes(self) -> None:
        """
        An answer is kept as long as its first record, a negative one as its SOA says, and
        SERVFAIL, REFUSED and truncated ones not at all (section 14.7, RFC 2308).
        """
        alias = "www.example.com. 50 IN CNAME a.example.com."
        soa = (SOA.format(ttl=300, minimum=40),)
        short = (SOA.format(ttl=30, minimum=400),)
        cases: list[tuple[bytes, int | None]] = [
            (answer(A100), 100),
            (answer(alias, "a.example.com. 70 IN A 192.0.2.1"), 50),
            (answer(A100, authority=("example.com. 5 IN NS ns.example.com.",)), 100),
            (answer(alias), 50),
            (answer(alias, authority=soa), 40),
            (answer(authority=soa), 40),
            (answer(authority=short), 30),
            (answer(authority=soa, rcode=NXDOMAIN), 40),
            (answer(alias, authority=short, rcode=NXDOMAIN), 30),
            (answer(), None),
            (answer(rcode=NXDOMAIN), None),
            (answer(A100, rcode=2), 0),
            (answer(rcode=5), 0),
            (answer(A100, flags=dns.flags.TC), 0),
            (answer(flags=dns.flags.TC), 0),
            (answer("www.example.com. 0 IN A 192.0.2.1"), 0),
        ]
        for raw, lifetime in cases:
            self.assertEqual(scanAnswer(raw).lifetime, lifetime, dns.message.from_wire(raw))

    def test_negativeTTL(self) -> None:
        """
        A TTL with the first bit set counts as none (RFC 2181 section 8).
        """
        raw = answer(A100)
        place = raw.index((100).to_bytes(4, "big"))
        raw = raw[:place] + b"\x80\0\0\1" + raw[place + 4 :]
        self.assertEqual(scanAnswer(raw).lifetime, 0)
        self.assertLess(MAX_TTL, 0x80000001)

    def test_withoutOPT(self) -> None:
        """
        The upstream's OPT record, cookies and all, stays behind.
        """
        scanned = scanAnswer(answer(A100, edns=True))
        self.assertTrue(scanned.hadOPT)
        message = dns.message.from_wire(answerFor(QUERY, scanned, 0, 1232))
        self.assertEqual(message.edns, -1)
        self.assertEqual(len(message.answer), 1)

    def test_cutAnywhere(self) -> None:
        """
        An answer that is cut off anywhere, or has bytes left over, is refused.
        """
        raw = answer(
            A100,
            authority=(SOA.format(ttl=3, minimum=4),),
            additional=("a. 1 IN A 192.0.2.9",),
            edns=True,
        )
        scanAnswer(raw)
        for size in range(len(raw)):
            self.assertRaises(DecodeError, scanAnswer, raw[:size])
        self.assertRaises(DecodeError, scanAnswer, raw + b"\0")

    def test_pointerLoops(self) -> None:
        """
        Names in records are checked as strictly as all others.
        """
        start = answer()[:6] + b"\0\1" + bytes(4) + answer()[12:]
        tail = b"\0\1\0\1" + bytes(4) + b"\0\4abcd"
        for name in (b"\xc0\x21", b"\xc0\x30", b"\xc0\x00", b"\1a\xc0\x21", b"\x40", b"\xff\xff"):
            self.assertRaises(DecodeError, scanAnswer, start + name + tail)
        scanAnswer(start + b"\xc0\x0c" + tail)

    def test_longChains(self) -> None:
        """
        A name in a record may take 64 pointers and no more, and no more than 255 bytes in
        all, however short each piece is (A180).
        """
        for hops, fine in ((64, True), (65, False)):
            records = b""
            target = 12
            for _ in range(hops):
                place = len(answer()) + len(records)
                records += (0xC000 | target).to_bytes(2, "big") + b"\0\1\0\1" + bytes(4) + b"\0\0"
                target = place
            raw = answer()[:6] + hops.to_bytes(2, "big") + bytes(4) + answer()[12:] + records
            if fine:
                scanAnswer(raw)
            else:
                self.assertRaises(DecodeError, scanAnswer, raw)
        long = b"\x3f" + b"a" * 63
        start = answer()[:6] + b"\0\2" + bytes(4) + answer()[12:]
        tail = b"\0\1\0\1" + bytes(4) + b"\0\0"
        first = long * 3 + b"\0" + tail
        pointer = (0xC000 | len(start)).to_bytes(2, "big")
        scanAnswer(start + first + b"\x3d" + b"b" * 61 + pointer + tail)
        self.assertRaises(
            DecodeError, scanAnswer, start + first + b"\x3e" + b"b" * 62 + pointer + tail
        )

    def test_hiddenChain(self) -> None:
        """
        Pointers in the data of a record count as well when a name leads there.
        """
        start = answer()[:6] + b"\0\2" + bytes(4) + answer()[12:]
        fixed = b"\xc0\x0c" + b"\0\1\0\1" + bytes(4)
        for hops, fine in ((63, True), (64, False)):
            place = len(start) + len(fixed) + 2
            chain = b"".join(
                (0xC000 | (12 if index == 0 else place + 2 * index - 2)).to_bytes(2, "big")
                for index in range(hops)
            )
            last = (0xC000 | (place + 2 * hops - 2)).to_bytes(2, "big")
            raw = start + fixed + len(chain).to_bytes(2, "big") + chain
            raw += last + b"\0\1\0\1" + bytes(4) + b"\0\0"
            if fine:
                scanAnswer(raw)
            else:
                self.assertRaises(DecodeError, scanAnswer, raw)

    def test_misplacedOPT(self) -> None:
        """
        OPT as an answer, or twice, is refused.
        """
        raw = answer()
        opt = b"\0\0\x29\x10\0" + bytes(6)
        self.assertRaises(DecodeError, scanAnswer, raw[:7] + b"\1" + raw[8:] + opt)
        self.assertRaises(DecodeError, scanAnswer, raw[:11] + b"\2" + raw[12:] + opt + opt)
        scanAnswer(raw[:11] + b"\1" + raw[12:] + opt)

    @given(strategies.binary(max_size=400))
    def test_anyBytes(self, data: bytes) -> None:
        """
        Whatever the bytes are, they are an answer or refused.
        """
        for read in (scanAnswer, addressRecords):
            with contextlib.suppress(DecodeError):
                read(data)

    @given(strategies.data())
    def test_changedBytes(self, data: strategies.DataObject) -> None:
        """
        A changed answer is refused, or can be given to an asker and read by it.
        """
        raw = bytearray(
            answer(
                A100,
                authority=(SOA.format(ttl=3, minimum=4),),
                additional=("a. 1 IN A 192.0.2.9",),
                edns=True,
            )
        )
        for _ in range(data.draw(strategies.integers(1, 3))):
            place = data.draw(strategies.integers(0, len(raw) - 1))
            raw[place] = data.draw(strategies.integers(0, 255))
        try:
            scanned = scanAnswer(bytes(raw))
        except DecodeError:
            return
        asker = parseQuery(
            scanned.message[:2] + b"\1\0\0\1" + bytes(6) + scanned.message[12 : scanned.nameEnd + 4]
        )
        scanAnswer(answerFor(asker._replace(edns=EDNS(1232, 0, False, True)), scanned, 2, 1232))

    def test_pointerIntoALabel(self) -> None:
        """
        A name may not go on inside a label of the question, where two bytes that look like a
        pointer would lead elsewhere in another spelling.
        """
        asked = b"\x3f" + b"a" * 52 + b"\0" + b"a" * 10 + b"\x03x\xc0A\0"
        header = bytes.fromhex("000081800001000100000000")
        record = b"\xc0\x4e\0\1\0\1\0\0\0\x3c\0\4\1\2\3\4"
        message = header + asked + b"\0\1\0\1" + record
        self.assertEqual(message[0x4E:0x50], b"\xc0A")
        error = self.assertRaises(DecodeError, scanAnswer, message)
        self.assertIn("into a label", str(error))

    def test_pointerIntoWhatIsCutOff(self) -> None:
        """
        A name may not lead to bytes that run on over itself: they would reach into OPT, which is
        not kept.
        """
        asked = b"\3www\7example\3com\0"
        header = bytes.fromhex("000081800001000100000001")
        record = b"\0\x1c\0\1\0\0\0\x3c\0\x10" + bytes(16)
        opt = b"\0\0\x29\4\xd0" + bytes(6)
        place = len(header) + len(asked) + 3
        pointer = b"\xc0" + bytes([place])
        message = header + asked + b"\0\x1c\0\1" + pointer + record + opt
        # A label of one byte, which is half of the pointer, and one of the other half's length.
        self.assertEqual(message[place : place + 3], b"\1" + pointer)
        self.assertRaises(DecodeError, scanAnswer, message)

    def test_pointerIntoFields(self) -> None:
        """
        A name may not go on in the TTL of an earlier record, which does not stay what it is; in the
        data of one it may.
        """
        asked = b"\1a\0"
        header = bytes.fromhex("000081800001000200000000") + asked + b"\0\1\0\1"
        first = b"\xc0\x0c\0\1\0\1" + b"\0\1b\0" + b"\0\5" + b"\1c\1d\0"
        for place, fine in ((6, False), (7, False), (9, False), (12, True), (14, True)):
            name = b"\xc0" + bytes([len(header) + place])
            message = header + first + name + b"\0\1\0\1\0\0\0\x3c\0\4\1\2\3\4"
            if fine:
                scanAnswer(message)
            else:
                self.assertRaises(DecodeError, scanAnswer, message)

    def test_binaryNameKeepsItsSpelling(self) -> None:
        """
        Owners that repeat a name which is not ASCII stay as they came, because its bytes may
        be read as pointers by other names.
        """
        asked = b"\3x\xc0A\0"
        header = bytes.fromhex("000081800001000100000000")
        record = b"\0\1\0\1\0\0\0\x3c\0\4\1\2\3\4"
        scanned = scanAnswer(header + asked + b"\0\1\0\1" + asked + record)
        self.assertEqual(scanned.echoes, ())
        given = answerFor(Query(7, RD, asked.lower(), 1, 1), scanned, 0, 1232)
        self.assertEqual(given[12:17], asked.lower())
        self.assertEqual(given[21:26], asked)


class AnswerForTests(SynchronousTestCase):
    """
    Tests for L{answerFor}.
    """

    def test_byteExact(self) -> None:
        """
        Without EDNS and of age 0 the upstream's bytes come through, but for the id (A171).
        """
        raw = answer(A100, "www.example.com. 90 IN A 192.0.2.2")
        asker = QUERY._replace(name=NAME)
        self.assertEqual(answerFor(asker, scanAnswer(raw), 0, 1232), b"\x43\x21" + raw[2:])

    def test_spelling(self) -> None:
        """
        The question comes back in the asker's spelling, and so do the records about it.
        """
        message = dns.message.from_wire(answerFor(QUERY, scanAnswer(answer(A100)), 0, 1232))
        self.assertEqual(message.id, 0x4321)
        self.assertEqual(message.question[0].name.labels[0], b"wWw")
        self.assertEqual(message.answer[0].name.labels[1], b"eXample")

    def test_spellingWithoutCompression(self) -> None:
        """
        Also where the upstream compresses no names.
        """
        query = dns.message.make_query("www.example.com", "A")
        raw = query.to_wire()[:2] + b"\x81\x80\0\1\0\1" + bytes(4) + NAME + b"\0\1\0\1"
        raw += NAME + b"\0\1\0\1\0\0\0\x64\0\4abcd"
        message = dns.message.from_wire(answerFor(QUERY, scanAnswer(raw), 0, 1232))
        self.assertEqual(message.answer[0].name.labels[0], b"wWw")

    def test_ageing(self) -> None:
        """
        Every TTL but that of OPT is less by the age, and never below 0 (H11).
        """
        scanned = scanAnswer(
            answer(
                A100,
                authority=("example.com. 5 IN NS ns.example.com.",),
                additional=("ns.example.com. 60 IN A 192.0.2.9",),
                edns=True,
            )
        )
        asker = QUERY._replace(edns=EDNS(1232, 0, True, False))
        message = dns.message.from_wire(answerFor(asker, scanned, 30, 1232))
        ttls = [found[0].ttl for found in (message.answer, message.authority, message.additional)]
        self.assertEqual(ttls, [70, 0, 30])
        self.assertTrue(message.ednsflags & dns.flags.DO)
        self.assertEqual(message.payload, 1232)

    def test_fixedTTL(self) -> None:
        """
        An answer after its time is given a time of its own.
        """
        raw = answerFor(QUERY, scanAnswer(answer(A100)), 0, 1232, 30)
        self.assertEqual(dns.message.from_wire(raw).answer[0].ttl, 30)

    def test_authenticData(self) -> None:
        """
        AD is told only to those who asked for it (RFC 6840 section 5.8).
        """
        scanned = scanAnswer(answer(A100, flags=dns.flags.AD))
        plain = dns.message.from_wire(answerFor(QUERY, scanned, 0, 1232))
        asked = dns.message.from_wire(answerFor(QUERY._replace(flags=RD | 0x20), scanned, 0, 1232))
        dnssec = QUERY._replace(edns=EDNS(1232, 0, True, False))
        told = dns.message.from_wire(answerFor(dnssec, scanned, 0, 1232))
        found = [bool(message.flags & dns.flags.AD) for message in (plain, asked, told)]
        self.assertEqual(found, [False, True, True])

    def test_padded(self) -> None:
        """
        Those who ask for padding get whole blocks (RFC 8467).
        """
        asker = QUERY._replace(edns=EDNS(1232, 0, False, True))
        raw = answerFor(asker, scanAnswer(answer(A100)), 0, 1232)
        self.assertEqual(len(raw) % 468, 0)
        dns.message.from_wire(raw)

    def test_unknownVersion(self) -> None:
        """
        A later EDNS version is told which one there is.
        """
        asker = QUERY._replace(edns=EDNS(1232, 1, False, False))
        message = dns.message.from_wire(unknownVersion(asker, 1232))
        self.assertEqual(message.rcode(), dns.rcode.BADVERS)
        self.assertEqual(message.edns, 0)
        self.assertEqual(message.id, 0x4321)


class MismatchTests(SynchronousTestCase):
    """
    Tests for L{mismatch}.
    """

    def test_reasons(self) -> None:
        """
        An answer needs the id, QR, and exactly the question, letter by letter.
        """
        raw = answer(A100)
        question = NAME + b"\0\1\0\1"
        cases = [
            (raw, 0x77, question, None),
            (raw, 0x78, question, "id"),
            (raw[:11], 0x77, question, "short"),
            (raw[:2] + b"\1" + raw[3:], 0x77, question, "query"),
            (raw[:2] + b"\xa9" + raw[3:], 0x77, question, "query"),
            (raw[:5] + b"\0" + raw[6:], 0x77, question, "question"),
            (raw, 0x77, b"\3wWw" + question[4:], "case"),
            (raw, 0x77, b"\3wwx" + question[4:], "question"),
            (raw, 0x77, NAME + b"\0\x1c\0\1", "question"),
            (raw, 0x77, b"\3wWw" + NAME[4:] + b"\0\x1c\0\1", "question"),
            (raw, 0x77, b"\1a\0\0\1\0\1", "question"),
            (raw[:12], 0x77, question, "question"),
        ]
        for message, ident, asked, expected in cases:
            self.assertEqual(mismatch(message, ident, asked), expected)

    @given(strategies.binary(max_size=60))
    def test_anyBytes(self, data: bytes) -> None:
        """
        Random bytes are never an answer to a question they do not repeat.
        """
        question = NAME + b"\0\1\0\1"
        if question not in data:
            self.assertIsNotNone(mismatch(data, 0x77, question))


class AddressRecordsTests(SynchronousTestCase):
    """
    Tests for L{addressRecords}.
    """

    def test_kinds(self) -> None:
        """
        Addresses and aliases are found, compression undone, and all else passed over.
        """
        raw = answer(
            "www.example.com. 50 IN CNAME a.example.com.",
            "a.example.com. 60 IN TXT hello",
            "a.example.com. 70 IN A 192.0.2.1",
            "a.example.com. 80 IN AAAA 2001:db8::1",
        )
        name = b"\1a\7example\3com\0"
        self.assertEqual(
            addressRecords(raw),
            [
                Record(NAME, 5, 50, name),
                Record(name, 1, 70, bytes([192, 0, 2, 1])),
                Record(name, 28, 80, bytes.fromhex("20010db8000000000000000000000001")),
            ],
        )

    def test_cutAnywhere(self) -> None:
        """
        An answer that is cut off within them is refused.
        """
        raw = answer(
            "www.example.com. 50 IN CNAME a.example.com.", "a.example.com. 70 IN A 192.0.2.1"
        )
        for size in range(len(raw)):
            self.assertRaises(DecodeError, addressRecords, raw[:size])

    def test_wrongLengths(self) -> None:
        """
        An address of the wrong length, and an alias with bytes left over, are refused.
        """
        start = answer()[:6] + b"\0\1" + bytes(4) + answer()[12:] + b"\xc0\x0c"
        for record in (
            b"\0\1\0\1" + bytes(4) + b"\0\3abc",
            b"\0\x1c\0\1" + bytes(4) + b"\0\4abcd",
            b"\0\5\0\1" + bytes(4) + b"\0\4\1a\0x",
        ):
            self.assertRaises(DecodeError, addressRecords, start + record)
