"""
TCP of a guest with a real kernel: bulk, many streams, ends of all kinds.

What is moved is sized for CI; C{AERO_FULL_SIZE=1} moves whole gibibytes and waits half minutes.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from tests.support.guest import KernelGuest
from tests.support.guestprograms import BANNER, HALF_CLOSE, RESTORED, SHORT, STALL
from tests.support.guestrig import (
    BANNER as SAID,
)
from tests.support.guestrig import (
    BLOCK,
    FULL,
    MIB,
    REMOTE,
    blockDigest,
    server,
    services,
    settle,
)
from tests.support.metrics import metric
from tests.support.server import Aero, edgeOptions
from tests.support.tools import require

#: Bytes of a bulk transfer.
BULK = (1 << 30) if FULL else 64 * MIB


class _Case(SynchronousTestCase):
    """
    A guest with an address, and one cable for all tests of a class.
    """

    mtu: ClassVar[int] = 1_500

    def setUp(self) -> None:
        """
        Plug it in.
        """
        require("nsenter")
        self.server = self.start()
        self.guest = KernelGuest(self.server, mtu=self.mtu)
        self.addCleanup(self.guest.stop)
        self.guest.configure()

    def start(self) -> Aero:
        """
        The server.
        """
        return server(self.mtu)

    def assertDownloads(self, size: int) -> None:
        """
        C{curl} gets so many bytes as they are.
        """
        pipe = f"curl -sS -m 540 http://{REMOTE}/{size} | sha256sum"
        shown = self.guest.run("sh", "-c", pipe, timeout=600)
        self.assertEqual(shown.split()[0], blockDigest(size))

    def assertUploads(self, size: int) -> None:
        """
        C{curl} puts so many bytes, and they arrive as they are.
        """
        path = self.guest.directory / "upload"
        with path.open("wb") as file:
            for _ in range(size // len(BLOCK)):
                file.write(BLOCK)
        command = ("curl", "-sS", "-m", "540", "-T", str(path), f"http://{REMOTE}/")
        shown = self.guest.run(*command, timeout=600)
        self.assertEqual(shown, blockDigest(size))

    def assertMoves(self, *options: str, size: int) -> None:
        """
        C{iperf3} moves so many bytes, or in both directions at once what it can in three seconds:
        it would end with the faster of them, before the other one has begun.
        """
        both = "--bidir" in options
        amount = ("-t", "3") if both else ("-n", str(size))
        command = ("iperf3", "-c", REMOTE, *amount, "--json", *options)
        for _ in range(20):
            shown = json.loads(self.guest.attempt(*command, timeout=120).stdout)
            if not re.search("busy|refused", shown.get("error", "")):
                break
            # The server has not noticed yet that the last test is over, or listens anew just now.
            self.guest.run("sleep", "0.2")
        self.assertNotIn("error", shown, shown.get("error"))
        end = shown["end"]
        moved = [end["sum_received"]["bytes"]]
        if both:
            moved.append(end["sum_received_bidir_reverse"]["bytes"])
        # Streams that are under way at the end count in part.
        self.assertGreater(min(moved), size / 4, f"{moved} of {size}")


class BulkTests(_Case):
    """
    Much data.
    """

    def test_curl(self) -> None:
        """
        A download and an upload arrive whole and unchanged.
        """
        self.assertDownloads(BULK)
        self.assertUploads(BULK)
        settle(self.server)

    def test_iperf(self) -> None:
        """
        C{iperf3} runs to its end in either direction and in both, with one stream and with 32.
        """
        for streams in ("1", "32"):
            for direction in ((), ("-R",), ("--bidir",)):
                self.assertMoves("-P", streams, *direction, size=BULK // 4)


class JumboTests(_Case):
    """
    The same with packets of nearly 64 KiB.
    """

    mtu = 65_520

    def test_dhcp(self) -> None:
        """
        The guest is told of the MTU.
        """
        self.guest.run("ip", "link", "set", "tap0", "mtu", "1500")
        self.guest.run(*self.guest.udhcpc("-n", "-q", "-O", "mtu"))
        self.assertIn("mtu 65520", self.guest.run("ip", "link", "show", "tap0"))

    def test_curl(self) -> None:
        """
        A download and an upload arrive whole and unchanged, in few frames.
        """
        before = self.guest.order("stats")
        self.assertDownloads(BULK)
        after = self.guest.order("stats")
        self.assertLess(after["received"] - before["received"], BULK // 16_384)
        self.assertUploads(BULK)

    def test_iperf(self) -> None:
        """
        C{iperf3} moves data both ways at once.
        """
        self.assertMoves("-P", "32", "--bidir", size=BULK // 4)


class ConversationTests(_Case):
    """
    Who speaks when, and who stops.
    """

    def test_serverSpeaksFirst(self) -> None:
        """
        A banner reaches a client that waits for it.
        """
        shown = self.guest.python(BANNER, REMOTE, "22")
        self.assertEqual(shown.strip(), repr(SAID + b"and you?"))

    def test_halfClose(self) -> None:
        """
        A client that has sent all it has gets its answer, be that nothing, a byte or megabytes.
        """
        for size in (0, 1, 8 * MIB):
            shown = self.guest.python(HALF_CLOSE, REMOTE, "9", str(size))
            self.assertEqual(shown.split(), [str(size), blockDigest(size)])
        settle(self.server)

    def test_hostThatSleeps(self) -> None:
        """
        A host that reads nothing holds up the guest, within bounds; when it wakes up, nothing is
        missing.
        """
        size = 32 * MIB
        sleepers = services().sleepers
        sleepers.awake.clear()
        self.addCleanup(sleepers.awake.set)
        client = self.guest.start(
            sys.executable,
            *("-c", STALL, REMOTE, "1000", str(size)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.addCleanup(client.communicate)
        assert client.stdout and client.stdin
        sent = int(client.stdout.readline())
        self.assertLess(sent, 16 * MIB)
        if FULL:
            self.guest.run("sleep", "30")
        sleepers.awake.set()
        client.stdin.write(b"go on\n")
        client.stdin.flush()
        self.assertEqual(client.stdout.read().decode().split(), [str(size), blockDigest(size)])

    def test_shortConnections(self) -> None:
        """
        Thousands of connections out of two hundred ports, each of which is used over and over.
        """
        count = 10_000 if FULL else 2_000
        ports = "/proc/sys/net/ipv4/ip_local_port_range"
        self.guest.run("sh", "-c", f"echo 40000 40199 > {ports}")
        shown = self.guest.python(SHORT, REMOTE, "13", str(count), timeout=600)
        self.assertLessEqual(int(shown), 200)
        settle(self.server)

    def test_refused(self) -> None:
        """
        A port that nobody listens on is refused within the first round trip.
        """
        shown = self.guest.attempt("curl", "-sS", "-m", "10", f"http://{REMOTE}:1/")
        self.assertEqual(shown.returncode, 7, shown.stderr)
        self.assertRegex(shown.stderr, rb"after \d{1,3} ms")


class SnapshotTests(_Case):
    """
    A guest that was saved and restored.
    """

    def test_oldConnections(self) -> None:
        """
        A connection of a tunnel that is gone is reset at once, and new ones work.
        """
        client = self.guest.start(
            sys.executable,
            *("-c", RESTORED, REMOTE, "7"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.addCleanup(client.communicate)
        assert client.stdout and client.stdin
        self.assertEqual(client.stdout.readline(), b"before\n")
        self.guest.order("reconnect")
        settle(self.server)
        client.stdin.write(b"go on\n")
        client.stdin.flush()
        self.assertEqual(client.stdout.read(), b"reset True\n")
        self.assertDownloads(MIB)

    def test_newNetworkCard(self) -> None:
        """
        A download goes on when the guest's MAC address changes in the middle.
        """
        pipe = f"curl -sS -m 120 http://{REMOTE}/{BULK} | sha256sum"
        download = self.guest.start("sh", "-c", pipe, stdout=subprocess.PIPE)
        self.addCleanup(download.communicate)
        for last in range(2):
            self.guest.run("sleep", "0.2")
            self.guest.run("ip", "link", "set", "tap0", "address", f"02:de:ad:be:ef:0{last}")
        assert download.stdout
        self.assertEqual(download.stdout.read().split()[0].decode(), blockDigest(BULK))


class EdgeTests(_Case):
    """
    Beside everything else, behind TLS.
    """

    def start(self) -> Aero:
        """
        The whole edge.
        """
        aero = Aero(*edgeOptions(), state=None, runDir=None, **services().variables())
        self.addCleanup(aero.stop)
        return aero

    def test_curl(self) -> None:
        """
        A guest behind the edge has its LAN, and its bytes are counted.
        """
        self.guest.run("ip", "address", "flush", "dev", "tap0")
        self.guest.run(*self.guest.udhcpc("-n", "-q"))
        self.assertDownloads(BULK // 4)
        self.assertUploads(BULK // 4)
        self.assertGreater(metric(self.server, "l2_bytes_tx_total"), BULK // 4)
        self.assertGreater(metric(self.server, "l2_bytes_rx_total"), BULK // 4)
