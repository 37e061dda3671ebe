# -*- test-case-name: aero.tls.acme.test.test_keeper -*-
"""
What has to survive a restart: account, certificate, and what stands in the way of the next one.

It lies in the state directory below C{acme/}, in one directory for each authority, so that trying
out a staging directory costs nothing. All of it is for the owner alone. A restart orders nothing
while the certificate serves, and a process that keeps crashing keeps its distance all the same.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.logger import Logger

from aero.errors import StartError
from aero.net.turn import Turn
from aero.settings.acme import ACMESettings

from ..certificates import CertifiedKey
from ..state import Stamp, StateDirectory
from .account import Account
from .board import Board
from .schedule import Setback

KEY = "account.key"
ACCOUNT = "account.json"
SITE = "site.pem"
SETBACK = "retry.json"
ANSWERS = "answers.json"
TURN = "turn"


class Keeper:
    """
    The files of one authority.

    @ivar directory: Where they are, below the state directory.
    """

    _log = Logger()

    def __init__(self, state: StateDirectory, settings: ACMESettings) -> None:
        self._state = state
        self._settings = settings
        host = urlsplit(settings.directory).hostname or "ca"
        digest = hashlib.sha256(settings.directory.encode()).hexdigest()[:8]
        safe = "".join(each if each.isascii() and each.isalnum() else "-" for each in host)
        self.directory = f"acme/{safe.strip('-') or 'ca'}-{digest}"
        self._lastPEM = b""
        self._lastCertificate: CertifiedKey | None = None

    def account(self) -> Account:
        """
        The account, with a key of its own that is made here if there is none.

        @raise StartError: The key that is there cannot be used. It is never replaced: what the
            authority knows about us hangs on it.
        """
        name = self._name(KEY)
        with self._state.locked("acme"):
            kept = self._state.read(name)
            if kept is None:
                key = ec.generate_private_key(ec.SECP256R1())
                self._state.writeAtomically(name, _pem(key), 0o600)
            else:
                key = self._readKey(kept)
        known = self._readJSON(ACCOUNT)
        url, email = known.get("url"), known.get("email")
        settings = self._settings
        return Account(
            key,
            url if isinstance(url, str) and url.startswith("https://") else "",
            settings.email,
            changed=email != settings.email,
            externalID=settings.externalID,
            externalKey=settings.externalKey,
        )

    def keepAccount(self, url: str) -> None:
        """
        Remember where the account is.
        """
        value = {
            "directory": self._settings.directory,
            "url": url,
            "email": self._settings.email,
        }
        if self._readJSON(ACCOUNT) != value:
            self._writeJSON(ACCOUNT, value)

    def certificate(self) -> CertifiedKey | None:
        """
        The certificate of an earlier run, or of another process with the same state, whatever it
        is good for; C{None} where there is none that can be read.
        """
        try:
            pem = self._state.read(self._name(SITE))
            if pem is None:
                return None
            # Processes that follow read the file often, and it changes once in weeks.
            if pem != self._lastPEM:
                self._lastCertificate = CertifiedKey.fromPEM(pem, pem)
                self._lastPEM = pem
            return self._lastCertificate
        except (ValueError, StartError) as error:
            self._log.warn(
                "The certificate kept in {name} cannot be used: {error}",
                name=self._name(SITE),
                error=str(error),
            )
            return None

    def certificateStamp(self) -> Stamp | None:
        """
        What tells one certificate that is kept from the next.
        """
        return self._state.stamp(self._name(SITE))

    def keepCertificate(self, certified: CertifiedKey) -> None:
        """
        Put a certificate in the place of the one before.

        @raise StartError: The disk is full, or the directory went away.
        """
        pem = certified.keyPEM() + certified.certificatesPEM()
        self._state.writeAtomically(self._name(SITE), pem, 0o600)

    def setback(self) -> Setback:
        """
        What stands in the way of the next attempt.
        """
        known = self._readJSON(SETBACK)
        try:
            return Setback(int(known["failures"]), float(known["until"]), bool(known["told"]))
        except (KeyError, TypeError, ValueError, OverflowError):
            return Setback()

    def keepSetback(self, setback: Setback) -> None:
        """
        Remember it; what cannot be written is lost with the process, and no more.
        """
        try:
            self._writeJSON(SETBACK, dataclasses.asdict(setback))
        except StartError as error:
            self._log.error("{error}", error=str(error))

    def turn(self) -> Turn:
        """
        The turn to talk to the authority.

        @raise StartError: The directory cannot be used.
        """
        return self._state.turn(self._name(TURN))

    def board(self) -> Board:
        """
        Where all processes see the answers to open challenges.
        """
        return Board(self._state, self._name(ANSWERS))

    def _name(self, name: str) -> str:
        return f"{self.directory}/{name}"

    def _readKey(self, pem: bytes) -> ec.EllipticCurvePrivateKey:
        try:
            key = serialization.load_pem_private_key(pem, None)
        except (ValueError, TypeError):
            key = None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise StartError(
                f"The account key {self._state.path / self._name(KEY)} cannot be used. Restore it"
                " from a backup, or delete it to have a new account made."
            )
        return key

    def _readJSON(self, name: str) -> dict[str, Any]:
        data = self._state.read(self._name(name))
        try:
            found = json.loads(data or b"{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def _writeJSON(self, name: str, value: dict[str, Any]) -> None:
        data = json.dumps(value, indent=2).encode() + b"\n"
        self._state.writeAtomically(self._name(name), data, 0o600)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
