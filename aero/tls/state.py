# -*- test-case-name: aero.tls.test.test_state -*-
"""
The state directory: what has to survive a restart, kept so that nobody else can read it.

Every file appears whole or not at all. It is written under another name, flushed to the
disk and then renamed or linked into place, so a crash leaves the old file or the new one,
and of two processes that create the same secret at once both end up with the same one
(edge.md section 10).
"""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import os
import re
import stat
from pathlib import Path
from typing import Callable, Iterator, Mapping

from twisted.logger import Logger

from aero.errors import StartError
from aero.net.turn import Turn

#: What tells one version of a file from the next: device, inode, size, time of change.
Stamp = tuple[int, int, int, int]

#: The bytes of a secret that is made here, before base64.
SECRET_BYTES = 32

#: The characters of such a secret in base64. A file with fewer was cut short.
SECRET_CHARACTERS = 44

#: The most that L{StateDirectory.read} accepts; nothing kept here comes near it.
MAX_FILE_BYTES = 1_048_576

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")

#: What L{os.link} says on a file system that has no hard links.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def defaultStatePath(environ: Mapping[str, str]) -> Path:
    """
    Where state is kept when nobody said: C{$XDG_STATE_HOME/aero}, or C{~/.local/state/aero}
    (XDG Base Directory Specification 0.8).

    @raise StartError: The environment tells no home directory either.
    """
    base = environ.get("XDG_STATE_HOME", "")
    if base.startswith("/"):
        return Path(base, "aero")
    home = environ.get("HOME", "")
    if home.startswith("/"):
        return Path(home, ".local", "state", "aero")
    raise StartError("There is no home directory to keep state in; name a place with --state-dir.")


class StateDirectory:
    """
    A directory that belongs to this process alone.

    Names are relative, with C{/} between components and no component that begins with a dot.

    @ivar path: Where it is.
    """

    _log = Logger()

    def __init__(
        self, path: Path | str, *, randomBytes: Callable[[int], bytes] = os.urandom
    ) -> None:
        self.path = Path(path).expanduser().absolute()
        self._randomBytes = randomBytes

    def open(self) -> None:
        """
        Create the directory with mode 0700 where it is missing, and check it.

        A directory that others may enter is closed to them if it is ours. One that belongs to
        the superuser is accepted as it is, unless everybody may write to it: container
        platforms mount volumes so.

        @raise StartError: It cannot be used, or not safely.
        """
        with self._explained("create"):
            self._makeDirectory(self.path)
            found = self.path.stat()
        if not stat.S_ISDIR(found.st_mode):
            raise StartError(self._sentence("is not a directory"))
        if found.st_uid == os.geteuid():
            if found.st_mode & 0o077:
                with self._explained("protect"):
                    self.path.chmod(0o700)
                self._log.warn(
                    "Closed the state directory {path} to other users; its mode was {mode}.",
                    path=str(self.path),
                    mode=oct(stat.S_IMODE(found.st_mode)),
                )
        elif found.st_uid != 0:
            raise StartError(self._sentence("belongs to another user"))
        elif found.st_mode & stat.S_IWOTH:
            raise StartError(self._sentence("can be written by every user"))
        effective = os.access in os.supports_effective_ids
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK, effective_ids=effective):
            raise StartError(self._sentence("is not writable by this user"))
        with self._explained("write to"):
            # The only proof on a read-only or full file system.
            os.unlink(self._temporary(self.path / "probe", b"aero", 0o600))

    def read(self, name: str, *, public: bool = False) -> bytes | None:
        """
        The content of a file, or C{None} where there is none.

        If a file or a directory on the way to it is open to other users, it is closed to them.

        @param public: Whether everybody may read the file; nobody else may write it all the same.
        @raise StartError: It is there and cannot be read, is no regular file, is a link that
            leads nowhere, or belongs to another user.
        """
        path = self._path(name)
        with self._explained("read", path):
            try:
                # Not to wait for the other end, should it be a pipe.
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            except FileNotFoundError:
                if path.is_symlink():
                    raise StartError(
                        f"The state file {path} is a link that leads nowhere; restore the file"
                        " that it leads to, or remove the link to have a new file made."
                    ) from None
                return None
            try:
                found = os.fstat(descriptor)
                if not stat.S_ISREG(found.st_mode):
                    raise StartError(
                        f"The state file {path} is no regular file; put the file back from a"
                        " backup, or remove what is there, or name another directory with"
                        " --state-dir."
                    )
                self._protect(path, descriptor, found, 0o022 if public else 0o077)
                with open(descriptor, "rb", closefd=False) as file:
                    data = file.read(MAX_FILE_BYTES + 1)
            finally:
                os.close(descriptor)
            for parent in path.parents:
                if parent == self.path:
                    break
                self._protect(parent, parent, parent.stat(), 0o077)
        if len(data) > MAX_FILE_BYTES:
            raise StartError(self._sentence(f"holds {name}, which is far too large"))
        return data

    def writeAtomically(self, name: str, data: bytes, mode: int = 0o600) -> None:
        """
        Replace a file, or create it.

        @param mode: Its permissions, whatever the process' umask is.
        @raise StartError: The disk is full, or the directory went away.
        """
        path = self._path(name)
        with self._explained("write", path):
            self._makeDirectory(path.parent)
            temporary = self._temporary(path, data, mode)
            try:
                os.replace(temporary, path)
            except BaseException:
                os.unlink(temporary)
                raise
            _flushDirectory(path.parent)

    def secret(self, name: str) -> str:
        """
        Read a secret, or create it with 32 random bytes in base64.

        A file that holds fewer characters than that is never replaced: everything signed with the
        secret would silently become invalid.

        @raise StartError: The file is too short, is no text, or cannot be read or created.
        """
        found = self.read(name)
        if found is None:
            made = base64.b64encode(self._randomBytes(SECRET_BYTES))
            found = made if self._create(name, made) else self.read(name)
        try:
            text = (found or b"").decode("ascii").strip()
        except UnicodeDecodeError:
            text = ""
        if len(text) < SECRET_CHARACTERS or not text.isprintable():
            raise StartError(
                f"The secret file {self._path(name)} is empty, cut short or no text (expected at"
                f" least {SECRET_CHARACTERS} characters); restore it, or delete it to have a new"
                " one made, or name another directory with --state-dir."
            )
        return text

    def remove(self, name: str) -> None:
        """
        Remove a file, if it is there.

        @raise StartError: It cannot be removed.
        """
        path = self._path(name)
        with self._explained("remove", path), contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def stamp(self, name: str) -> Stamp | None:
        """
        What tells one version of a file from the next; C{None} where there is none.
        """
        try:
            found = os.stat(self._path(name))
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def turn(self, name: str) -> Turn:
        """
        Something that one process does for all that use this directory.

        @param name: The file that stands for it.
        @raise StartError: Its directory cannot be made.
        """
        path = self._path(name)
        with self._explained("create", path):
            self._makeDirectory(path.parent)
        return Turn(path)

    @contextlib.contextmanager
    def locked(self, what: str = "") -> Iterator[None]:
        """
        Keep other processes that use this directory waiting, while several files that belong
        together are created. That must take moments only, as the reactor of the others waits.

        @param what: Which files, if not all; locks of different ones may be held at once.
        """
        path = self.path / (f".lock-{what}" if what else ".lock")
        with self._explained("lock", path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with self._explained("lock", path):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _create(self, name: str, data: bytes) -> bool:
        """
        Create a file unless another process was first.

        @return: Whether it was created here.
        """
        path = self._path(name)
        with self._explained("create", path):
            self._makeDirectory(path.parent)
            temporary = self._temporary(path, data, 0o600)
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                return self._createWithoutLink(temporary, path)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)
            _flushDirectory(path.parent)
        return True

    def _createWithoutLink(self, temporary: Path, path: Path) -> bool:
        with self.locked():
            if path.exists():
                return False
            os.replace(temporary, path)
        _flushDirectory(path.parent)
        return True

    def _temporary(self, path: Path, data: bytes, mode: int) -> Path:
        """
        Write a new file beside C{path} and flush it to the disk.
        """
        temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(descriptor, mode)
                os.fsync(descriptor)
        except BaseException:
            os.unlink(temporary)
            raise
        return temporary

    def _makeDirectory(self, path: Path) -> None:
        """
        Create a directory and its parents, all with mode 0700; L{os.makedirs} would give the
        parents what the umask says.
        """
        missing = []
        while not path.is_dir():
            missing.append(path)
            if path.parent == path:
                break
            path = path.parent
        for each in reversed(missing):
            try:
                os.mkdir(each, 0o700)
            except FileExistsError:
                if not each.is_dir():
                    raise

    def _protect(self, path: Path, opened: int | Path, found: os.stat_result, closed: int) -> None:
        """
        Take a file or a directory away from other users.

        @param opened: The same, as L{os.chmod} wants it.
        @param found: Its status.
        @param closed: The permissions that nobody else may have.
        @raise StartError: It belongs to another user.
        """
        if found.st_uid not in (os.geteuid(), 0):
            raise StartError(
                f"The state file {path} belongs to another user (number {found.st_uid}); give it"
                f" to the user of the server with chown {os.geteuid()}, or name another directory"
                " with --state-dir."
            )
        mode = stat.S_IMODE(found.st_mode)
        if not mode & closed:
            return
        if found.st_uid == os.geteuid():
            os.chmod(opened, mode & ~closed)
            self._log.warn(
                "Closed the state file {path} to other users; its mode was {mode}.",
                path=str(path),
                mode=oct(mode),
            )
        elif mode & stat.S_IWOTH:
            # Mounted volumes belong to the superuser and are open to our group.
            raise StartError(
                f"The state file {path} can be written by every user; take that right away with"
                " chmod o-w, or name another directory with --state-dir."
            )

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a file in the state directory")
        return self.path / name

    def _sentence(self, what: str) -> str:
        return f"The state directory {self.path} {what}; name another with --state-dir."

    @contextlib.contextmanager
    def _explained(self, verb: str, path: Path | None = None) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            what = "the state directory" if path is None else "the state file"
            raise StartError(
                f"Cannot {verb} {what} {self.path if path is None else path}:"
                f" {error.strerror or error}; name another directory with --state-dir."
            ) from error


def _flushDirectory(path: Path) -> None:
    """
    Make a rename survive a power cut.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
