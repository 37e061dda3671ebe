"""
How long messages of C{/l2} may be (l2.md sections 3.3, 9 and 20.1, C8).
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.support.l2 import FRAME, L2_PING, L2_PONG, message
from tests.support.l2case import L2Case
from tests.support.metrics import metric
from tests.support.server import Aero


class PayloadTests(L2Case, SynchronousTestCase):
    """
    The limits, each at its last byte and at the one after it.
    """

    def limits(self, server: Aero, frame: int, control: int) -> None:
        """
        These are the limits of a server; the one on frames is the longer one.
        """
        guest = self.guest(server)
        before = metric(server, "l2_frames_rx_total")
        size = metric(server, "l2_bytes_rx_total")
        guest.sendMessage(FRAME, bytes(frame))
        guest.sendMessage(L2_PING, bytes(control))
        self.assertEqual(guest.receiveMessage(), (L2_PONG, bytes(control)))
        self.assertEqual(metric(server, "l2_frames_rx_total"), before + 1)
        self.assertEqual(metric(server, "l2_bytes_rx_total"), size + frame)
        # Whatever it is, but a frame.
        guest.sendMessage(L2_PING, bytes(control + 1))
        ended = guest.untilEnd()
        text = f"payload too large: {control + 1} > {control}"
        self.assertEqual((ended.error, ended.code, ended.reason), ((1, text), 1008, text))
        self.assertEqual(ended.messages, [])
        for kind in (0x02, 0x7F, 0x33):
            guest = self.guest(server)
            guest.sendMessage(kind, bytes(control))
            guest.sendMessage(kind, bytes(control + 1))
            self.assertEqual(guest.untilEnd().reason, text)
        # Longer than any message.
        guest = self.guest(server)
        guest.sendMessage(FRAME, bytes(frame + 1))
        ended = guest.untilEnd()
        self.assertEqual((ended.error, ended.code), (None, 1009))
        self.assertEqual(metric(server, "l2_frames_rx_total"), before + 1)

    def test_zero(self) -> None:
        """
        0 is no limit that anybody wants: the usual ones are taken.
        """
        server = self.serve(AERO_L2_MAX_FRAME_PAYLOAD="0", AERO_L2_MAX_CONTROL_PAYLOAD="0")
        self.limits(server, 2_048, 256)

    def test_legacy(self) -> None:
        """
        For frames there is an older name, which is asked where the other says nothing.
        """
        server = self.serve(AERO_L2_MAX_FRAME_PAYLOAD="0", AERO_L2_MAX_FRAME_SIZE="9000")
        self.limits(server, 9_000, 256)

    def test_given(self) -> None:
        """
        What is given is kept; the older name does not matter then.
        """
        server = self.serve(
            AERO_L2_MAX_FRAME_PAYLOAD="1234",
            AERO_L2_MAX_FRAME_SIZE="9000",
            AERO_L2_MAX_CONTROL_PAYLOAD="99",
        )
        self.limits(server, 1_234, 99)
        # The text of an error has to fit as well: here it does, by far.
        guest = self.guest(server)
        guest.send(message(L2_PING)[:3])
        self.assertEqual(guest.untilEnd().error, (1, "message too short: 3 < 4"))
