"""
Tests for L{aero.wire.dnsquery}.
"""

from __future__ import annotations

import contextlib

import dns.edns
import dns.flags
import dns.message
import dns.rdatatype
from twisted.trial.unittest import SynchronousTestCase

from aero.errors import DecodeError
from aero.testing.properties import given, strategies
from aero.wire.dns import AD, CD, RD
from aero.wire.dnsquery import (
    EDNS,
    Question,
    encodeOPT,
    mixCase,
    paddingFor,
    parseQuery,
    readOptions,
)


def made(name: str = "www.Example.com", qtype: str = "A", **options: object) -> bytes:
    """
    A query as dnspython makes it.
    """
    message = dns.message.make_query(name, qtype, id=0x1234, **options)  # type: ignore[arg-type]
    return message.to_wire()


class ParseQueryTests(SynchronousTestCase):
    """
    Tests for L{parseQuery}.
    """

    def test_plain(self) -> None:
        """
        A query of another implementation is understood, its spelling kept.
        """
        query = parseQuery(made(use_edns=False))
        self.assertEqual(query.ident, 0x1234)
        self.assertEqual(query.flags, RD)
        self.assertEqual(query.name, b"\3www\7Example\3com\0")
        self.assertEqual((query.qtype, query.qclass, query.edns), (1, 1, None))
        self.assertEqual(query.question, b"\3www\7Example\3com\0\0\1\0\1")
        self.assertFalse(query.dnssecOK)

    def test_edns(self) -> None:
        """
        EDNS is understood; a client subnet is not kept.
        """
        options = [
            dns.edns.ECSOption("203.0.113.0", 24),
            dns.edns.GenericOption(dns.edns.OptionType.PADDING, b""),
        ]
        query = parseQuery(made(payload=1400, want_dnssec=True, options=options))
        self.assertEqual(query.edns, EDNS(1400, 0, True, True))
        upstream = Question.fromQuery(query)
        sent = dns.message.from_wire(upstream.message(7, upstream.wire(), payloadSize=1232))
        self.assertEqual(sent.options, ())

    def test_smallPayload(self) -> None:
        """
        Nobody takes less than 512 bytes, whatever is said (RFC 6891 section 6.2.3).
        """
        query = parseQuery(made(use_edns=0, payload=1))
        self.assertEqual(query.edns, EDNS(512, 0, False, False))

    def test_laterVersion(self) -> None:
        """
        A later version of EDNS is noticed.
        """
        raw = bytearray(made(use_edns=0))
        raw[-5] = 3
        query = parseQuery(bytes(raw))
        assert query.edns is not None
        self.assertEqual(query.edns.version, 3)

    def test_otherOpcode(self) -> None:
        """
        Of other opcodes only the header is read.
        """
        query = parseQuery(bytes.fromhex("123428000001000000000000") + b"whatever")
        self.assertEqual((query.opcode, query.name, query.question), (5, b"", b""))

    def test_cutAnywhere(self) -> None:
        """
        A query that is cut off anywhere is refused.
        """
        message = made(
            payload=1400, options=[dns.edns.GenericOption(dns.edns.OptionType.PADDING, b"12")]
        )
        for size in range(len(message)):
            self.assertRaises(DecodeError, parseQuery, message[:size])

    def test_trailing(self) -> None:
        """
        A query with bytes left over is refused, so that nobody smuggles any.
        """
        for message in (made(use_edns=False), made(use_edns=0)):
            self.assertRaises(DecodeError, parseQuery, message + b"\0")

    def test_notAQuery(self) -> None:
        """
        Answers, queries without a question or with two, and with records are refused.
        """
        message = made(use_edns=False)
        for offset, value in ((2, 0x81), (5, 0), (5, 2), (7, 1), (9, 1), (11, 1), (10, 1)):
            changed = bytearray(message)
            changed[offset] = value
            self.assertRaises(DecodeError, parseQuery, bytes(changed))

    def test_badOPT(self) -> None:
        """
        Two OPT records, one that is not at the root, or with faulty options, are refused.
        """
        plain = made(use_edns=False)
        opt = encodeOPT(1232)
        for count, records in (
            (2, opt + opt),
            (1, b"\1a" + opt),
            (1, encodeOPT(1232, options=b"\0\x0c\0")),
            (1, encodeOPT(1232, options=b"\0\x0c\0\2a")),
        ):
            self.assertRaises(
                DecodeError, parseQuery, plain[:11] + bytes([count]) + plain[12:] + records
            )

    def test_otherAdditional(self) -> None:
        """
        Another additional record is passed over.
        """
        plain = made(use_edns=False)
        record = b"\0\0\1\0\1" + bytes(4) + b"\0\4abcd"
        query = parseQuery(plain[:11] + b"\2" + plain[12:] + record + encodeOPT(4096))
        self.assertEqual(query.edns, EDNS(4096, 0, False, False))

    def test_key(self) -> None:
        """
        Spelling and id do not matter to the cache; type, class, RD, CD and DO do, and so does
        where the dots are (C4).
        """
        query = parseQuery(made("bank.example", use_edns=False))
        same = parseQuery(made("BANK.example", use_edns=0))
        self.assertEqual(query.key, same._replace(ident=9).key)
        others = [
            query._replace(qtype=28),
            query._replace(qclass=3),
            query._replace(flags=0),
            query._replace(flags=RD | CD),
            query._replace(edns=EDNS(1232, 0, True, False)),
            query._replace(name=b"\x0cbank.example\0"),
            query._replace(name=b"\5bank \7example\0"),
            query._replace(name=b"\5\xff\xfe\xfd\xfc\xfb\7example\0"),
        ]
        self.assertEqual(len({one.key for one in [query, *others]}), 1 + len(others))

    @given(strategies.binary(max_size=600))
    def test_anyBytes(self, data: bytes) -> None:
        """
        Whatever the bytes are, they are a query or refused.
        """
        with contextlib.suppress(DecodeError):
            parseQuery(data)

    @given(strategies.data())
    def test_changedBytes(self, data: strategies.DataObject) -> None:
        """
        A query with changed bytes is a query or refused, and what it asks can be asked on.
        """
        message = bytearray(made(payload=1400, options=[dns.edns.ECSOption("203.0.113.0", 24)]))
        for _ in range(data.draw(strategies.integers(1, 4))):
            place = data.draw(strategies.integers(0, len(message) - 1))
            message[place] = data.draw(strategies.integers(0, 255))
        try:
            query = parseQuery(bytes(message))
        except DecodeError:
            return
        if query.name:
            question = Question.fromQuery(query)
            parseQuery(question.message(1, question.wire(), payloadSize=1232))


class QuestionTests(SynchronousTestCase):
    """
    Tests for L{Question}.
    """

    def test_message(self) -> None:
        """
        Another implementation understands what goes upstream: RD and CD as asked, AD always,
        DO as asked.
        """
        raw = bytearray(made(want_dnssec=True))
        raw[3] |= CD
        question = Question.fromQuery(parseQuery(bytes(raw)))
        sent = dns.message.from_wire(question.message(7, question.wire(), payloadSize=1232))
        self.assertEqual(sent.id, 7)
        self.assertEqual(sent.flags, RD | CD | AD)
        self.assertEqual(str(sent.question[0]), "www.example.com. IN A")
        self.assertEqual(sent.payload, 1232)
        self.assertTrue(sent.ednsflags & dns.flags.DO)

    def test_withoutEDNS(self) -> None:
        """
        A server that does not know EDNS can be asked without.
        """
        question = Question(b"\1a\0", 1, RD, False)
        sent = dns.message.from_wire(question.message(7, question.wire(), payloadSize=None))
        self.assertEqual(sent.edns, -1)

    @given(strategies.integers(1, 63))
    def test_padding(self, size: int) -> None:
        """
        A padded question has a whole number of blocks, whatever its name.
        """
        question = Question(bytes([size]) + b"a" * size + b"\0", 1, RD, False)
        raw = question.message(7, question.wire(), payloadSize=1232, paddingBlock=128)
        self.assertEqual(len(raw) % 128, 0)
        self.assertEqual([int(option.otype) for option in dns.message.from_wire(raw).options], [12])

    def test_paddingFor(self) -> None:
        """
        Also where nothing but the option itself has to be added.
        """
        self.assertEqual(paddingFor(124, 128), b"\0\x0c\0\0")
        self.assertEqual(len(paddingFor(125, 128)), 131)

    @given(
        strategies.lists(
            strategies.tuples(strategies.integers(0, 65535), strategies.binary(max_size=9))
        )
    )
    def test_options(self, options: list[tuple[int, bytes]]) -> None:
        """
        Options are read as they were written.
        """
        raw = b"".join(
            code.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value
            for code, value in options
        )
        self.assertEqual(readOptions(raw), options)


class MixCaseTests(SynchronousTestCase):
    """
    Tests for L{mixCase}.
    """

    def test_mixed(self) -> None:
        """
        Each letter's case follows from one bit; nothing else changes.
        """
        name = b"\4ab-1\2cD\0"
        self.assertEqual(mixCase(name, bytes(len(name))), name)
        self.assertEqual(mixCase(name, b"\1" * len(name)), b"\4AB-1\2Cd\0")

    @given(strategies.binary(min_size=1, max_size=63), strategies.binary(min_size=65, max_size=65))
    def test_sameName(self, label: bytes, chance: bytes) -> None:
        """
        It stays the same name.
        """
        name = bytes([len(label)]) + label + b"\0"
        self.assertEqual(mixCase(name, chance[: len(name)]).lower(), name.lower())
