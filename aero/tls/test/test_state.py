"""
Tests for L{aero.tls.state}.
"""

from __future__ import annotations

import base64
import errno
import os
import stat
import threading
from pathlib import Path
from unittest import SkipTest, mock

from twisted.trial.unittest import SynchronousTestCase

from aero.errors import StartError
from aero.tls.state import StateDirectory, defaultStatePath

#: A secret that an operator put there.
SECRET = "0123456789abcdef" * 3


class DefaultPathTests(SynchronousTestCase):
    """
    Tests for L{defaultStatePath}.
    """

    def test_stateHome(self) -> None:
        """
        XDG_STATE_HOME decides, where it is set to an absolute path.
        """
        environ = {"XDG_STATE_HOME": "/srv/state", "HOME": "/home/x"}
        self.assertEqual(defaultStatePath(environ), Path("/srv/state/aero"))

    def test_home(self) -> None:
        """
        Without it, or with a relative one, the home directory decides.
        """
        for environ in ({"HOME": "/home/x"}, {"HOME": "/home/x", "XDG_STATE_HOME": "state"}):
            self.assertEqual(defaultStatePath(environ), Path("/home/x/.local/state/aero"))

    def test_nowhere(self) -> None:
        """
        A process without any home is told which option to use.
        """
        self.assertIn("--state-dir", str(self.assertRaises(StartError, defaultStatePath, {})))


class _StateTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        """
        Name a state directory that does not exist yet.
        """
        self.path = Path(self.mktemp()).absolute() / "deep" / "state"
        self.state = StateDirectory(self.path)

    def mode(self, path: Path) -> int:
        """
        The permissions of a file.
        """
        return stat.S_IMODE(path.stat().st_mode)

    def assertRefused(self, *words: str) -> None:
        """
        Opening the directory is refused in one sentence that has these words.
        """
        text = str(self.assertRaises(StartError, self.state.open))
        for word in (*words, str(self.path), "--state-dir"):
            self.assertIn(word, text)
        self.assertNotIn("\n", text)


class DamageTests(_StateTestCase):
    """
    State files that are not as aero left them.
    """

    def setUp(self) -> None:
        super().setUp()
        self.state.open()
        self.state.writeAtomically("ca/root.key", b"key")
        self.file = self.path / "ca" / "root.key"

    def assertUnreadable(self, *words: str) -> None:
        """
        Reading is refused in one sentence that names the file.
        """
        text = str(self.assertRaises(StartError, self.state.read, "ca/root.key"))
        for word in (*words, str(self.file)):
            self.assertIn(word, text)
        self.assertNotIn("\n", text)

    def test_laxModes(self) -> None:
        """
        A file or directory that other users can open is closed to them, and the log tells.
        """
        for mode in (0o644, 0o640, 0o604, 0o666, 0o777):
            self.file.chmod(mode)
            self.file.parent.chmod(mode | 0o700)
            self.assertEqual(self.state.read("ca/root.key"), b"key")
            self.assertEqual(self.mode(self.file) & 0o077, 0)
            self.assertEqual(self.mode(self.file.parent), 0o700)

    def test_publicFile(self) -> None:
        """
        A certificate may be read by everybody, and written by nobody else.
        """
        for mode, after in ((0o644, 0o644), (0o666, 0o644), (0o600, 0o600)):
            self.file.chmod(mode)
            self.assertEqual(self.state.read("ca/root.key", public=True), b"key")
            self.assertEqual(self.mode(self.file), after)

    def test_link(self) -> None:
        """
        A link is followed to a file of ours; one that leads nowhere is no missing file.
        """
        self.file.rename(self.path / "elsewhere")
        self.file.symlink_to(self.path / "elsewhere")
        self.assertEqual(self.state.read("ca/root.key"), b"key")
        (self.path / "elsewhere").unlink()
        self.assertUnreadable("link that leads nowhere", "remove the link")

    def test_noFile(self) -> None:
        """
        A directory, a pipe or a socket in the place of a file is named.
        """
        self.file.unlink()
        self.file.mkdir()
        self.assertUnreadable("no regular file", "backup")
        self.file.rmdir()
        os.mkfifo(self.file)
        self.assertUnreadable("no regular file", "backup")

    def test_foreignFile(self) -> None:
        """
        A file or directory of another user is refused, and the sentence says who should own it.
        """
        if os.geteuid() != 0:
            raise SkipTest("only root can give files away")
        for path in (self.file, self.file.parent):
            os.chown(path, 12345, -1)
            text = str(self.assertRaises(StartError, self.state.read, "ca/root.key"))
            self.assertIn("another user (number 12345)", text)
            self.assertIn("chown 0", text)
            self.assertIn(str(path), text)
            os.chown(path, 0, -1)
        self.assertEqual(self.state.read("ca/root.key"), b"key")

    def test_fileForDirectory(self) -> None:
        """
        A file in the place of a directory is named.
        """
        self.file.unlink()
        self.file.parent.rmdir()
        self.file.parent.write_text("")
        self.assertUnreadable("Not a directory")


class OpenTests(_StateTestCase):
    """
    Tests for L{StateDirectory.open}.
    """

    def test_created(self) -> None:
        """
        A missing directory is created for its owner only, parents included.
        """
        self.state.open()
        self.assertEqual([self.mode(self.path), self.mode(self.path.parent)], [0o700, 0o700])
        self.assertEqual(os.listdir(self.path), [])

    def test_again(self) -> None:
        """
        Opening it again changes nothing.
        """
        self.state.open()
        self.state.writeAtomically("kept", b"data")
        StateDirectory(self.path).open()
        self.assertEqual(self.state.read("kept"), b"data")

    def test_tightened(self) -> None:
        """
        A directory of ours that others may enter is closed to them.
        """
        self.path.mkdir(parents=True)
        self.path.chmod(0o755)
        self.state.open()
        self.assertEqual(self.mode(self.path), 0o700)

    def test_file(self) -> None:
        """
        A file in its place is refused.
        """
        self.path.parent.mkdir(parents=True)
        self.path.write_text("")
        self.assertRefused("exists")

    def test_foreign(self) -> None:
        """
        A directory of another user is refused: that user could exchange our secrets.
        """
        self.path.mkdir(parents=True)
        with mock.patch("os.geteuid", return_value=os.geteuid() + 1):
            if self.path.stat().st_uid == 0:
                os.chown(self.path, 12345, -1)
            self.assertRefused("belongs to another user")

    def test_superusers(self) -> None:
        """
        A directory of the superuser is accepted, unless every user may write to it.
        """
        if os.geteuid() != 0:
            raise SkipTest("needs a directory of the superuser")
        self.path.mkdir(parents=True)
        self.path.chmod(0o770)
        with mock.patch("os.geteuid", return_value=1000):
            self.state.open()
            self.assertEqual(self.mode(self.path), 0o770)
            self.path.chmod(0o777)
            self.assertRefused("every user")

    def test_unwritable(self) -> None:
        """
        A full or read-only file system is noticed at the start.
        """
        with mock.patch("os.fsync", side_effect=OSError(errno.EROFS, "Read-only file system")):
            self.assertRefused("Read-only file system")


class FileTests(_StateTestCase):
    """
    Tests for L{StateDirectory.read} and L{StateDirectory.writeAtomically}.
    """

    def setUp(self) -> None:
        """
        Open a state directory.
        """
        super().setUp()
        self.state.open()

    def test_roundTrip(self) -> None:
        """
        What was written is read, with the mode asked for whatever the umask is.
        """
        previous = os.umask(0o077)
        self.addCleanup(os.umask, previous)
        self.state.writeAtomically("ca/root.crt", b"one", 0o644)
        self.state.writeAtomically("ca/root.crt", b"two", 0o644)
        self.assertEqual(self.state.read("ca/root.crt", public=True), b"two")
        self.assertEqual(self.mode(self.path / "ca" / "root.crt"), 0o644)
        self.assertEqual(self.mode(self.path / "ca"), 0o700)
        self.assertEqual(os.listdir(self.path / "ca"), ["root.crt"])

    def test_missing(self) -> None:
        """
        A file that is not there reads as nothing.
        """
        self.assertIs(self.state.read("nothing"), None)

    def test_failedWrite(self) -> None:
        """
        A write that fails leaves the old file, and no other one.
        """
        self.state.writeAtomically("file", b"old")
        for call in ("os.fsync", "os.replace"):
            with mock.patch(call, side_effect=OSError(errno.ENOSPC, "No space left on device")):
                error = self.assertRaises(StartError, self.state.writeAtomically, "file", b"new")
            self.assertIn("No space left on device", str(error))
            self.assertEqual(self.state.read("file"), b"old")
            self.assertEqual(os.listdir(self.path), ["file"])

    def test_noRegularFile(self) -> None:
        """
        A pipe or a directory in place of a file is refused and not waited for.
        """
        os.mkfifo(self.path / "pipe")
        (self.path / "directory").mkdir()
        self.assertRaises(StartError, self.state.read, "pipe")
        self.assertRaises(StartError, self.state.read, "directory")

    def test_huge(self) -> None:
        """
        A file that cannot be one of ours is not read into memory.
        """
        with open(self.path / "huge", "wb") as file:
            file.truncate(1 << 40)
        self.assertRaises(StartError, self.state.read, "huge")

    def test_names(self) -> None:
        """
        No name leads out of the directory.
        """
        for name in ("", "/etc/passwd", "../x", "a/../b", "a//b", ".lock", "a/", "a\0b", "a\n"):
            self.assertRaises(ValueError, self.state.read, name)


class SecretTests(_StateTestCase):
    """
    Tests for L{StateDirectory.secret}.
    """

    def setUp(self) -> None:
        """
        Open a state directory.
        """
        super().setUp()
        self.state.open()
        self.file = self.path / "session"

    def test_created(self) -> None:
        """
        A new secret is 32 random bytes in base64, in a file that only we can read.
        """
        secret = self.state.secret("session")
        self.assertEqual(len(base64.b64decode(secret, validate=True)), 32)
        self.assertEqual(self.file.read_text(), secret)
        self.assertEqual(self.mode(self.file), 0o600)
        self.assertEqual(os.listdir(self.path), ["session"])

    def test_kept(self) -> None:
        """
        The next start has the same secret, another state directory a different one.
        """
        secret = self.state.secret("session")
        self.assertEqual(StateDirectory(self.path).secret("session"), secret)
        other = StateDirectory(self.mktemp())
        other.open()
        self.assertNotEqual(other.secret("session"), secret)

    def test_newline(self) -> None:
        """
        A secret put there with an editor does not include the line's end.
        """
        self.file.write_text(f"{SECRET}\n")
        self.assertEqual(self.state.secret("session"), SECRET)

    def test_tightened(self) -> None:
        """
        A secret that others could read is closed to them.
        """
        self.file.write_text(SECRET)
        self.file.chmod(0o644)
        self.state.secret("session")
        self.assertEqual(self.mode(self.file), 0o600)

    def test_refused(self) -> None:
        """
        An empty, blank, short or binary secret stops the start and is left as it was.
        """
        for content in (b"", b"\n", b"0123456789abcde", b" " * 40, b"\xff" * 40, b"a\x00" * 20):
            self.file.write_bytes(content)
            error = self.assertRaises(StartError, self.state.secret, "session")
            self.assertIn(str(self.file), str(error))
            self.assertEqual(self.file.read_bytes(), content)

    def test_secretNotRepeated(self) -> None:
        """
        The refusal does not repeat what the file holds.
        """
        self.file.write_bytes(b"hunter2")
        error = self.assertRaises(StartError, self.state.secret, "session")
        self.assertNotIn("hunter2", str(error))

    def test_cutShort(self) -> None:
        """
        A secret that lost any of its characters stops the start.
        """
        whole = self.state.secret("session").encode()
        for length in range(len(whole)):
            for content in (whole[:length], whole[:length] + b"\n"):
                self.file.write_bytes(content)
                error = self.assertRaises(StartError, self.state.secret, "session")
                self.assertIn("at least 44 characters", str(error))

    def test_race(self) -> None:
        """
        When another process creates the secret in between, its secret is used.
        """
        other = StateDirectory(self.path)
        first = []

        def randomBytes(count: int) -> bytes:
            first.append(other.secret("session"))
            return b"x" * count

        late = StateDirectory(self.path, randomBytes=randomBytes)
        self.assertEqual([late.secret("session")], first)
        self.assertEqual(os.listdir(self.path), ["session"])

    def test_raceWithoutLinks(self) -> None:
        """
        The same holds on a file system without hard links.
        """
        other = StateDirectory(self.path)
        first = []

        def randomBytes(count: int) -> bytes:
            first.append(other.secret("session"))
            return b"x" * count

        with mock.patch("os.link", side_effect=OSError(errno.EPERM, "not permitted")):
            late = StateDirectory(self.path, randomBytes=randomBytes)
            self.assertEqual([late.secret("session")], first)
        self.assertEqual(sorted(os.listdir(self.path)), [".lock", "session"])

    def test_parallel(self) -> None:
        """
        First starts in parallel end with one secret.
        """
        gate = threading.Barrier(8)
        seen = []

        def start() -> None:
            state = StateDirectory(self.path)
            gate.wait()
            seen.append(state.secret("session"))

        threads = [threading.Thread(target=start) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(seen, [self.file.read_text()] * 8)
