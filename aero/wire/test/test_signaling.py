"""
Tests for L{aero.wire.signaling}.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.testing.properties import given
from aero.testing.properties import strategies as st
from aero.wire.signaling import (
    Candidate,
    SignalError,
    SignalMessage,
    encodeVersionedAnswer,
    parse,
    parseOfferBody,
    parseVersionedOffer,
)

SDP = {"type": "offer", "sdp": "v=0..."}


class ParseTests(SynchronousTestCase):
    """
    L{parse}.
    """

    def refused(self, *values: Any) -> list[str]:
        """
        Refused, each with a sentence.
        """
        texts = []
        for value in values:
            text = value if isinstance(value, str) else json.dumps(value)
            texts.append(str(self.assertRaises(SignalError, parse, text)))
        self.assertTrue(all(texts))
        return texts

    def test_browsersMessages(self) -> None:
        """
        What the clients send is understood.
        """
        self.assertEqual(
            parse('{"type":"offer","sdp":{"type":"offer","sdp":"v=0..."}}'),
            SignalMessage(type="offer", sdp="v=0..."),
        )
        self.assertEqual(
            parse(
                '{"type":"candidate","candidate":{"candidate":"candidate:1 1 udp 1 1.2.3.4 5 typ'
                ' host","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":null}}'
            ),
            SignalMessage(
                type="candidate",
                candidate=Candidate(
                    candidate="candidate:1 1 udp 1 1.2.3.4 5 typ host",
                    sdpMid="0",
                    sdpMLineIndex=0,
                ),
            ),
        )
        self.assertEqual(parse('{"type":"close"}'), SignalMessage(type="close"))
        auth = parse('{"type":"auth","token":"t","apiKey":"t"}')
        self.assertEqual((auth.token, auth.apiKey, auth.credential), ("t", "t", "t"))

    def test_endOfCandidates(self) -> None:
        """
        An empty candidate is one.
        """
        message = parse('{"type":"candidate","candidate":{"candidate":""}}')
        self.assertEqual(message.candidate, Candidate(candidate=""))

    def test_notJSON(self) -> None:
        """
        Anything but one object is refused.
        """
        self.refused("", "[]", "null", "1", '"auth"', '{"type":"close"}{"type":"close"}')
        self.refused('{"type":"close"', "{'type':'close'}", '{"type":"close","code":NaN}')
        self.refused("[" * 100_000)

    def test_truncated(self) -> None:
        """
        A message cut anywhere is refused.
        """
        text = '{"type":"offer","sdp":{"type":"offer","sdp":"v=0..."}}'
        for cut in range(len(text)):
            self.refused(text[:cut])

    def test_unknownKeys(self) -> None:
        """
        A key too many is refused at every level.
        """
        self.refused(
            {"type": "close", "x": 1},
            {"type": "offer", "sdp": {**SDP, "x": 1}},
            {"type": "candidate", "candidate": {"candidate": "", "x": 1}},
        )

    def test_types(self) -> None:
        """
        An unknown type, or none.
        """
        self.refused({}, {"type": "hello"}, {"type": 1}, {"type": None}, {"type": ["offer"]})

    def test_missing(self) -> None:
        """
        What a type needs.
        """
        self.refused(
            {"type": "auth"},
            {"type": "auth", "token": ""},
            {"type": "offer"},
            {"type": "offer", "sdp": None},
            {"type": "offer", "sdp": {"type": "answer", "sdp": "v=0"}},
            {"type": "answer", "sdp": SDP},
            {"type": "candidate"},
            {"type": "error", "code": "x"},
            {"type": "error", "message": "x"},
        )

    def test_forbidden(self) -> None:
        """
        What a type must not have.
        """
        candidate = {"candidate": "x"}
        self.refused(
            {"type": "auth", "token": "t", "sdp": SDP},
            {"type": "auth", "token": "t", "code": "c"},
            {"type": "offer", "sdp": SDP, "candidate": candidate},
            {"type": "offer", "sdp": SDP, "token": "t"},
            {"type": "candidate", "candidate": candidate, "sdp": SDP},
            {"type": "candidate", "candidate": candidate, "message": "m"},
            {"type": "close", "message": "m"},
            {"type": "error", "code": "c", "message": "m", "apiKey": "k"},
        )
        # Empty is as good as absent.
        parse('{"type":"close","message":"","token":null,"candidate":null,"sdp":null}')

    def test_wrongKinds(self) -> None:
        """
        Fields of another kind than they should be.
        """
        self.refused(
            {"type": "auth", "token": 1},
            {"type": "offer", "sdp": "v=0"},
            {"type": "offer", "sdp": {"type": "offer", "sdp": 1}},
            {"type": "candidate", "candidate": "x"},
            {"type": "candidate", "candidate": {"candidate": 1}},
            {"type": "candidate", "candidate": {"candidate": "", "sdpMid": 1}},
            {"type": "candidate", "candidate": {"candidate": "", "sdpMLineIndex": "0"}},
            {"type": "candidate", "candidate": {"candidate": "", "sdpMLineIndex": True}},
            {"type": "candidate", "candidate": {"candidate": "", "sdpMLineIndex": 65_536}},
            {"type": "candidate", "candidate": {"candidate": "", "sdpMLineIndex": -1}},
            {"type": "candidate", "candidate": {"candidate": "", "sdpMLineIndex": 1.0}},
        )

    def test_twoCredentials(self) -> None:
        """
        Two credentials have to be the same.
        """
        self.refused({"type": "auth", "token": "a", "apiKey": "b"})

    def test_shortSentences(self) -> None:
        """
        What a client sent is not repeated at length.
        """
        (text,) = self.refused({"type": "x" * 10_000})
        self.assertLess(len(text), 200)

    def test_encode(self) -> None:
        """
        What is sent has the keys of its type and no others.
        """
        cases = {
            SignalMessage(type="answer", sdp="v=0"): {
                "type": "answer",
                "sdp": {"type": "answer", "sdp": "v=0"},
            },
            SignalMessage(type="error", code="c", message="m"): {
                "type": "error",
                "code": "c",
                "message": "m",
            },
            SignalMessage(
                type="candidate", candidate=Candidate(candidate="x", sdpMid="", sdpMLineIndex=0)
            ): {
                "type": "candidate",
                "candidate": {"candidate": "x", "sdpMid": "", "sdpMLineIndex": 0},
            },
        }
        for message, expected in cases.items():
            self.assertEqual(json.loads(message.encode()), expected)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["type", "sdp", "candidate", "token", "apiKey", "code", "message", "sdpMid"]
                    ),
                    inner
                    | st.sampled_from(["auth", "offer", "answer", "candidate", "close", "error"]),
                    max_size=4,
                )
            ),
            max_leaves=12,
        )
    )
    def test_anything(self, value: Any) -> None:
        """
        Any JSON is understood or refused, twice the same, and what is understood is understood
        the same once it was written again.
        """
        try:
            message = parse(json.dumps(value))
        except SignalError:
            self.assertRaises(SignalError, parse, json.dumps(value))
            return
        self.assertEqual(parse(json.dumps(value)), message)
        self.assertEqual(parse(message.encode()), message)


class OfferBodyTests(SynchronousTestCase):
    """
    L{parseOfferBody} and L{parseVersionedOffer}.
    """

    def test_bothShapes(self) -> None:
        """
        A description may come bare or wrapped.
        """
        self.assertEqual(parseOfferBody(b'{"type":"offer","sdp":"v=0"}'), "v=0")
        self.assertEqual(parseOfferBody(b'{"sdp":{"type":"offer","sdp":"v=0"}}'), "v=0")

    def test_strict(self) -> None:
        """
        Unknown keys at either level, trailing data, an empty object, other types.
        """
        for body in (
            b"",
            b"{}",
            b"[]",
            b"\xff",
            b'{"type":"offer","sdp":"v=0","x":1}',
            b'{"sdp":{"type":"offer","sdp":"v=0","x":1}}',
            b'{"sdp":{"type":"offer","sdp":"v=0"},"x":1}',
            b'{"type":"offer","sdp":"v=0"}{}',
            b'{"type":"offer","sdp":""}',
            b'{"type":"offer"}',
            b'{"sdp":null}',
        ):
            self.assertRaises(SignalError, parseOfferBody, body)
        answer = self.assertRaises(SignalError, parseOfferBody, b'{"type":"answer","sdp":"v=0"}')
        self.assertEqual(str(answer), 'sdp.type must be "offer"')
        other = self.assertRaises(SignalError, parseOfferBody, b'{"type":"rollback","sdp":"v"}')
        self.assertEqual(str(other), 'unsupported sdp type "rollback"')

    def test_versioned(self) -> None:
        """
        The older endpoint takes anything besides what it needs.
        """
        good = b'{"version":1,"offer":{"type":"offer","sdp":"v=0...","x":1},"y":2} trailing'
        self.assertEqual(parseVersionedOffer(good), "v=0...")
        for body, text in (
            (b'{"version":2,"offer":{"type":"offer","sdp":"v"}}', "unsupported protocol version"),
            (b'{"offer":{"type":"offer","sdp":"v"}}', "unsupported protocol version"),
            (b'{"version":2}', "unsupported protocol version"),
            (b'{"version":true,"offer":{"type":"offer","sdp":"v"}}', "invalid offer"),
            (b'{"version":1,"offer":{"type":"answer","sdp":"v"}}', "invalid offer"),
            (b'{"version":1,"offer":{"type":"offer","sdp":""}}', "invalid offer"),
            (b'{"version":1}', "invalid offer"),
            (b"[1]", "invalid offer"),
            (b"{", "invalid offer"),
            (b"\xff", "invalid offer"),
        ):
            error = self.assertRaises(SignalError, parseVersionedOffer, body)
            self.assertEqual(str(error), text)

    def test_answer(self) -> None:
        """
        Its answer has exactly the keys that clients accept.
        """
        self.assertEqual(
            encodeVersionedAnswer("v=0"), {"version": 1, "answer": {"type": "answer", "sdp": "v=0"}}
        )

    @given(st.binary(max_size=60))
    def test_anything(self, body: bytes) -> None:
        """
        Any bytes are understood or refused.
        """
        for read in (parseOfferBody, parseVersionedOffer):
            try:
                read(body)
            except SignalError:
                continue
