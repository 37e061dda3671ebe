# -*- test-case-name: aero.net.test.test_turn -*-
"""
Whose turn it is, among processes that use one state directory.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from aero.errors import StartError

#: What flock(2) says where the file system cannot lock.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


class Turn:
    """
    Something that one process does for all. It has the turn until it gives it back or ends,
    however it ends: the kernel knows before anybody else.
    """

    def __init__(self, path: Path) -> None:
        """
        @param path: The file that stands for it, in a directory that is there. It stays empty.
        """
        self._path = path
        self._descriptor: int | None = None

    def take(self) -> bool:
        """
        Whether it is this process' turn, from now on or still. It never waits.

        Where the file system cannot lock, it is everybody's: who shares such a directory does
        some things twice.

        @raise StartError: The file cannot be opened.
        """
        if self._descriptor is not None:
            if self._isStillThere(self._descriptor):
                return True
            self.giveBack()
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartError(f"Cannot lock {self._path}: {error.strerror or error}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                os.close(descriptor)
                return False
        self._descriptor = descriptor
        return True

    def giveBack(self) -> None:
        """
        Let another process have it.
        """
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _isStillThere(self, descriptor: int) -> bool:
        """
        Whether others look at the same file: the directory may have been restored from a backup.
        """
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self._path))
        except OSError:
            return False
