"""
A guest that shares nothing with this machine: another Linux, in QEMU.
"""

from __future__ import annotations

import hashlib

from twisted.trial.unittest import SynchronousTestCase

from tests.support.guestqemu import runInQEMU
from tests.support.guestrig import BLOCK, FULL, MIB, REMOTE, server, settle

_DOWN = 64 * MIB
_UP = (64 if FULL else 8) * MIB

_SCRIPT = f"""
udhcpc -i eth0 -n -q -t 10 -T 1 -s /dhcp -O mtu || exit 1
ping -c 2 10.0.2.2 || exit 2
nslookup third.test 10.0.2.2 || exit 3
wget -q -O - http://{REMOTE}/{_DOWN} | md5sum
dd if=/dev/zero bs=64k count={_UP >> 16} 2>/dev/null | nc {REMOTE} 9
"""


class QEMUTests(SynchronousTestCase):
    """
    The whole way, once.
    """

    def test_transfer(self) -> None:
        """
        It gets an address, a name and an answer to its ping, downloads 64 MiB and uploads some,
        and both arrive unchanged.
        """
        aero = server()
        said = runInQEMU(aero, _SCRIPT, timeout=400 if FULL else 180)
        self.assertIn("leased 10.0.2.15 mtu 1500", said)
        self.assertIn(" 0% packet loss", said)
        self.assertIn("192.0.2.33", said)
        down = hashlib.md5(BLOCK * (_DOWN // len(BLOCK)), usedforsecurity=False).hexdigest()
        up = hashlib.sha256(bytes(_UP)).hexdigest()
        self.assertIn(f"{down}  -", said)
        self.assertIn(f"{_UP} {up}", said)
        settle(aero)
