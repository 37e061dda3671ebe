"""
The LAN behind C{/l2}, seen from the guest: DNS, UDP and ping (l2.md section 20.5), and the log
of what guests do.
"""

from __future__ import annotations

import atexit
import subprocess
import sys
from functools import cache

import dns.flags
import dns.message
import dns.rcode
from twisted.trial.unittest import SynchronousTestCase

from .support.l2 import OPEN, l2Options
from .support.lancase import PLACE, LANCase
from .support.metrics import counted, metric
from .support.nameservers import Dnsmasq
from .support.server import ROOT, Aero, run
from .support.station import Station, UDPEcho
from .support.targets import Target, echo
from .support.tools import missing, require

STATIC = "echo.local=203.0.113.10,other.local=203.0.113.11"


@cache
def nameServer() -> Dnsmasq:
    """
    A real name server for all tests; it ends with the test run.
    """
    made = Dnsmasq(
        "--host-record=www.public.test,93.184.215.14",
        "--cname=alias.public.test,www.public.test",
        "--txt-record=public.test,hello",
        "--mx-host=public.test,mail.public.test,10",
        "--srv-host=_http._tcp.public.test,www.public.test,80",
        "--host-record=inside.public.test,192.168.1.1",
        "--host-record=www.blocked.test,93.184.215.15",
        "--txt-record=big.public.test," + ",".join("x" * 200 for _ in range(6)),
    )
    atexit.register(made.stop)
    return made


class ServiceCase(LANCase):
    """
    Guests that talk to the LAN's services.
    """

    def resolving(self, **variables: str) -> Aero:
        """
        A server whose DNS asks the name server of the tests.
        """
        return self.serve(DNS_UPSTREAMS=f"127.0.0.1:{nameServer().port}", **variables)


class DNSTests(ServiceCase, SynchronousTestCase):
    """
    The DNS of the LAN.
    """

    def test_static(self) -> None:
        """
        A static name is answered before there is an address: a pointer to the question, the
        record, and the address last of all (L6).
        """
        guest = self.station(self.serve(AERO_L2_DNS_A=STATIC), lease=False)
        answer = self.ask(guest, "Echo.local")
        self.assertTrue(answer.flags & dns.flags.QR)
        self.assertEqual(len(answer.answer), 1)
        data = guest.datagrams[0].data
        self.assertEqual(data[-16:-4].hex(), "c00c000100010000003c0004")
        self.assertEqual(data[-4:], bytes((203, 0, 113, 10)))

    def test_pending(self) -> None:
        """
        With no questions under way allowed there are no answers; with one there are (L18).
        """
        for limit, rcode in (("0", dns.rcode.SERVFAIL), ("1", dns.rcode.NOERROR)):
            server = self.serve(AERO_L2_DNS_A=STATIC, AERO_L2_STACK_MAX_PENDING_DNS=limit)
            answer = self.ask(self.station(server, lease=False), "echo.local")
            self.assertEqual(answer.rcode(), rcode)
            self.assertEqual(len(answer.answer), int(limit))

    def test_cache(self) -> None:
        """
        A cache of one entry asks three times, one of two twice (L19).
        """
        for size, lookups in (("1", 3), ("2", 2)):
            server = self.serve(AERO_L2_DNS_A=STATIC, AERO_L2_STACK_MAX_DNS_CACHE_ENTRIES=size)
            guest = self.station(server, lease=False)
            for name in ("echo.local", "other.local", "echo.local"):
                self.assertEqual(len(self.addresses(guest, name)), 1)
            self.assertEqual(metric(server, "l2_dns_queries_total"), lookups)

    def test_domains(self) -> None:
        """
        Names outside the allowed domains, and in the blocked ones, do not exist; each refusal
        counts (L20).
        """
        names = "allowed.local=203.0.113.10,blocked.local=203.0.113.11"
        for rule, answered in (
            ({}, 1),
            ({"AERO_L2_ALLOWED_DOMAINS": "allowed.local"}, 0),
            ({"AERO_L2_BLOCKED_DOMAINS": "blocked.local"}, 0),
        ):
            server = self.serve(AERO_L2_DNS_A=names, **rule)
            guest = self.station(server, lease=False)
            self.assertEqual(self.addresses(guest, "allowed.local"), ["203.0.113.10"])
            answer = self.ask(guest, "blocked.local")
            self.assertEqual(len(answer.answer), answered)
            self.assertEqual(answer.rcode(), 0 if answered else dns.rcode.NXDOMAIN)
            self.assertEqual(metric(server, "l2_policy_denied_total"), 1 - answered)

    def test_loopback(self) -> None:
        """
        Neither a static name nor C{localhost} leads to this machine, unless private addresses
        are allowed; only the second is a refusal (L21, L22).
        """
        for allowed in ("0", "1"):
            server = self.serve(
                AERO_L2_DNS_A="loop.local=127.0.0.1", AERO_L2_ALLOW_PRIVATE_IPS=allowed
            )
            guest = self.station(server, lease=False)
            expected = ["127.0.0.1"] if allowed == "1" else []
            self.assertEqual(self.addresses(guest, "loop.local"), expected)
            self.assertEqual(metric(server, "l2_policy_denied_total"), 0)
            self.assertEqual(self.addresses(guest, "localhost"), expected)
            self.assertEqual(metric(server, "l2_policy_denied_total"), 1 - int(allowed))
            self.assertEqual(metric(server, "l2_dns_fail_total"), 0)

    def test_badName(self) -> None:
        """
        A name with a space does not exist, and failed (L23).
        """
        server = self.serve()
        answer = self.ask(self.station(server, lease=False), "bad\\032name.local")
        self.assertEqual(answer.rcode(), dns.rcode.NXDOMAIN)
        self.assertEqual(metric(server, "l2_dns_fail_total"), 1)

    def test_types(self) -> None:
        """
        Every type is answered from a real server, aliases are followed, AAAA is answered with
        nothing, and private addresses are left out.
        """
        guest = self.station(self.resolving())
        self.assertEqual(self.addresses(guest, "alias.public.test"), ["93.184.215.14"])
        for name, rtype, data in (
            ("public.test", "TXT", '"hello"'),
            ("public.test", "MX", "10 mail.public.test."),
            ("_http._tcp.public.test", "SRV", "0 0 80 www.public.test."),
        ):
            self.assertEqual(self.ask(guest, name, rtype).answer[0][0].to_text(), data)
        answer = self.ask(guest, "www.public.test", "AAAA")
        self.assertEqual((answer.rcode(), answer.answer), (dns.rcode.NOERROR, []))
        self.assertEqual(self.ask(guest, "inside.public.test").rcode(), dns.rcode.NXDOMAIN)

    def test_overTCP(self) -> None:
        """
        An answer that does not fit into a datagram says so, and is whole over TCP.
        """
        guest = self.station(self.resolving())
        answer = self.ask(guest, "big.public.test", "TXT")
        self.assertTrue(answer.flags & dns.flags.TC)
        query = dns.message.make_query("big.public.test", "TXT").to_wire()
        connection = guest.connect("10.0.2.2", 53)
        connection.write(len(query).to_bytes(2, "big") + query)
        guest.until(
            lambda: (
                len(connection.received) >= 2
                and len(connection.received) - 2 == int.from_bytes(connection.received[:2], "big")
            ),
            "answered",
        )
        whole = dns.message.from_wire(connection.received[2:])
        self.assertEqual(sum(len(text) for text in whole.answer[0][0].strings), 1_200)

    def test_boundNames(self) -> None:
        """
        The address of a blocked name is refused although it is dialled as an address, and
        asking another server does not help; where only some domains are allowed, so is every
        address that none of their names led to.
        """
        server = self.resolving(AERO_L2_BLOCKED_DOMAINS="blocked.test")
        guest = self.station(server)
        for place in ("10.0.2.2", "8.8.8.8"):
            answer = self.ask(guest, "www.blocked.test", to=place)
            self.assertEqual(answer.rcode(), dns.rcode.NXDOMAIN)
        self.eventually(
            lambda: counted(server, "dns_queries_total", source="upstream") > 0, "looked up"
        )
        refused = guest.connect("93.184.215.15", 80)
        guest.until(lambda: refused.wasReset, "reset")
        self.assertEqual(
            metric(server, "aero_lan_refusals_total", reason="domain", wanted="tcp"), 1
        )
        server = self.resolving(AERO_L2_ALLOWED_DOMAINS="public.test")
        guest = self.station(server)
        refused = guest.connect("93.184.215.14", 80)
        guest.until(lambda: refused.wasReset, "reset")
        unresolved = {"reason": "unresolved", "wanted": "tcp"}
        self.assertEqual(metric(server, "aero_lan_refusals_total", **unresolved), 1)


class UDPTests(ServiceCase, SynchronousTestCase):
    """
    UDP through the LAN.
    """

    def echoing(self, *names: str, **variables: str) -> tuple[Aero, UDPEcho]:
        """
        A server that leads ports from 7 on to an echo.
        """
        target = UDPEcho()
        self.addCleanup(target.__exit__)
        forwards = ",".join(f"{PLACE}:{7 + n}=127.0.0.1:{target.port}" for n in range(3))
        return self.serve(AERO_L2_UDP_FORWARD=forwards, **variables), target

    def answered(self, guest: Station, port: int, to: int = 7, data: bytes = b"hi-udp") -> None:
        """
        A datagram comes back, from where it was sent to.
        """
        guest.datagrams.clear()
        guest.sendDatagram(port, PLACE, to, data)
        guest.until(lambda: guest.datagrams, "answered")
        found = guest.datagrams[0]
        self.assertEqual((found.source, found.destination[1]), ((PLACE, to), port))
        self.assertEqual(found.data, data)

    def test_echo(self) -> None:
        """
        An echo comes from the address that the guest sees; a port that is not
        listed is refused, and said so (L5, L9).
        """
        server, _ = self.echoing(AERO_L2_ALLOWED_UDP_PORTS="7")
        guest = self.station(server)
        self.answered(guest, 5_000)
        self.answered(guest, 5_000, data=bytes(range(256)) * 5)
        guest.datagrams.clear()
        guest.sendDatagram(5_000, PLACE, 8, b"x")
        guest.until(lambda: guest.errors, "refused")
        guest.wait(0.3)
        self.assertEqual((guest.errors[0][:2], guest.datagrams), ((3, 13), []))
        self.assertEqual(metric(server, "l2_policy_denied_total"), 1)

    def test_limit(self) -> None:
        """
        Two flows echo, the third gets nothing, and counts once (L15).
        """
        server, _ = self.echoing(
            AERO_L2_MAX_UDP_FLOWS_PER_TUNNEL="2", AERO_L2_UDP_FLOW_IDLE_TIMEOUT_MS="0"
        )
        guest = self.station(server)
        self.answered(guest, 5_000)
        self.answered(guest, 5_001)
        guest.datagrams.clear()
        guest.sendDatagram(5_002, PLACE, 7, b"x")
        guest.wait(0.2)
        self.assertEqual(guest.datagrams, [])
        self.assertEqual(metric(server, "l2_udp_flows_active"), 2)
        self.assertEqual(metric(server, "l2_udp_flow_limit_exceeded_total"), 1)
        guest.leave()
        self.eventually(lambda: metric(server, "l2_udp_flows_active") == 0, "gone")

    def test_idle(self) -> None:
        """
        A time in which a silent flow may not end yet stops the start (L16; RFC 4787 section 4.3).
        """
        done = run(*l2Options(), **OPEN, AERO_L2_UDP_FLOW_IDLE_TIMEOUT_MS="50")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("AERO_L2_UDP_FLOW_IDLE_TIMEOUT_MS", done.stderr)
        self.assertIn("expected 120000 or more", done.stderr)

    def test_nobody(self) -> None:
        """
        A closed port is counted, ends the flow, and is said to the guest (L17).
        """
        server = self.serve(
            AERO_L2_UDP_FORWARD=f"{PLACE}:7=127.0.0.1:1", AERO_L2_UDP_FLOW_IDLE_TIMEOUT_MS="0"
        )
        guest = self.station(server)
        guest.sendDatagram(5_000, PLACE, 7, b"x")
        guest.until(lambda: guest.errors, "refused")
        self.assertEqual(guest.errors[0][:2], (3, 3))
        self.assertEqual(metric(server, "l2_udp_send_fail_total"), 1)
        self.assertEqual(metric(server, "l2_udp_flows_active"), 0)
        for _ in range(3):
            guest.sendDatagram(5_000, PLACE, 7, b"x")
            guest.wait(0.05)
        self.eventually(lambda: metric(server, "l2_udp_send_fail_total") > 1, "counted again")

    def test_onePort(self) -> None:
        """
        A guest's port is one port on the network, whoever it talks to, and a stranger's
        datagram does not get in.
        """
        first, second = UDPEcho(), UDPEcho()
        self.addCleanup(first.__exit__)
        self.addCleanup(second.__exit__)
        server = self.serve(AERO_L2_ALLOW_PRIVATE_IPS="1")
        guest = self.station(server)
        for target in (first, second):
            guest.sendDatagram(5_000, "127.0.0.1", target.port, b"x")
        guest.until(lambda: len(guest.datagrams) == 2, "answered")
        self.assertEqual(first.seen, second.seen)
        guest.datagrams.clear()
        stranger = UDPEcho()
        self.addCleanup(stranger.__exit__)
        stranger.send(b"knock", first.seen[0])
        guest.wait(0.2)
        self.assertEqual(guest.datagrams, [])
        self.assertEqual(metric(server, "aero_lan_udp_filtered_total"), 1)


class OtherTests(ServiceCase, SynchronousTestCase):
    """
    Ping, and the log.
    """

    def test_ping(self) -> None:
        """
        The gateway answers; whom policy forbids does not, and neither do neighbours: the guest is
        told why.
        """
        guest = self.station(self.serve())
        guest.ping("10.0.2.2", 7, b"x" * 1_000)
        for silent in ("10.0.2.4", "192.168.1.1", "127.0.0.1"):
            guest.ping(silent)
        guest.until(lambda: guest.echoes and len(guest.errors) == 3, "answered")
        guest.wait(0.3)
        self.assertEqual(guest.echoes, [("10.0.2.2", 7, b"x" * 1_000)])
        told = [(kind, code, quoted[16:20]) for kind, code, quoted in guest.errors]
        self.assertEqual(
            sorted(told),
            [
                (3, 1, bytes((10, 0, 2, 4))),
                (3, 13, bytes((127, 0, 0, 1))),
                (3, 13, bytes((192, 168, 1, 1))),
            ],
        )

    def test_pingSockets(self) -> None:
        """
        Where the system has ping sockets for the server, pings get to the outside and back;
        where it has none there is silence.
        """
        allow = "echo '0 0' > /proc/sys/net/ipv4/ping_group_range"
        for prepare, expected in (
            (allow, ["127.0.0.1 1 3", "127.0.0.9 2 900", "sent 2", "answered 2", "unavailable 0"]),
            ("true", ["sent 0", "answered 0", "unavailable 2"]),
        ):
            commands = (
                "ip link set lo up",
                prepare,
                f"exec {sys.executable} -m tests.support.pingguest",
            )
            result = subprocess.run(
                [require("unshare"), "-r", "-n", "sh", "-e", "-c", "; ".join(commands)],
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            if result.returncode and "unshare" in result.stderr:
                missing(f"no network namespaces: {result.stderr}")
            self.assertEqual(result.stdout.splitlines(), expected, result.stderr)

    def test_firstHop(self) -> None:
        """
        A packet whose time is over comes back from the gateway, as traceroute wants it.
        """
        guest = self.station(self.serve())
        guest.ping("8.8.8.8", ttl=1)
        guest.until(lambda: guest.errors, "told")
        self.assertEqual(guest.errors[0][:2], (11, 0))

    def test_log(self) -> None:
        """
        Flows and refusals leave a line each: who, where, how much, and how it ended, addresses
        blurred.
        """
        target = Target(echo)
        self.addCleanup(target.__exit__)
        server = self.serve(
            AERO_L2_TCP_FORWARD=f"{PLACE}:80=127.0.0.1:{target.port}", LOG_LEVEL="info"
        )
        guest = self.station(server)
        connection = guest.connect(PLACE, 80)
        guest.until(lambda: connection.established, "established")
        connection.write(b"hello")
        guest.until(lambda: connection.received == b"hello", "echoed")
        connection.close()
        refused = guest.connect("10.9.9.9", 22)
        guest.until(lambda: connection.ended and refused.wasReset, "over")
        self.eventually(lambda: bool(self.logged(server, " done after ")), "in the log")
        line = self.logged(server, " done after ")
        self.assertIn("of 127.0.0.0/24: tcp to 203.0.113.0/24:80 done after", line)
        self.assertIn("5 bytes sent, 5 received", line)
        self.assertIn("tcp to 10.9.9.0/24:22 refused, private", self.logged(server, " refused, "))

    def logged(self, server: Aero, text: str) -> str:
        """
        The first line of the log with a text in it.
        """
        return next((line for line in [*server.log, *server.lines] if text in line), "")
