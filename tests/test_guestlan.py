"""
A guest with a real kernel on its LAN: addresses, names, pings, and what the gateway tells it.
"""

from __future__ import annotations

import json
import re
import signal
import time
from typing import Callable, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from tests.support.guest import KernelGuest
from tests.support.guestrig import REMOTE, server
from tests.support.tools import require

#: Seconds that something may take which happens at once when nobody else is busy.
_PATIENCE = 20.0

#: Argument: the vendor area in hexadecimal digits. Prints the size of the answer, the address that
#: it gives, its sender, and the magic cookie.
_BOOTP = """
import fcntl, socket, struct, subprocess, sys
subprocess.run(["ip", "link", "set", "tap0", "up"], check=True)
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x800))
wire.bind(("tap0", 0x800))
wire.settimeout(10)
mac = wire.getsockname()[4]
vendor = bytes.fromhex(sys.argv[1] if len(sys.argv) > 1 else "").ljust(64, bytes(1))
data = struct.pack("!4BIHH16x", 1, 1, 6, 0, 77, 0, 0) + mac.ljust(16, bytes(1)) + bytes(192) + vendor
udp = struct.pack("!4H", 68, 67, 8 + len(data), 0) + data
head = struct.pack("!BBHHHBBH4s4s", 69, 0, 20 + len(udp), 1, 0, 64, 17, 0, bytes(4), b"\\xff" * 4)
total = sum(struct.unpack("!10H", head))
total = (total & 0xFFFF) + (total >> 16)
head = head[:10] + struct.pack("!H", ~total & 0xFFFF) + head[12:]
wire.send(b"\\xff" * 6 + mac + b"\\x08\\0" + head + udp)
while True:
    frame = wire.recv(2000)
    if frame[23] == 17 and frame[34:38] == struct.pack("!2H", 67, 68):
        break
found = frame[42:]
print(len(found), socket.inet_ntoa(found[16:20]), socket.inet_ntoa(frame[26:30]))
print(found[236:240].hex().strip("0"))
"""


class _Case(SynchronousTestCase):
    """
    A guest without an address.
    """

    def setUp(self) -> None:
        """
        Plug it in.
        """
        require("nsenter")
        self.server = server()
        self.guest = KernelGuest(self.server)
        self.addCleanup(self.guest.stop)

    def waitFor(self, condition: Callable[[], object], what: str) -> None:
        """
        Wait until something has happened.
        """
        deadline = time.monotonic() + _PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                self.fail(f"{what} in {_PATIENCE} s; the server says {self.server.log[-20:]}")
            time.sleep(0.05)

    def assertWorks(self) -> None:
        """
        The guest has its address, its gateway and its name server.
        """
        shown = json.loads(self.guest.run("ip", "-json", "-4", "address", "show", "tap0"))
        addresses = [each["local"] for each in shown[0]["addr_info"]]
        self.assertEqual(addresses, ["10.0.2.15"])
        self.assertIn("via 10.0.2.2", self.guest.run("ip", "route", "show", "default"))
        self.assertIn("nameserver 10.0.2.2", self.guest.resolv.read_text())
        self.guest.run("ping", "-c", "1", "-W", "5", "10.0.2.2")


class DHCPTests(_Case):
    """
    The DHCP clients that Linux guests have.
    """

    def _names(self) -> list[str]:
        return [name for name, _ in self.guest.dhcpEvents()]

    def test_udhcpc(self) -> None:
        """
        C{udhcpc} gets the lease with all that belongs to it, checks that nobody has the address,
        renews when told to, and releases.
        """
        options = ("-a", "-O", "mtu", "-O", "broadcast", "-O", "search", "-O", "tftp", "-R")
        client = self.guest.start(*self.guest.udhcpc(*options))
        self.addCleanup(client.wait)
        self.addCleanup(client.kill)
        self.waitFor(lambda: "bound" in self._names(), "no lease")
        found = dict(self.guest.dhcpEvents())["bound"]
        for name, expected in (
            ("ip", "10.0.2.15"),
            ("subnet", "255.255.255.0"),
            ("broadcast", "10.0.2.255"),
            ("router", "10.0.2.2"),
            ("dns", "10.0.2.2"),
            ("serverid", "10.0.2.2"),
            ("mtu", "1500"),
            ("lease", "86400"),
        ):
            self.assertEqual(found.get(name), expected, name)
        self.waitFor(self.guest.resolv.read_text, "no name server")
        self.assertWorks()
        client.send_signal(signal.SIGUSR1)
        self.waitFor(lambda: "renew" in self._names(), "no renewal")
        client.send_signal(signal.SIGUSR2)
        self.waitFor(lambda: self._names()[-1] == "deconfig", "no release")

    def test_dhclient(self) -> None:
        """
        C{dhclient} gets the lease, renews it at half of its time, and when started again asks
        for the address that it had.
        """
        configuration = self.guest.directory / "dhclient.conf"
        # The least lease is a minute; this client renews sooner.
        configuration.write_text("supersede dhcp-renewal-time 2;\n")
        command = self.guest.dhclient()
        command[command.index("/dev/null")] = str(configuration)
        client = self.guest.start(*command)
        self.addCleanup(client.wait)
        self.addCleanup(client.kill)
        self.waitFor(lambda: "BOUND" in self._names(), "no lease")
        self.waitFor(lambda: "RENEW" in self._names(), "no renewal")
        self.assertWorks()
        client.kill()
        client.wait()
        again = self.guest.start(*command)
        self.addCleanup(again.wait)
        self.addCleanup(again.kill)
        self.waitFor(lambda: "REBOOT" in self._names(), "the address was not confirmed")
        self.assertWorks()

    def test_wrongAddress(self) -> None:
        """
        A client that comes from another network is told so at once, and gets the right address.
        """
        (self.guest.directory / "leases").write_text(
            'lease {\n  interface "tap0";\n  fixed-address 192.168.7.7;\n'
            "  option subnet-mask 255.255.255.0;\n  option dhcp-server-identifier 192.168.7.1;\n"
            "  option dhcp-lease-time 86400;\n"
            "  renew never;\n  rebind never;\n  expire never;\n}\n"
        )
        log = self.guest.directory / "dhclient.log"
        with log.open("w") as said:
            client = self.guest.start(*self.guest.dhclient(), stderr=said)
        self.addCleanup(client.wait)
        self.addCleanup(client.kill)
        self.waitFor(lambda: "BOUND" in self._names(), "no lease")
        self.assertRegex(log.read_text(), r"DHCPREQUEST for 192\.168\.7\.7 (?s:.)*DHCPNAK")
        self.assertNotIn("REBOOT", self._names())
        self.assertWorks()


class BOOTPTests(_Case):
    """
    A client of BOOTP, which Linux guests had before DHCP.
    """

    def test_raw(self) -> None:
        """
        A request in a raw frame is answered with the address, with the options if it had the
        cookie, and without them if not; with that address the guest works.
        """
        for cookie, options in (("", ""), ("63825363ff", "63825363")):
            shown = self.guest.python(_BOOTP, cookie)
            self.assertEqual(shown.split()[:3], ["300", "10.0.2.15", "10.0.2.2"])
            self.assertEqual(shown.split()[3:], [options] if options else [])
        self.guest.configure("10.0.2.15")
        self.assertWorks()


class NamesTests(_Case):
    """
    The gateway as a name server, asked by C{dig}.
    """

    def setUp(self) -> None:
        """
        The guest has an address.
        """
        super().setUp()
        self.guest.configure()

    def _dig(self, *arguments: str) -> str:
        return self.guest.run("dig", "+timeout=5", "+tries=2", *arguments)

    def test_types(self) -> None:
        """
        Records of all types are found, chains of aliases are followed to their end.
        """
        for name, kind, expected in (
            ("a.test", "A", ["192.0.2.10"]),
            ("txt.test", "TXT", ['"one" "two three"']),
            ("_sip._tcp.test", "SRV", ["10 20 5060 sip.test."]),
            ("mail.test", "MX", ["10 mx1.test."]),
            ("first.test", "A", ["second.test.", "third.test.", "192.0.2.33"]),
        ):
            for transport in ("+notcp", "+tcp"):
                answer = self._dig("+short", transport, kind, name)
                self.assertEqual(answer.splitlines(), expected, (kind, name, transport))

    def test_none(self) -> None:
        """
        A name that is not there does not exist, whatever the type; one that has no such record is
        empty, also for addresses of IPv6, which guests do not have.
        """
        for kind in ("A", "AAAA", "MX"):
            self.assertIn("status: NXDOMAIN", self._dig(kind, "missing.test"), kind)
        for kind in ("AAAA", "MX"):
            answer = self._dig(kind, "third.test")
            self.assertIn("status: NOERROR", answer)
            self.assertIn("ANSWER: 0", answer)

    def test_reverse(self) -> None:
        """
        Private addresses have no names (RFC 6303), with a record that says for how long; the
        gateway has one, and the DNS answers at its second address as well.
        """
        for at in ("@10.0.2.2", "@10.0.2.3"):
            for transport in ("+notcp", "+tcp"):
                answer = self._dig(at, transport, "-x", "192.168.1.1")
                self.assertIn("status: NXDOMAIN", answer)
                self.assertRegex(answer, r"168\.192\.in-addr\.arpa\.\s+10800\s+IN\s+SOA")
                name = self._dig(at, transport, "+short", "-x", "10.0.2.2").strip()
                self.assertEqual(name, "gateway.")
                self.assertEqual(self._dig(at, "+short", name).strip(), "10.0.2.2")

    def test_large(self) -> None:
        """
        An answer that is too large for a datagram is cut, and whole over TCP.
        """
        self.assertRegex(self._dig("+notcp", "+ignore", "TXT", "large.test"), r"flags: qr[^;]* tc")
        answer = self._dig("+short", "TXT", "large.test")
        self.assertEqual(len(answer.splitlines()), 8)

    def test_resolver(self) -> None:
        """
        Programs that know nothing of all this find a host by its name.
        """
        answer = self.guest.python("import socket; print(socket.gethostbyname('first.test'))")
        self.assertEqual(answer.strip(), "192.0.2.33")


class PathTests(_Case):
    """
    What the guest finds out about its way to the world.
    """

    def setUp(self) -> None:
        """
        The guest has an address that nobody gave it.
        """
        super().setUp()
        self.guest.configure("10.0.2.77")

    def test_ping(self) -> None:
        """
        The gateway answers pings, large ones in fragments as well.
        """
        for size in ("0", "56", "1472", "1473", "8000"):
            shown = self.guest.run("ping", "-c", "2", "-i", "0.2", "-s", size, "10.0.2.2")
            self.assertIn(" 0% packet loss", shown, size)

    def test_traceroute(self) -> None:
        """
        The gateway is the first hop, whatever the probes are.
        """
        for kind in ("-U", "-I", "-T"):
            shown = self.guest.run("traceroute", "-n", kind, "-m", "1", "-q", "2", REMOTE)
            hop = shown.splitlines()[1]
            self.assertRegex(hop, r"^ 1  10\.0\.2\.2 ", kind)

    def test_refused(self) -> None:
        """
        A closed port of the gateway and one outside are refused at once, by TCP and by UDP.
        """
        program = """
import socket, sys
for address, port in (("10.0.2.2", 999), (sys.argv[1], 1)):
    try:
        socket.create_connection((address, port), 10)
    except ConnectionRefusedError:
        print("refused")
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.settimeout(10)
datagrams.connect(("10.0.2.2", 999))
datagrams.send(b"anybody?")
try:
    datagrams.recv(9)
except ConnectionRefusedError:
    print("refused")
"""
        self.assertEqual(self.guest.python(program, REMOTE).split(), ["refused"] * 3)

    def test_neighbour(self) -> None:
        """
        An address of the network that nobody has cannot be reached.
        """
        shown = self.guest.attempt("ping", "-c", "1", "-W", "5", "10.0.2.99")
        self.assertTrue(shown.returncode)

    def test_newNetworkCard(self) -> None:
        """
        With another MAC address it all goes on.
        """
        for last in (1, 2):
            self.guest.run("ip", "link", "set", "tap0", "address", f"02:de:ad:be:ef:0{last}")
            self.guest.run("ping", "-c", "1", "-W", "5", "10.0.2.2")
        shown = self.guest.run("ip", "neighbour", "show", "10.0.2.2")
        self.assertRegex(shown, re.escape("02:00:00:00:00:01"))


class CounterTests(_Case):
    """
    The rig itself.
    """

    counted: ClassVar = ("sent", "received", "lost")

    def test_losses(self) -> None:
        """
        A link that loses frames loses as many as it says.
        """
        self.guest.configure()
        self.guest.order("link", '{"loss":0.5,"seed":3,"ring":0,"drain":0}')
        shown = self.guest.attempt("ping", "-c", "40", "-i", "0.01", "-W", "1", "10.0.2.2")
        received = re.search(rb"(\d+) received", shown.stdout)
        assert received
        stats = self.guest.order("stats")
        self.assertGreater(stats["lost"], 5)
        self.assertGreater(int(received[1]), 5)
        self.assertGreaterEqual(int(received[1]) + stats["lost"], 40)
