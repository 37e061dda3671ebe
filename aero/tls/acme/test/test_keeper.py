"""
Tests for L{aero.tls.acme.keeper}.
"""

from __future__ import annotations

import stat

from twisted.trial.unittest import SynchronousTestCase

from aero.errors import StartError
from aero.settings.acme import LETS_ENCRYPT, LETS_ENCRYPT_STAGING, ACMESettings
from aero.tls.state import StateDirectory
from aero.tls.test.tlsfixtures import certified

from ..keeper import Keeper
from ..schedule import Setback


class KeeperTests(SynchronousTestCase):
    """
    Tests for L{Keeper}.
    """

    def setUp(self) -> None:
        """
        Have an empty state directory.
        """
        self.state = StateDirectory(self.mktemp())
        self.state.open()

    def keeper(self, **settings: str) -> Keeper:
        """
        What a process that starts now has.
        """
        return Keeper(self.state, ACMESettings(**settings))  # type: ignore[arg-type]

    def test_account(self) -> None:
        """
        The account's key is made once, its URL remembered, and a new address noticed.
        """
        first = self.keeper().account()
        self.assertEqual((first.url, first.changed), ("", True))
        self.keeper().keepAccount("https://ca.test/account/1")
        second = self.keeper().account()
        self.assertEqual(second.key.private_numbers(), first.key.private_numbers())
        self.assertEqual((second.url, second.changed), ("https://ca.test/account/1", False))
        self.assertTrue(self.keeper(email="me@example.com").account().changed)

    def test_modes(self) -> None:
        """
        Everything is for the owner alone.
        """
        keeper = self.keeper()
        keeper.account()
        keeper.keepAccount("https://ca.test/account/1")
        keeper.keepCertificate(certified("example.com"))
        keeper.keepSetback(Setback(1, 2.0, True))
        files = sorted((self.state.path / keeper.directory).iterdir())
        self.assertEqual(
            [path.name for path in files],
            ["account.json", "account.key", "retry.json", "site.pem"],
        )
        self.assertEqual({stat.S_IMODE(path.stat().st_mode) for path in files}, {0o600})

    def test_damagedKey(self) -> None:
        """
        A damaged account key stops the start and names the file, which is left as it is.
        """
        keeper = self.keeper()
        keeper.account()
        path = self.state.path / keeper.directory / "account.key"
        for damaged in (b"", b"nonsense", certified("example.com", bits=2048).keyPEM()):
            path.write_bytes(damaged)
            error = self.assertRaises(StartError, self.keeper().account)
            self.assertIn("account.key", str(error))
            self.assertEqual(path.read_bytes(), damaged)

    def test_damagedRest(self) -> None:
        """
        What else is damaged counts as missing.
        """
        keeper = self.keeper()
        keeper.account()
        for name in ("account.json", "retry.json", "site.pem"):
            for damaged in (b"", b"{", b"[]", b'{"url": 7, "failures": "x"}', b"\xff"):
                (self.state.path / keeper.directory / name).write_bytes(damaged)
                self.assertEqual(self.keeper().account().url, "")
                self.assertEqual(self.keeper().setback(), Setback())
                self.assertIs(self.keeper().certificate(), None)

    def test_certificate(self) -> None:
        """
        A certificate is kept with its key.
        """
        made = certified("example.com")
        self.keeper().keepCertificate(made)
        found = self.keeper().certificate()
        assert found is not None
        self.assertEqual(found.chain, made.chain)

    def test_setback(self) -> None:
        """
        What stands in the way of the next attempt survives a restart.
        """
        self.keeper().keepSetback(Setback(3, 12.5, True))
        self.assertEqual(self.keeper().setback(), Setback(3, 12.5, True))

    def test_directories(self) -> None:
        """
        Each authority has its own account and certificate.
        """
        production = self.keeper(directory=LETS_ENCRYPT)
        production.keepCertificate(certified("example.com"))
        staging = self.keeper(directory=LETS_ENCRYPT_STAGING)
        self.assertIs(staging.certificate(), None)
        self.assertNotEqual(production.directory, staging.directory)
        for url in ("https://[::1]:14000/dir", "https://ca.test/a", "https://ca.test/b"):
            self.keeper(directory=url).account()
        self.assertEqual(len(list((self.state.path / "acme").iterdir())), 4)
