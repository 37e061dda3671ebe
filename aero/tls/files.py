# -*- test-case-name: aero.tls.test.test_files -*-
"""
A certificate from two files, which somebody else renews.
"""

from __future__ import annotations

import os
import stat
from typing import Callable, Iterable

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from aero.errors import ConfigurationError
from aero.metrics import Metrics
from aero.metrics import tls as rows
from aero.settings.tls import TLSSettings

from .certificates import CertifiedKey, Changes, ServedNames, covers

#: What tells one version of a file from the next: device, inode, size, time of change.
_Stamp = tuple[int, int, int, int]

#: The most that is read of one file.
MAX_FILE_BYTES = 1_048_576


class FileSource:
    """
    The certificate in C{TLS_CERT_PATH} with the key in C{TLS_KEY_PATH}.

    The files are read again on L{reload} and when they changed. Should they be broken then, for
    example because only one of the two was replaced so far, the certificate in use stays.
    """

    _log = Logger()

    def __init__(
        self, settings: TLSSettings, domain: str, *, clock: IReactorTime, metrics: Metrics
    ) -> None:
        """
        Read the files.

        @raise ConfigurationError: A path is missing, is no regular file, or holds nothing usable.
        """
        self._paths = (settings.certPath, settings.keyPath)
        self._names = ServedNames(domain)
        self._changes = Changes()
        self._succeeded = metrics.counter(rows.RELOADS, "success")
        self._failed = metrics.counter(rows.RELOADS, "failure")
        self._interval = settings.fileCheckInterval
        self._looking = LoopingCall(self._look)
        self._looking.clock = clock
        self._stamps = self._stampsNow()
        self._certified = self._read()
        self._certifiedNames = self._certified.names

    def start(self) -> None:
        """
        Begin to look at whether the files changed.
        """
        self._looking.start(self._interval, now=False)

    def stop(self) -> None:
        """
        Look no more.
        """
        if self._looking.running:
            self._looking.stop()

    def reload(self) -> None:
        """
        Read the files again; keep the certificate in use if they cannot be used.
        """
        self._stamps = self._stampsNow()
        try:
            fresh = self._read()
        except ConfigurationError as error:
            self._failed.inc()
            self._log.error(
                "The certificate in {path} cannot be used, the one read before stays in use:"
                " {error}",
                path=self._paths[0],
                error=str(error),
            )
            return
        self._succeeded.inc()
        if fresh.chain == self._certified.chain:
            return
        self._certified = fresh
        self._certifiedNames = fresh.names
        self._log.info("Read a new certificate from {path}.", path=self._paths[0])
        self._changes.changed()

    def certificateFor(self, serverName: str | None) -> CertifiedKey | None:
        """
        The certificate, for the site name and for every name it is good for.
        """
        if self._names.accepts(serverName, self._certifiedNames):
            return self._certified
        return None

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
        Have a function called after a new certificate was read.
        """
        self._changes.onChange(changed)

    def _read(self) -> CertifiedKey:
        certificates = _contentOf("TLS_CERT_PATH", self._paths[0])
        key = _contentOf("TLS_KEY_PATH", self._paths[1])
        try:
            found = CertifiedKey.fromPEM(certificates, key)
        except ValueError as error:
            raise ConfigurationError("TLS_CERT_PATH", self._paths[0], str(error)) from None
        if not covers(found.names, self._names.domain):
            self._log.warn(
                "The certificate in {path} is not good for {domain}; browsers will refuse it.",
                path=self._paths[0],
                domain=self._names.domain,
            )
        return found

    def _look(self) -> None:
        stamps = self._stampsNow()
        if stamps != self._stamps and None not in stamps:
            self.reload()

    def _stampsNow(self) -> tuple[_Stamp | None, ...]:
        """
        A missing file has no stamp: a tool that replaces files may be halfway.
        """
        return tuple(_stamp(path) for path in self._paths)


def _stamp(path: str) -> _Stamp | None:
    try:
        # Through symbolic links: certbot and Kubernetes renew by pointing them elsewhere.
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _contentOf(variable: str, path: str) -> bytes:
    """
    Read a file that the configuration names (gateway.md section 2).
    """
    if not path:
        raise ConfigurationError(variable, None, f"{variable} is required when TLS_ENABLED=1")
    try:
        # Not to wait for the other end, should it be a pipe.
        with open(
            path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)
        ) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigurationError(variable, path, f"{variable} is not a file: {path}")
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise ConfigurationError(variable, path, f"{variable} does not exist: {path}") from None
    except OSError as error:
        text = f"{variable} cannot be read: {error.strerror}"
        raise ConfigurationError(variable, path, text) from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigurationError(variable, path, f"{variable} is too large: {path}")
    return data
