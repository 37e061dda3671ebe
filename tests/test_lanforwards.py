"""
Where the operator's forwards lead that name a host (l2.md section 18, L27).
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from .support.l2 import OPEN, l2Options
from .support.lancase import PLACE, LANCase
from .support.metrics import metric
from .support.server import Aero, twistd
from .support.station import Station, UDPEcho
from .support.targets import Target, banner
from .support.tools import missing, require

#: What the system of the server knows. RFC 6724 puts the address of IPv6 first, wherever it is.
HOSTS = """\
127.0.0.1 localhost
127.0.0.1 both.test
::1 both.test six.test
127.0.0.2 both.test
"""

#: And whom it asks for the rest: nobody.
NOBODY = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"

#: Gives the server such a system, and then becomes it.
_COMMAND = """
mount --bind "$AERO_TEST_HOSTS" /etc/hosts
mount --bind "$AERO_TEST_RESOLVER" /etc/resolv.conf
exec "$@"
"""


class NamedTests(LANCase, SynchronousTestCase):
    """
    A host with addresses of both kinds, at all of which there is somebody.
    """

    def setUp(self) -> None:
        """
        Listen at one port of each address, over TCP and UDP.
        """
        try:
            six = Target(banner(b"six"), "::1")
        except OSError as error:
            missing(f"there is no IPv6: {error}")
        self.addCleanup(six.__exit__)
        self.port = six.port
        for host in ("127.0.0.1", "127.0.0.2"):
            self.addCleanup(Target(banner(b"four"), host, self.port).__exit__)
        self.echoes = {host: UDPEcho(host, self.port) for host in ("::1", "127.0.0.1", "127.0.0.2")}
        for echo in self.echoes.values():
            self.addCleanup(echo.__exit__)

    def knowing(self, **variables: str) -> Aero:
        """
        A server whose system knows the hosts.
        """
        unshare = [require("unshare"), "-r", "-m"]
        tried = subprocess.run([*unshare, "true"], capture_output=True, text=True, check=False)
        if tried.returncode:
            missing(f"no mount namespaces: {tried.stderr}")
        holder = tempfile.TemporaryDirectory(prefix="aero-test-")
        self.addCleanup(holder.cleanup)
        files = {"AERO_TEST_HOSTS": HOSTS, "AERO_TEST_RESOLVER": NOBODY}
        for name, text in files.items():
            path = Path(holder.name) / name
            path.write_text(text)
            variables[name] = str(path)
        server = Aero(
            *l2Options(),
            state=None,
            runDir=None,
            command=[*unshare, "sh", "-e", "-c", _COMMAND, "sh", *twistd()],
            **OPEN | variables,
        )
        self.addCleanup(server.kill)
        return server

    def test_names(self) -> None:
        """
        Of the addresses of a host one of IPv4 is taken, for connections and for datagrams; a
        host that has none is reached over IPv6, as an address is that is written down. A name
        that nobody knows is a failure.
        """
        names = ("both.test", "six.test", "[::1]", "unknown.test")
        forwards = ",".join(
            f"{PLACE}:{80 + index}={name}:{self.port}" for index, name in enumerate(names)
        )
        server = self.knowing(AERO_L2_TCP_FORWARD=forwards, AERO_L2_UDP_FORWARD=forwards)
        # The order that the forwards do not follow.
        self.assertEqual(self.known(server, "both.test")[0], "::1")
        guest = self.station(server)
        for port, expected in ((80, b"four"), (81, b"six"), (82, b"six")):
            self.assertEqual(self.greeting(guest, port), expected)
        for port, expected in ((80, b"four"), (81, b"six")):
            self.assertEqual(self.reached(guest, port), expected)
        failed = guest.connect(PLACE, 83)
        guest.until(lambda: failed.wasReset, "reset")
        self.assertEqual(metric(server, "l2_tcp_connect_fail_total"), 1)
        before = metric(server, "l2_dns_fail_total")
        guest.sendDatagram(5_000, PLACE, 83, b"lost")
        self.eventually(
            lambda: metric(server, "l2_dns_fail_total") == before + 1, "it was not looked up"
        )

    def test_literalDatagrams(self) -> None:
        """
        Datagrams to an address of IPv6 that is written down are answered too.
        """
        server = self.serve(AERO_L2_UDP_FORWARD=f"{PLACE}:80=[::1]:{self.port}")
        self.assertEqual(self.reached(self.station(server), 80), b"six")

    def greeting(self, guest: Station, port: int) -> bytes:
        """
        Whom a connection reaches.
        """
        connection = guest.connect(PLACE, port)
        guest.until(lambda: connection.received, "greeted")
        return connection.received

    def reached(self, guest: Station, port: int) -> bytes:
        """
        Whom a datagram reaches, which comes back.
        """
        for echo in self.echoes.values():
            echo.seen.clear()
        guest.datagrams.clear()
        guest.sendDatagram(5_000 + port, PLACE, port, b"name")
        guest.until(lambda: guest.datagrams, "answered")
        self.assertEqual(guest.datagrams[0].source, (PLACE, port))
        self.assertEqual(guest.datagrams[0].data, b"name")
        (host,) = (host for host, echo in self.echoes.items() if echo.seen)
        return b"six" if host == "::1" else b"four"

    def known(self, server: Aero, name: str) -> list[str]:
        """
        The addresses of a host as the server's system has them, in its order.
        """
        code = (
            "import socket, sys;"
            "print(*(e[4][0] for e in socket.getaddrinfo(sys.argv[1], None, type=1)))"
        )
        enter = [require("nsenter"), "-t", str(server.process.pid), "-U", "-m"]
        shown = subprocess.run(
            [*enter, twistd()[0].replace("twistd", "python"), "-c", code, name],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        return shown.stdout.split()
