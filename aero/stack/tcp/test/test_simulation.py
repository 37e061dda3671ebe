"""
Two stacks over a link that loses, repeats and overtakes, in simulated time.
"""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from aero.stack.tcp.config import TCPConfig
from aero.testing.link import LossyLink
from aero.testing.properties import given, settings
from aero.testing.properties import strategies as st

from .simulation import Side, Simulation, shiftFor

_SECRETS = b"left" * 4, b"right" * 4

#: What a connection may hold: both limits, and the last write beyond the one for sending.
_WRITE = 16_384


def build(
    seed: int,
    *,
    sizes: tuple[int, int],
    starts: tuple[int, int] = (2**32 - 5000, 2**32 - 7000),
    configs: tuple[TCPConfig, TCPConfig] = (TCPConfig(), TCPConfig()),
    links: tuple[LossyLink, LossyLink] | None = None,
    mtu: int = 1500,
    slow: bool = False,
) -> Simulation:
    """
    A connection from the left to the right.

    @param sizes: Bytes that each side sends.
    @param starts: Initial sequence numbers, four may be added.
    """
    random = Random(seed)
    sides = [
        Side(
            configs[index],
            mtu,
            _SECRETS[index],
            shiftFor(_SECRETS[index], starts[index], active=not index),
            random.randbytes(sizes[index]),
        )
        for index in (0, 1)
    ]
    toRight, toLeft = links or (LossyLink(seed), LossyLink(seed + 1))
    return Simulation(sides[0], sides[1], toRight, toLeft, seed=seed, slow=slow)


class PropertyTests(SynchronousTestCase):
    """
    What holds whatever the link does.
    """

    def check(self, simulation: Simulation, most: float) -> None:
        """
        Both streams arrive whole, in bounded time and memory, and nothing is left behind.
        """
        simulation.run(most)
        left, right = simulation.left, simulation.right
        # The last acknowledgment may be lost, and the other end gone when the FIN comes again.
        self.assertIn(
            {left.closed, right.closed}, ({"done"}, {"done", "reset"}), (left.drops, right.drops)
        )
        self.assertTrue(left.ended and right.ended)
        self.assertEqual(bytes(left.received), right.stream)
        self.assertEqual(bytes(right.received), left.stream)
        self.assertLess(simulation.now, most)
        for side in (left, right):
            config = side.config
            self.assertLessEqual(side.most, config.sendBuffer + _WRITE + config.receiveBuffer)
            self.assertLessEqual(side.mostReceived, config.receiveBuffer)
            self.assertEqual(side.table.connections, 0)
            self.assertIsNone(side.table.nextTimeout())
            self.assertFalse(side.table.hasSegments())
            self.assertEqual(side.events, [])

    @settings(max_examples=60)
    @given(
        seed=st.integers(0, 2**32),
        loss=st.sampled_from((0.0, 0.01, 0.05, 0.2)),
        duplicate=st.sampled_from((0.0, 0.05, 0.2)),
        reorder=st.sampled_from((0.0, 0.05, 0.3)),
        sizes=st.tuples(st.integers(0, 60_000), st.integers(0, 120_000)),
        starts=st.tuples(st.integers(2**32 - 70_000, 2**32 - 2), st.integers(0, 2**32 - 2)),
        options=st.tuples(*(st.booleans() for _ in range(6))),
        buffers=st.tuples(*(st.sampled_from((2_000, 9_000, 65_535, 262_144)) for _ in range(4))),
        mtu=st.sampled_from((128, 576, 1500, 9000, 65_535)),
        slow=st.booleans(),
    )
    def test_streamsAreEqual(
        self,
        seed: int,
        loss: float,
        duplicate: float,
        reorder: float,
        sizes: tuple[int, int],
        starts: tuple[int, int],
        options: tuple[bool, ...],
        buffers: tuple[int, ...],
        mtu: int,
        slow: bool,
    ) -> None:
        """
        Whatever is lost, repeated and overtaken, with whatever options and buffers, and
        wherever the sequence numbers wrap: both streams arrive, both ends close, no timer and
        nothing in memory is left, and no end ever held more than its limits.
        """
        configs = tuple(
            TCPConfig(
                mss=65_535,
                sack=options[index],
                timestamps=options[2 + index],
                windowScale=options[4 + index],
                receiveBuffer=buffers[index],
                sendBuffer=buffers[2 + index],
                maxEarly=buffers[3 - index],
                userTimeout=600.0,
                finWait2=3600.0,
            )
            for index in (0, 1)
        )
        links = tuple(
            LossyLink(seed + index, loss=loss, duplicate=duplicate, reorder=reorder)
            for index in (0, 1)
        )
        simulation = build(
            seed,
            sizes=sizes,
            starts=starts,
            configs=(configs[0], configs[1]),
            links=(links[0], links[1]),
            mtu=mtu,
            slow=slow,
        )
        self.check(simulation, 3600.0)
