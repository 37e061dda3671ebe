"""
The examples of the documentation: each is started as its reader would, and does what it says.
"""

from __future__ import annotations

import queue
import re
import socket
import time
from functools import cache

from twisted.trial.unittest import SynchronousTestCase

from .support.http import request, sessionCookie
from .support.l2 import OPEN, l2Options
from .support.server import ROOT, Aero, shared
from .support.station import Station
from .support.targets import Target, echo, source
from .support.websocket import BINARY, CLOSE, WebSocket, tcpTarget

EXAMPLES = ROOT / "docs" / "examples"

#: The head of a binary frame of 32768 bytes with a mask of zeros.
HEAD = bytes((0x82, 0xFE)) + (32_768).to_bytes(2, "big") + bytes(4)


@cache
def example(name: str) -> Aero:
    """
    The server of one example.
    """
    return shared(
        "gateway",
        *("--app", f"{name}.Server"),
        PYTHONPATH=f"{ROOT}:{EXAMPLES}",
        TCP_ALLOW_PRIVATE_IPS="1",
    )


def waitForLog(server: Aero, text: str) -> str:
    """
    The first log line with a text in it.
    """
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for line in list(server.log):
            if text in line:
                return line
        time.sleep(0.02)
    raise AssertionError(f"{text!r} is not in the log: {server.log}")


class DocumentTests(SynchronousTestCase):
    """
    C{docs/extending.md}.
    """

    def test_verbatim(self) -> None:
        """
        Its Python blocks are the example files, letter for letter, and every file is shown.
        """
        page = (ROOT / "docs" / "extending.md").read_text()
        shown = re.findall(
            r"\[`examples/(\w+\.py)`\]\(examples/\1\)\n\n```python\n(.*?)```\n", page, re.S
        )
        self.assertEqual(page.count("```python\n"), len(shown))
        self.assertEqual(
            dict(shown), {path.name: path.read_text() for path in EXAMPLES.glob("*.py")}
        )


class NullModemTests(SynchronousTestCase):
    """
    C{nullmodem.py}: a WebSocket endpoint.
    """

    def plug(self, cable: str) -> WebSocket:
        """
        Plug in an end, from a browser of its own.
        """
        end = WebSocket(example("nullmodem"), f"/nullmodem?cable={cable}")
        self.addCleanup(end.connection.close)
        self.assertTrue(end.accepted, end.response)
        return end

    def test_bothWays(self) -> None:
        """
        Bytes go from either end to the other, and not to another cable.
        """
        one, other, stranger = self.plug("a"), self.plug("a"), self.plug("b")
        one.send(b"ATDT 5551234\r")
        self.assertEqual(other.receiveBytes(13), b"ATDT 5551234\r")
        other.send(b"CONNECT 9600\r\n")
        self.assertEqual(one.receiveBytes(14), b"CONNECT 9600\r\n")
        peer = self.plug("b")
        peer.send(b"only this")
        self.assertEqual(stranger.receiveBytes(9), b"only this")

    def test_replug(self) -> None:
        """
        A cable has two ends; when one is pulled out, somebody else may take it.
        """
        one, other = self.plug("c"), self.plug("c")
        with WebSocket(example("nullmodem"), "/nullmodem?cable=c") as third:
            self.assertEqual(third.response.status, 409)
        other.send(b"", CLOSE)
        self.assertEqual(other.receive()[0], CLOSE)
        newcomer = self.plug("c")
        newcomer.send(b"hello")
        self.assertEqual(one.receive(), (BINARY, b"hello"))

    def test_refusals(self) -> None:
        """
        The shared checks come first: no session is a 401; then the endpoint's own, a 400.
        """
        for target, cookie, status in (
            ("/nullmodem?cable=d", None, 401),
            ("/nullmodem", "", 400),
            ("/nullmodem?cable=" + "x" * 65, "", 400),
        ):
            with WebSocket(example("nullmodem"), target, cookie=cookie) as end:
                self.assertEqual(end.response.status, status, target)

    def test_slowReader(self) -> None:
        """
        An end that does not read makes the other one wait, and no byte is lost.
        """
        one, other = self.plug("e"), self.plug("e")
        one.connection.socket.settimeout(0.5)
        block = bytes(range(256)) * 128
        sent = 0
        try:
            while sent < 256 << 20:
                one.connection.socket.sendall(HEAD + block)
                sent += len(block)
        except TimeoutError:
            pass
        else:
            self.fail("the server took a quarter of a gibibyte for nobody")
        one.connection.socket.settimeout(30)
        data = other.receiveBytes(sent)
        self.assertEqual(data, block * (sent // len(block)))


class RetroWebTests(SynchronousTestCase):
    """
    C{retroweb.py}: other tunnels at C{/tcp}.
    """

    def exchange(self, sent: list[bytes], expected: bytes) -> None:
        """
        Send messages through a tunnel and compare what its target got.
        """
        with (
            Target(echo) as target,
            WebSocket(example("retroweb"), tcpTarget("127.0.0.1", target.port)) as tunnel,
        ):
            self.assertTrue(tunnel.accepted)
            for message in sent:
                tunnel.send(message)
            expected = expected.replace(b"SITE", f"127.0.0.1:{target.port}".encode())
            self.assertEqual(tunnel.receiveBytes(len(expected)), expected)

    def test_hostAdded(self) -> None:
        """
        A request without C{Host} gets one, in however many pieces it comes; what follows is
        left alone.
        """
        request = b"GET / HTTP/1.0\r\nUser-Agent: Mosaic\r\n\r\n"
        fixed = b"GET / HTTP/1.0\r\nHost: SITE\r\nUser-Agent: Mosaic\r\n\r\n"
        self.exchange([request], fixed)
        self.exchange([bytes([byte]) for byte in request], fixed)
        self.exchange(
            [request, b"GET /again HTTP/1.0\r\n\r\n"], fixed + b"GET /again HTTP/1.0\r\n\r\n"
        )

    def test_leftAlone(self) -> None:
        """
        A request that has its C{Host}, one whose head is too long, and any other protocol pass
        unchanged and at once.
        """
        for data in (
            b"GET / HTTP/1.1\r\nhost: example.com\r\n\r\n",
            b"GET /" + b"a" * 10_000,
            b"SSH-2.0-guest\r\n",
            bytes(range(256)),
            b"G\0",
        ):
            self.exchange([data], data)

    def test_refusal(self) -> None:
        """
        Port 443 is refused with the example's words, before any connection.
        """
        with WebSocket(example("retroweb"), tcpTarget("127.0.0.1", 443)) as tunnel:
            self.assertEqual(tunnel.response.status, 403)
            self.assertEqual(
                tunnel.response.body, b"This guest does not speak TLS 1.2; use port 80\n"
            )

    def test_account(self) -> None:
        """
        Each tunnel leaves a log line with what went each way, and what was held back when the
        client left has arrived.
        """
        with (
            Target(source(1000)) as target,
            WebSocket(example("retroweb"), tcpTarget("127.0.0.1", target.port)) as tunnel,
        ):
            self.assertEqual(len(tunnel.receiveBytes(1000)), 1000)
            tunnel.send(b"GET")
            tunnel.send(b"", CLOSE)
            tunnel.closeCode()
        line = waitForLog(example("retroweb"), f"127.0.0.1:{target.port}: ")
        self.assertIn("3 bytes sent, 1000 received", line)

    def test_heldBack(self) -> None:
        """
        The beginning of a request reaches the target although the rest never comes.
        """
        arrived: queue.Queue[bytes] = queue.Queue()

        def record(connection: socket.socket) -> None:
            seen = b""
            while data := connection.recv(1000):
                seen += data
            arrived.put(seen)

        with (
            Target(record) as target,
            WebSocket(example("retroweb"), tcpTarget("127.0.0.1", target.port)) as tunnel,
        ):
            tunnel.send(b"GET /unfinished HTTP/1.0\r\n")
            tunnel.send(b"", CLOSE)
            tunnel.closeCode()
            self.assertEqual(arrived.get(timeout=30), b"GET /unfinished HTTP/1.0\r\n")


class WhoamiTests(SynchronousTestCase):
    """
    C{whoami.py}: a resource.
    """

    def test_session(self) -> None:
        """
        It tells a page about its session, ends it, and from then on no service knows it.
        """
        server = example("whoami")
        cookie = ("Cookie", sessionCookie(server))
        answer = request(server, "GET", "/whoami", cookie)
        self.assertEqual((answer.status, answer.json()["address"]), (200, "127.0.0.1"))
        self.assertEqual(answer.one("Cache-Control"), "no-store")
        self.assertGreater(answer.json()["expires"], time.time())
        self.assertEqual(request(server, "GET", "/whoami", cookie).json(), answer.json())
        self.assertEqual(request(server, "DELETE", "/whoami", cookie).status, 204)
        self.assertEqual(request(server, "GET", "/whoami", cookie).status, 401)
        with WebSocket(server, tcpTarget("127.0.0.1", 1), cookie=cookie[1]) as tunnel:
            self.assertEqual(tunnel.response.status, 401)

    def test_gates(self) -> None:
        """
        What every resource gets it gets too: 401 without a session, 405 for other methods, 403
        for foreign pages.
        """
        server = example("whoami")
        self.assertEqual(request(server, "GET", "/whoami").status, 401)
        self.assertEqual(request(server, "PUT", "/whoami", body=b"").status, 405)
        foreign = request(server, "GET", "/whoami", ("Origin", "https://elsewhere.example"))
        self.assertEqual(foreign.status, 403)


class LANSiteTests(SynchronousTestCase):
    """
    C{lansite.py}: a web site in the guest's network.
    """

    def test_site(self) -> None:
        """
        The guest reads its lease, its limits and what it may do at the gateway's address, as
        often as it likes on one connection; another guest reads of its own.
        """
        server = Aero(
            *l2Options(),
            *("--app", "lansite.Server"),
            state=None,
            runDir=None,
            **OPEN,
            PYTHONPATH=f"{ROOT}:{EXAMPLES}",
            AERO_L2_BLOCKED_DOMAINS="example.com",
        )
        self.addCleanup(server.kill)
        guest, other = Station(server), Station(server)
        for each in (guest, other):
            self.addCleanup(each.leave)
        guest.lease()
        connection = guest.connect("10.0.2.2", 80)
        for _ in range(2):
            before = connection.received.count(b"</ul>")
            connection.write(b"GET / HTTP/1.1\r\nHost: 10.0.2.2\r\n\r\n")
            guest.until(
                lambda before=before: connection.received.count(b"</ul>") > before,  # type: ignore[misc]
                "answered",
            )
        page = connection.received.decode()
        self.assertTrue(page.startswith("HTTP/1.1 200 OK\r\n"))
        for line in (
            "Your address is 10.0.2.15 for 86",
            "Your network card is 02:aa:bb:cc:dd:ee.",
            "The MTU is 1500 bytes.",
            "You may have 1024 TCP connections.",
            "You may go: no names in example.com.",
        ):
            self.assertIn(line, page)
        connection = other.connect("10.0.2.2", 80)
        connection.write(b"GET / HTTP/1.0\r\n\r\n")
        other.until(lambda: connection.ended, "answered")
        self.assertNotIn(b"Your address", connection.received)
