# -*- test-case-name: aero.tls.test.test_ca -*-
"""
The internal CA, for names that no public CA signs.

The root lives in the state directory, in C{ca/root.crt} for people to import and C{ca/root.key}
for nobody. It is made once: every browser that trusts it would have to be told again. It signs
one certificate, for the site name, C{localhost} and the loopback addresses, which is kept in
C{ca/site.pem} so that a browser's own exception for it survives a restart too, and which is
renewed while the process runs. Deleting that file costs nothing.

What becomes of a damaged root, decided here:

  - A root that is unreadable, or whose key is missing or belongs to another, stops the start.
    Replacing it would quietly take the trust of every client away.
  - A key without its root never signed anything that anybody saw, as the key is written first;
    both are made anew.
  - A root that expires before a certificate signed now would is replaced, with a warning.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from typing import Callable, Iterable

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from aero.errors import StartError
from aero.metrics import Metrics
from aero.metrics import tls as rows

from .certificates import CertifiedKey, Changes, ServedNames
from .state import StateDirectory

ROOT_LIFE = datetime.timedelta(days=3650)
SITE_LIFE = datetime.timedelta(days=7)

#: How far a client's clock may be behind ours.
BACKDATED = datetime.timedelta(hours=1)

#: The part of its life after which a certificate is renewed.
RENEW_AFTER = 2 / 3

#: Seconds between two looks at whether renewal is due. It is a look at the wall clock because a
#: timer stands still while a machine sleeps.
LOOK_INTERVAL = 600.0

ROOT_CERTIFICATE = "ca/root.crt"
ROOT_KEY = "ca/root.key"
SITE = "ca/site.pem"


class InternalCA:
    """
    A root certificate in a state directory, and what it signs.

    @ivar root: The root with its key.
    """

    _log = Logger()

    def __init__(
        self,
        state: StateDirectory,
        *,
        now: Callable[[], float],
        randomBytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """
        Read the root, or make it.

        @param now: The wall clock, in seconds since 1970.
        @raise StartError: The root that is there cannot be used.
        """
        self._state = state
        self._now = now
        self._randomBytes = randomBytes
        with state.locked():
            self.root = self._readRoot() or self._makeRoot()

    def certify(self, domain: str) -> CertifiedKey:
        """
        A new key and a certificate for a site name, C{localhost} and the loopback addresses.
        """
        self.renewRoot()
        now = self._time()
        root = self.root.chain[0]
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        subject = _siteSubject(domain)
        alternatives = x509.SubjectAlternativeName(_alternativeNames(domain))
        certificate = (
            self._builder(subject, root.subject, key, now, SITE_LIFE)
            # Critical without a subject, and only then (RFC 5280 section 4.2.1.6).
            .add_extension(alternatives, critical=not subject.rdns)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_keyUsage(signs=True), critical=True)
            .add_extension(usage, critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                    root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
                ),
                critical=False,
            )
            .sign(self.root.key, hashes.SHA256())
        )
        return CertifiedKey(key, (certificate,))

    def signed(self, certified: CertifiedKey) -> bool:
        """
        Whether a certificate is of the current root.
        """
        try:
            certified.chain[0].verify_directly_issued_by(self.root.chain[0])
        except (InvalidSignature, ValueError, TypeError):
            return False
        return True

    def renewRoot(self) -> None:
        """
        Have a root that lasts longer than what it is going to sign; another process may have made
        it already.

        @raise StartError: It cannot be read or written.
        """
        if self._lasts(self.root):
            return
        with self._state.locked():
            found = self._readRoot()
            if found is not None and self._lasts(found):
                self.root = found
                return
            self._log.warn("The root certificate expires; browsers have to import the next one.")
            self.root = self._makeRoot()

    def _lasts(self, root: CertifiedKey) -> bool:
        return self._time() + SITE_LIFE <= root.chain[0].not_valid_after_utc

    def _readRoot(self) -> CertifiedKey | None:
        certificate = self._state.read(ROOT_CERTIFICATE, public=True)
        key = self._state.read(ROOT_KEY)
        if certificate is None:
            return None
        try:
            if key is None:
                raise ValueError("its key is missing")
            found = CertifiedKey.fromPEM(certificate, key)
            root = found.chain[0]
            root.verify_directly_issued_by(root)
            if not root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
                raise ValueError("it is no CA certificate")
            root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        except (InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound) as error:
            raise StartError(
                f"The root certificate {self._state.path / ROOT_CERTIFICATE} cannot be used:"
                f" {error or type(error).__name__}. Restore it and root.key from a backup, or"
                " delete both to start a new internal CA that browsers have to import again."
            ) from error
        return found

    def _makeRoot(self) -> CertifiedKey:
        key = ec.generate_private_key(ec.SECP256R1())
        label = self._randomBytes(4).hex()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"aero internal CA ({label})")])
        certificate = (
            self._builder(name, name, key, self._time(), ROOT_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_keyUsage(signs=False), critical=True)
            .sign(key, hashes.SHA256())
        )
        made = CertifiedKey(key, (certificate,))
        self._state.writeAtomically(ROOT_KEY, made.keyPEM(), 0o600)
        self._state.writeAtomically(ROOT_CERTIFICATE, made.certificatesPEM(), 0o644)
        self._log.info(
            "Made a new internal CA; import {path} where you want it trusted.",
            path=str(self._state.path / ROOT_CERTIFICATE),
        )
        return made

    def _builder(
        self,
        subject: x509.Name,
        issuer: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        now: datetime.datetime,
        life: datetime.timedelta,
    ) -> x509.CertificateBuilder:
        public = key.public_key()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            # Positive and at most 20 octets (RFC 5280 section 4.1.2.2).
            .serial_number(int.from_bytes(b"\x01" + self._randomBytes(18)))
            .not_valid_before(now - BACKDATED)
            .not_valid_after(now + life)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        )

    def _time(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(int(self._now()), datetime.UTC)


class InternalSource:
    """
    A certificate of the internal CA for the site name, renewed while the process runs.
    """

    _log = Logger()

    def __init__(
        self,
        state: StateDirectory,
        domain: str,
        *,
        clock: IReactorTime,
        now: Callable[[], float],
        metrics: Metrics,
    ) -> None:
        """
        @param state: The state directory, which is open.
        @param clock: Runs the timer.
        @param now: The wall clock, in seconds since 1970.
        @raise StartError: The root that is there cannot be used.
        """
        self.ca = InternalCA(state, now=now)
        self._state = state
        self._domain = domain
        self._now = now
        self._names = ServedNames(domain)
        self._changes = Changes()
        self._succeeded = metrics.counter(rows.RELOADS, "success")
        self._failed = metrics.counter(rows.RELOADS, "failure")
        self._looking = LoopingCall(self._look)
        self._looking.clock = clock
        self._certified = self._keptOrFresh()

    def start(self) -> None:
        """
        Begin to look after the certificate.
        """
        self._looking.start(LOOK_INTERVAL, now=False)

    def stop(self) -> None:
        """
        Look no more.
        """
        if self._looking.running:
            self._looking.stop()

    def reload(self) -> None:
        """
        Renew the certificate if that is due.
        """
        self._look()

    def certificateFor(self, serverName: str | None) -> CertifiedKey | None:
        """
        The certificate, for the names that people reach an internal site by.
        """
        return self._certified if self._names.accepts(serverName) else None

    def challengeFor(self, serverName: str) -> CertifiedKey | None:
        """
        Nothing: nobody is proving control over names here.
        """
        return None

    def current(self) -> Iterable[CertifiedKey]:
        """
        The certificate.
        """
        return (self._certified,)

    def onChange(self, changed: Callable[[], None]) -> None:
        """
        Have a function called after the certificate was renewed.
        """
        self._changes.onChange(changed)

    def _look(self) -> None:
        if not self._due(self._certified):
            return
        try:
            self._certified = self._keptOrFresh()
        except StartError as error:
            self._failed.inc()
            self._log.error("The certificate cannot be renewed: {error}", error=str(error))
            return
        self._succeeded.inc()
        self._log.info("Renewed the certificate of {domain}.", domain=self._domain)
        self._changes.changed()

    def _due(self, certified: CertifiedKey) -> bool:
        """
        Whether it is time to renew, or the clock was set back before the beginning.
        """
        begin, end = certified.notBefore, certified.notAfter
        return not begin <= self._now() < begin + (end - begin) * RENEW_AFTER

    def _keptOrFresh(self) -> CertifiedKey:
        """
        One certificate for all processes that use the directory: whoever is first makes it.
        """
        with self._state.locked("site"):
            self.ca.renewRoot()
            return self._kept() or self._fresh()

    def _kept(self) -> CertifiedKey | None:
        """
        The certificate of the last run or of another process, if it still serves.
        """
        pem = self._state.read(SITE)
        if pem is None:
            return None
        try:
            found = CertifiedKey.fromPEM(pem, pem)
            wanted = {str(each.value) for each in _alternativeNames(self._domain)}
            if set(found.names) == wanted and self.ca.signed(found) and not self._due(found):
                return found
        except ValueError:
            self._log.warn("The certificate kept in {name} is damaged; making another.", name=SITE)
        return None

    def _fresh(self) -> CertifiedKey:
        made = self.ca.certify(self._domain)
        self._state.writeAtomically(SITE, made.keyPEM() + made.certificatesPEM(), 0o600)
        return made


def _siteSubject(domain: str) -> x509.Name:
    """
    The subject of a site's certificate. No client goes by it, but some that are built on GnuTLS
    give up over an empty one; it is empty only for names that do not fit (RFC 5280 appendix
    A.1, ub-common-name).
    """
    if len(domain) > 64:
        return x509.Name([])
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, domain)])


def _alternativeNames(domain: str) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for text in dict.fromkeys((domain, "localhost", "127.0.0.1", "::1")):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(text)))
        except ValueError:
            names.append(x509.DNSName(text))
    return names


def _keyUsage(*, signs: bool) -> x509.KeyUsage:
    """
    @param signs: True for a key that signs handshakes, False for one that signs certificates.
    """
    return x509.KeyUsage(
        digital_signature=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=not signs,
        crl_sign=not signs,
        encipher_only=False,
        decipher_only=False,
    )
