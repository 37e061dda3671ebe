"""
Tests for L{aero.wire.sdp}. The offers are those that browsers made.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.testing.properties import given
from aero.testing.properties import strategies as st
from aero.wire.sdp import (
    MAX_CANDIDATES,
    MAX_DESCRIPTION,
    Candidate,
    DescriptionError,
    encodeAnswer,
    parseCandidate,
    parseOffer,
)

_PRINT = "7B:8B:F0:65:5F:78:E2:51:3B:AC:6F:F3:3F:46:1B:35:DC:B8:5F:64:1A:24:C2:43:F0:A1:58:D0:A1:2C:19:08"

#: Chromium 140, a page with one data channel.
CHROMIUM = (
    "v=0\r\no=- 4215775240449105457 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
    "a=group:BUNDLE 0\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n"
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n"
    "a=candidate:1467250027 1 udp 2122260223 192.0.2.7 46243 typ host generation 0 network-id 1\r\n"
    "a=candidate:2 1 tcp 1518280447 192.0.2.7 9 typ host tcptype active generation 0\r\n"
    "a=candidate:3 1 udp 2113937151 4ab0e0ab-1d57-4d5e.local 51556 typ host generation 0\r\n"
    "a=ice-ufrag:Oyef\r\na=ice-pwd:iKzAnLTSJpGgRjRnnSsCtJQM\r\na=ice-options:trickle\r\n"
    f"a=fingerprint:sha-256 {_PRINT}\r\na=setup:actpass\r\na=mid:0\r\n"
    "a=sctp-port:5000\r\na=max-message-size:262144\r\n"
)

#: Firefox, with what matters on the session's level, and audio before the data channel.
FIREFOX = (
    "v=0\r\no=mozilla...THIS_IS_SDPARTA-99.0 6388 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
    f"a=sendrecv\r\na=fingerprint:sha-256 {_PRINT.lower()}\r\na=group:BUNDLE 0 1\r\n"
    "a=ice-options:trickle\r\na=msid-semantic:WMS *\r\n"
    "m=audio 9 UDP/TLS/RTP/SAVPF 109 9\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=setup:actpass\r\n"
    "a=ice-pwd:e70e2d43fd8ae1ff8e0ad6a8b8a7d2f1\r\na=ice-ufrag:aaaa1111\r\n"
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=sendrecv\r\n"
    "a=ice-pwd:f70e2d43fd8ae1ff8e0ad6a8b8a7d2f1\r\na=ice-ufrag:f84e2d29\r\na=mid:1\r\n"
    "a=setup:active\r\na=sctp-port:5000\r\na=max-message-size:1073741823\r\n"
)

#: The form of 2018, which aiortc and old browsers still know.
LEGACY = CHROMIUM.replace("UDP/DTLS/SCTP webrtc-datachannel", "DTLS/SCTP 5001").replace(
    "a=sctp-port:5000", "a=sctpmap:5001 webrtc-datachannel 1024"
)


class OfferTests(SynchronousTestCase):
    """
    L{parseOffer}.
    """

    def test_chromium(self) -> None:
        """
        An offer of Chromium.
        """
        offer = parseOffer(CHROMIUM)
        self.assertEqual((offer.ufrag, offer.password), ("Oyef", "iKzAnLTSJpGgRjRnnSsCtJQM"))
        self.assertEqual(offer.fingerprints, (("sha-256", _PRINT),))
        self.assertEqual((offer.mid, offer.index, offer.bundled), ("0", 0, ("0",)))
        self.assertEqual((offer.setup, offer.lite), ("actpass", False))
        self.assertEqual((offer.sctpPort, offer.maxMessageSize), (5_000, 262_144))
        self.assertEqual(
            [(c.transport, c.address, c.port) for c in offer.candidates],
            [
                ("udp", "192.0.2.7", 46_243),
                ("tcp", "192.0.2.7", 9),
                ("udp", "4ab0e0ab-1d57-4d5e.local", 51_556),
            ],
        )

    def test_firefox(self) -> None:
        """
        Attributes of the session hold for its sections, and the data channels need not come
        first.
        """
        offer = parseOffer(FIREFOX)
        self.assertEqual((offer.index, offer.mid, offer.ufrag), (1, "1", "f84e2d29"))
        self.assertEqual(offer.fingerprints, (("sha-256", _PRINT),))
        self.assertEqual((offer.setup, offer.maxMessageSize), ("active", 1_073_741_823))

    def test_legacy(self) -> None:
        """
        The port of the old form, and a peer that tells no message size.
        """
        offer = parseOffer(LEGACY.replace("a=max-message-size:262144\r\n", ""))
        self.assertEqual((offer.sctpPort, offer.maxMessageSize), (5_001, 65_536))

    def test_lineEndings(self) -> None:
        """
        Lines may end in a line feed alone.
        """
        self.assertEqual(parseOffer(CHROMIUM.replace("\r\n", "\n")), parseOffer(CHROMIUM))

    def test_truncated(self) -> None:
        """
        An offer cut anywhere is understood or refused, and until it has its fingerprint it is
        refused.
        """
        end = CHROMIUM.index("a=fingerprint") + 30
        for cut in range(len(CHROMIUM)):
            try:
                parseOffer(CHROMIUM[:cut])
            except DescriptionError:
                continue
            self.assertGreater(cut, end)

    def test_refused(self) -> None:
        """
        What cannot be answered is refused, with a sentence.
        """
        for bad in (
            "v=0",
            "",
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n",
            CHROMIUM.replace("a=ice-ufrag:Oyef", "a=ice-ufrag:a b"),
            CHROMIUM.replace("a=ice-pwd:iKzAnLTSJpGgRjRnnSsCtJQM", "a=ice-pwd:short"),
            CHROMIUM.replace("a=fingerprint", "a=fingerpaint"),
            CHROMIUM.replace(_PRINT, "zz"),
            CHROMIUM.replace("a=setup:actpass", "a=setup:holdconn"),
            CHROMIUM.replace("a=sctp-port:5000", "a=sctp-port:70000"),
            CHROMIUM.replace("a=max-message-size:262144", "a=max-message-size:-1"),
            CHROMIUM.replace("m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "m=application"),
            CHROMIUM.replace("m=application", "m=audio"),
            CHROMIUM.replace("46243 typ", "70000 typ"),
            CHROMIUM + "m=audio 9 RTP/AVP 0\r\n" * 40,
            CHROMIUM + "a=x:" + "x" * MAX_DESCRIPTION,
        ):
            error = self.assertRaises(DescriptionError, parseOffer, bad)
            self.assertTrue(str(error))

    def test_candidatesAreBounded(self) -> None:
        """
        Of a flood of candidates a few are kept.
        """
        line = "a=candidate:1 1 udp 1 192.0.2.7 5 typ host\r\n"
        self.assertEqual(len(parseOffer(CHROMIUM + line * 1_000).candidates), MAX_CANDIDATES)

    @given(st.text(max_size=200), st.integers(0, len(CHROMIUM)))
    def test_anything(self, noise: str, at: int) -> None:
        """
        Whatever is written into an offer, it is understood or refused.
        """
        text = CHROMIUM[:at] + noise + CHROMIUM[at:]
        try:
            parseOffer(text)
        except DescriptionError:
            return
        for line in answer(text)[:-1]:
            self.assertRegex(line, "^[a-z]=")


class CandidateTests(SynchronousTestCase):
    """
    L{parseCandidate}.
    """

    def test_roundTrip(self) -> None:
        """
        A candidate is written as it was read.
        """
        for text in (
            "1467250027 1 udp 2122260223 192.0.2.7 46243 typ host",
            "842163049 1 udp 1677729535 203.0.113.7 46243 typ srflx raddr 192.0.2.7 rport 46243",
            "3 1 udp 33562623 2001:db8::7 50000 typ relay raddr 203.0.113.7 rport 46243",
        ):
            self.assertEqual(parseCandidate(f"candidate:{text}").encode(), text)
            self.assertEqual(parseCandidate(text).encode(), text)

    def test_capitals(self) -> None:
        """
        The transport is the same in capitals.
        """
        self.assertEqual(parseCandidate("1 1 UDP 1 192.0.2.7 5 typ host").transport, "udp")

    def test_truncated(self) -> None:
        """
        A candidate without all of its fields is none.
        """
        text = "1467250027 1 udp 2122260223 192.0.2.7 46243 typ host"
        for cut in range(len(text) - 4):
            self.assertRaises(DescriptionError, parseCandidate, text[:cut])

    def test_refused(self) -> None:
        """
        Numbers out of range, a foundation with strange letters, and lines without end.
        """
        for bad in (
            "1 1 udp 4294967296 192.0.2.7 5 typ host",
            "1 1 udp 1 192.0.2.7 65536 typ host",
            "1 -1 udp 1 192.0.2.7 5 typ host",
            "1 1 udp 1e3 192.0.2.7 5 typ host",
            "1 1 udp \u0661 192.0.2.7 5 typ host",
            "!\u00e9 1 udp 1 192.0.2.7 5 typ host",
            "1 1 udp 1 192.0.2.7 5 typ host " + "x " * 1_000,
            "1 1 udp 1 " + "a" * 300 + " 5 typ host",
            "1 1 udp 1 192.0.2.7 5 typ host raddr 1.2.3.4 rport 99999",
        ):
            self.assertRaises(DescriptionError, parseCandidate, bad)


def answer(text: str, complete: bool = False) -> list[str]:
    """
    The lines of an answer to an offer.
    """
    written = encodeAnswer(
        parseOffer(text),
        sessionId=7,
        ufrag="ufra",
        password="p" * 22,
        fingerprints=[("sha-256", "AB:CD")],
        setup="active",
        maxMessageSize=256,
        candidates=[Candidate("1", 1, "udp", 5, "192.0.2.1", 9_999, "host")],
        complete=complete,
    )
    return written.split("\r\n")


class AnswerTests(SynchronousTestCase):
    """
    L{encodeAnswer}.
    """

    def test_lines(self) -> None:
        """
        What clients look for is there, the size of messages word for word (relay.md section
        8.4).
        """
        lines = answer(CHROMIUM)
        for line in (
            "v=0",
            "a=group:BUNDLE 0",
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
            "a=candidate:1 1 udp 5 192.0.2.1 9999 typ host",
            "a=ice-ufrag:ufra",
            "a=fingerprint:sha-256 AB:CD",
            "a=setup:active",
            "a=mid:0",
            "a=sctp-port:5000",
            "a=max-message-size:256",
        ):
            self.assertIn(line, lines)
        self.assertNotIn("a=end-of-candidates", lines)
        self.assertEqual(lines[-1], "")

    def test_complete(self) -> None:
        """
        That there will be no more candidates is said once it is known.
        """
        self.assertIn("a=end-of-candidates", answer(CHROMIUM, complete=True))

    def test_otherSections(self) -> None:
        """
        What is not for us is declined, in its place, and stays out of the bundle.
        """
        lines = answer(FIREFOX)
        sections = [line for line in lines if line.startswith("m=")]
        self.assertEqual(
            sections,
            [
                "m=audio 0 UDP/TLS/RTP/SAVPF 109 9",
                "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
            ],
        )
        self.assertIn("a=group:BUNDLE 1", lines)
        self.assertEqual(lines.count("a=inactive"), 1)

    def test_legacy(self) -> None:
        """
        The old form is answered in the old form.
        """
        lines = answer(LEGACY)
        self.assertIn("m=application 9 DTLS/SCTP 5000", lines)
        self.assertIn("a=sctpmap:5000 webrtc-datachannel 65535", lines)

    def test_ownAnswerIsReadable(self) -> None:
        """
        Our answer passes our own reading.
        """
        offer = parseOffer("\r\n".join(answer(CHROMIUM)).replace("AB:CD", _PRINT))
        self.assertEqual((offer.ufrag, offer.setup, offer.maxMessageSize), ("ufra", "active", 256))
