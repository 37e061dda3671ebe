"""
The fuzz targets of L{tests.fuzz}, on everything in their corpora and some changes to it.
"""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.explore import CORPUS, Check, Stalled, examples, pieces, search, watched
from tests.fuzz.mutate import MAX_BYTES, Mutator
from tests.support.tools import missing

_EXECUTIONS: Final = 2_000


class TargetTests(SynchronousTestCase):
    """
    Every parser that strangers reach keeps its promise.
    """

    def _keeps(self, name: str) -> None:
        module: Any = import_module(f"tests.fuzz.{name}")
        check: Check = module.check
        known = examples(name)
        self.assertGreaterEqual(len(known), 10)
        for _, data in known:
            check(data)
        found = search(check, [data for _, data in known], _EXECUTIONS, seed=20)
        if found is not None:
            check(found)
            self.fail(f"the target {name} does not like {found!r}, but only at times")

    def test_udpRelay(self) -> None:
        """
        A datagram's message is read or refused, and what was read is written the same.
        """
        self._keeps("udprelay")

    def test_firstMessage(self) -> None:
        """
        A first message has a credential, or an error that can be told.
        """
        self._keeps("firstmessage")

    def test_signaling(self) -> None:
        """
        A message, a body, a description and a candidate are read or refused with a sentence, and
        what was read is written the same.
        """
        self._keeps("signaling")

    def test_sctpPacket(self) -> None:
        """
        Whatever a peer puts into its packets, no more is held than may be, and the SACKs are good.
        """
        self._keeps("sctppacket")

    def test_dnsQuery(self) -> None:
        """
        A query is read or refused, and what is asked upstream is what was asked here.
        """
        self._keeps("dnsquery")

    def test_dnsAnswer(self) -> None:
        """
        An answer is read or refused, and clients get nothing that is malformed.
        """
        self._keeps("dnsanswer")

    def test_dhcpv4(self) -> None:
        """
        A DHCP message is read or refused, and what is written reads the same.
        """
        self._keeps("dhcpv4")

    def test_packet(self) -> None:
        """
        Headers below TCP and UDP are read as the plainest reading of their RFCs does, and sums are
        those of a plain loop.
        """
        self._keeps("packet")

    def test_fragments(self) -> None:
        """
        A packet is put together exactly when a table of its bytes is full without a contradiction.
        """
        self._keeps("fragments")

    def test_pcapng(self) -> None:
        """
        Another implementation reads back what a capture was given.
        """
        self._keeps("pcapng")

    def test_guestLAN(self) -> None:
        """
        Whatever a guest sends, its LAN goes on, stays within its bounds, and leaves nothing.
        """
        self._keeps("guestlan")

    def test_tcpMux(self) -> None:
        """
        Frames are the same however they arrive.
        """
        self._keeps("tcpmux")

    def test_tcpMuxPayload(self) -> None:
        """
        Payloads of frames are read or refused.
        """
        self._keeps("tcpmuxpayload")

    def test_tcpSegment(self) -> None:
        """
        Whatever a guest that knows the numbers sends, connections stay within their limits and
        come to an end.
        """
        self._keeps("tcpsegment")

    def test_l2Tunnel(self) -> None:
        """
        Messages of the Ethernet tunnel are read or refused.
        """
        self._keeps("l2tunnel")

    def test_proxyProtocol(self) -> None:
        """
        What a proxy says about its client is read or refused, however it arrives.
        """
        self._keeps("proxyprotocol")

    def test_webSocket(self) -> None:
        """
        Messages are the same however they arrive.
        """
        self._keeps("websocket")

    def test_head(self) -> None:
        """
        The head of a request has one reading or is refused.
        """
        self._keeps("head")

    def test_chunked(self) -> None:
        """
        A chunked body is the same however it arrives.
        """
        self._keeps("chunked")

    def test_tokens(self) -> None:
        """
        A token is valid or not, also where the claims in it are signed nonsense.
        """
        self._keeps("tokens")

    def test_cookies(self) -> None:
        """
        The session cookie is found among anything.
        """
        self._keeps("cookies")

    def test_origin(self) -> None:
        """
        An origin has one spelling or is refused.
        """
        self._keeps("origin")

    def test_host(self) -> None:
        """
        A host is an address, a name, or refused, and no private address passes.
        """
        self._keeps("host")

    def test_target(self) -> None:
        """
        A request target leads nowhere but below the root.
        """
        self._keeps("target")

    def test_stackFrame(self) -> None:
        """
        Nothing that a guest sends breaks its stack or fills the memory.
        """
        self._keeps("stackframe")

    def test_everyCorpusHasItsTest(self) -> None:
        """
        No corpus lies there unused.
        """
        tested = {name.removeprefix("test_").lower() for name in dir(self)}
        self.assertEqual({each.name for each in CORPUS.iterdir()} - tested, set())


class SearchTests(SynchronousTestCase):
    """
    The search finds what is there to be found.
    """

    def test_finds(self) -> None:
        """
        A parser that fails on one byte is found out.
        """

        def check(data: bytes) -> None:
            if b"\xff" in data:
                raise KeyError("missing")

        found = search(check, [b"abcdef"], 2_000, seed=1)
        self.assertIn(b"\xff", found or b"")

    def test_findsStall(self) -> None:
        """
        An input that a parser does not come back from is found out as well.
        """

        def check(data: bytes) -> None:
            if b"\xff" in data:
                while True:
                    pass

        with watched(check, 0.2) as bounded:
            found = search(bounded, [b"abcdef"], 2_000, seed=1)
            self.assertIn(b"\xff", found or b"")
            self.assertRaises(Stalled, bounded, found)

    def test_repeatable(self) -> None:
        """
        The same seed gives the same inputs, another one others.
        """

        def inputs(seed: int) -> list[bytes]:
            mutator = Mutator(seed, [b"GET / HTTP/1.1", b"abc"])
            return [mutator.next() for _ in range(50)]

        self.assertEqual(inputs(3), inputs(3))
        self.assertNotEqual(inputs(3), inputs(4))
        self.assertLessEqual(max(map(len, inputs(3))), MAX_BYTES)

    def test_pieces(self) -> None:
        """
        Cutting loses nothing.
        """
        for data in (b"", b"x", bytes(range(256)) * 3):
            for cut in pieces(data):
                self.assertEqual(b"".join(cut), data)
                self.assertTrue(all(cut))


class GuidedTests(SynchronousTestCase):
    """
    The search that is led by branches.
    """

    def test_runs(self) -> None:
        """
        It tries the corpus, goes on from what reaches new branches, and keeps that.
        """
        if find_spec("atheris") is None:
            missing("atheris is not installed (pip install '.[fuzz]')")
        kept = Path(self.mktemp())
        command = [sys.executable, "-m", "tests.fuzz.guided", "l2tunnel", "--executions=2000"]
        ended = subprocess.run(
            [*command, f"--keep={kept.absolute()}"],
            cwd=CORPUS.parents[2],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.assertEqual(ended.returncode, 0, ended.stderr[-2_000:])
        self.assertIn("Done 2000 runs", ended.stderr)
        self.assertTrue(list(kept.iterdir()))
