"""
Tests for L{aero.net.turn}.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from aero.errors import StartError

from ..turn import Turn

_HOLD = """
import sys, time
from pathlib import Path
from aero.net.turn import Turn
turn = Turn(Path(sys.argv[1]))
print(turn.take(), flush=True)
time.sleep(60)
"""


class TurnTests(SynchronousTestCase):
    """
    Tests for L{Turn}.
    """

    def setUp(self) -> None:
        """
        Have a directory.
        """
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.path = self.directory / "turn"

    def turn(self) -> Turn:
        """
        As one more process has it.
        """
        made = Turn(self.path)
        self.addCleanup(made.giveBack)
        return made

    def test_one(self) -> None:
        """
        One has it, and still has it when it asks again; the others get it when it was given back.
        """
        one, two = self.turn(), self.turn()
        self.assertEqual((one.take(), two.take(), one.take()), (True, False, True))
        one.giveBack()
        one.giveBack()
        self.assertEqual((two.take(), one.take()), (True, False))
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)

    def test_killed(self) -> None:
        """
        A process that is killed has it no more.
        """
        holder = subprocess.Popen(
            [sys.executable, "-c", _HOLD, str(self.path)],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert holder.stdout is not None
        self.addCleanup(holder.stdout.close)
        self.addCleanup(holder.kill)
        self.assertEqual(holder.stdout.readline(), b"True\n")
        turn = self.turn()
        self.assertFalse(turn.take())
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        self.assertTrue(turn.take())

    def test_replaced(self) -> None:
        """
        Who holds a file that is gone competes for the new one.
        """
        one, two = self.turn(), self.turn()
        self.assertTrue(one.take())
        self.path.unlink()
        self.assertTrue(two.take())
        self.assertFalse(one.take())

    def test_impossible(self) -> None:
        """
        A directory that is gone is said.
        """
        self.path = self.directory / "missing" / "turn"
        error = self.assertRaises(StartError, self.turn().take)
        self.assertIn(str(self.path), str(error))
