"""
Tests for L{aero.policy.quota}.
"""

from __future__ import annotations

import ipaddress

from twisted.trial.unittest import SynchronousTestCase

from aero.policy.quota import Slots, TokenBuckets, addressKey
from aero.testing.properties import given, strategies


class TokenBucketsTests(SynchronousTestCase):
    """
    L{TokenBuckets} (gateway.md section 7.0).
    """

    def test_burst(self) -> None:
        """
        A new key may do as much as the burst at once, and is then told when to come again.
        """
        buckets = TokenBuckets(rate=2.0, burst=3)
        self.assertEqual([buckets.take("a", 100.0) for _ in range(4)], [0.0, 0.0, 0.0, 0.5])

    def test_refill(self) -> None:
        """
        Tokens come back at the rate, to the moment that was told.
        """
        buckets = TokenBuckets(rate=0.5, burst=1)
        self.assertEqual(buckets.take("a", 0.0), 0.0)
        self.assertEqual(buckets.take("a", 0.0), 2.0)
        self.assertEqual(buckets.take("a", 1.0), 1.0)
        self.assertEqual(buckets.take("a", 2.0), 0.0)
        self.assertEqual(buckets.take("a", 2.0), 2.0)

    def test_full(self) -> None:
        """
        A bucket that rests for long holds the burst and not more.
        """
        buckets = TokenBuckets(rate=1.0, burst=2)
        buckets.take("a", 0.0)
        taken = [buckets.take("a", 500.0) for _ in range(3)]
        self.assertEqual(taken, [0.0, 0.0, 1.0])

    def test_refusalCostsNothing(self) -> None:
        """
        Asking too early again and again does not delay the next token.
        """
        buckets = TokenBuckets(rate=1.0, burst=1)
        buckets.take("a", 0.0)
        for tenth in range(1, 10):
            self.assertGreater(buckets.take("a", tenth / 10), 0.0)
        self.assertEqual(buckets.take("a", 1.001), 0.0)

    def test_keys(self) -> None:
        """
        Nobody pays for somebody else.
        """
        buckets = TokenBuckets(rate=1.0, burst=1)
        self.assertEqual(buckets.take("a", 0.0), 0.0)
        self.assertEqual(buckets.take("a", 0.0), 1.0)
        self.assertEqual(buckets.take("b", 0.0), 0.0)

    def test_unlimited(self) -> None:
        """
        Without a rate or a burst there is no limit, and nothing is remembered.
        """
        for rate, burst in ((0.0, 5.0), (-1.0, 5.0), (5.0, 0.0), (5.0, -1.0)):
            buckets = TokenBuckets(rate, burst)
            self.assertEqual({buckets.take("a", 0.0) for _ in range(100)}, {0.0})
            self.assertEqual(len(buckets), 0)

    def test_smallBurst(self) -> None:
        """
        A burst below one still lets one request through at a time.
        """
        buckets = TokenBuckets(rate=1.0, burst=0.5)
        self.assertEqual(buckets.take("a", 0.0), 0.0)
        self.assertEqual(buckets.take("a", 0.0), 1.0)
        self.assertEqual(buckets.take("a", 1.0), 0.0)

    def test_clockGoesBack(self) -> None:
        """
        A clock that is set back takes no tokens away.
        """
        buckets = TokenBuckets(rate=1.0, burst=2)
        buckets.take("a", 100.0)
        self.assertEqual(buckets.take("a", 50.0), 0.0)
        self.assertEqual(buckets.take("a", 50.0), 1.0)
        self.assertEqual(buckets.take("a", 51.0), 0.0)

    def test_bounded(self) -> None:
        """
        Any number of keys fill the table up to its bound; the least recently used are forgotten.
        """
        buckets = TokenBuckets(rate=0.001, burst=1, maxKeys=100)
        for number in range(1_000):
            buckets.take("kept", 0.0)
            buckets.take(str(number), 0.0)
            self.assertLessEqual(len(buckets), 100)
        self.assertGreater(buckets.take("kept", 0.0), 0.0)
        self.assertGreater(buckets.take("999", 0.0), 0.0)
        self.assertEqual(buckets.take("0", 0.0), 0.0)

    def test_defaultBound(self) -> None:
        """
        Ten thousand keys are kept unless it is said otherwise.
        """
        buckets = TokenBuckets(rate=0.001, burst=1)
        for number in range(10_050):
            buckets.take(str(number), 0.0)
        self.assertEqual(len(buckets), 10_000)

    def test_idle(self) -> None:
        """
        Keys that nobody saw for ten minutes are forgotten while new ones come.
        """
        buckets = TokenBuckets(rate=1.0, burst=5)
        for number in range(50):
            buckets.take(f"old{number}", 0.0)
        for number in range(10):
            buckets.take(f"early{number}", 599.0)
        self.assertEqual(len(buckets), 60)
        for number in range(50):
            buckets.take(f"new{number}", 601.0)
        self.assertEqual(len(buckets), 60)

    def test_slowBucketsAreKept(self) -> None:
        """
        A bucket is not forgotten before it would be full again, so that waiting until it is
        forgotten gains nothing.
        """
        buckets = TokenBuckets(rate=0.001, burst=1)
        buckets.take("a", 0.0)
        buckets.take("b", 900.0)
        self.assertGreater(buckets.take("a", 900.0), 0.0)
        buckets = TokenBuckets(rate=0.001, burst=1)
        buckets.take("a", 0.0)
        buckets.take("b", 1_001.0)
        self.assertEqual(len(buckets), 1)

    @given(
        strategies.integers(1, 5),
        strategies.integers(1, 8),
        strategies.lists(strategies.integers(0, 40), max_size=60),
    )
    def test_neverMore(self, rate: int, burst: int, steps: list[int]) -> None:
        """
        In any time no more is allowed than the burst and what came in meanwhile, and whoever
        waits as told is served.
        """
        buckets, patient = TokenBuckets(rate, burst), TokenBuckets(rate, burst)
        now, allowed = 0.0, 0
        for step in steps:
            now += step / 16
            allowed += buckets.take("a", now) == 0.0
            self.assertLessEqual(allowed, burst + now * rate + 1e-6)
            wait = patient.take("a", now)
            if wait:
                self.assertEqual(patient.take("a", now + wait + 1e-6), 0.0)
                now += wait + 1e-6


class SlotsTests(SynchronousTestCase):
    """
    L{Slots}.
    """

    def test_limit(self) -> None:
        """
        Each key holds up to the limit, and one more when it gave one back.
        """
        slots = Slots(2)
        self.assertEqual([slots.acquire("a") for _ in range(3)], [True, True, False])
        self.assertTrue(slots.acquire("b"))
        self.assertEqual((slots.held("a"), slots.held("b"), slots.held("c")), (2, 1, 0))
        slots.release("a")
        self.assertEqual([slots.acquire("a") for _ in range(2)], [True, False])

    def test_noLimit(self) -> None:
        """
        A limit of zero is none.
        """
        slots = Slots(0)
        self.assertTrue(all(slots.acquire("a") for _ in range(100)))
        self.assertEqual(slots.held("a"), 100)

    def test_tooOften(self) -> None:
        """
        Giving back what nobody holds is an error and changes nothing.
        """
        slots = Slots(1)
        self.assertRaises(ValueError, slots.release, "a")
        slots.acquire("a")
        slots.release("a")
        self.assertRaises(ValueError, slots.release, "a")
        self.assertTrue(slots.acquire("a"))
        self.assertFalse(slots.acquire("a"))

    @given(
        strategies.integers(0, 3),
        strategies.lists(strategies.tuples(strategies.booleans(), strategies.sampled_from("ab"))),
    )
    def test_count(self, limit: int, steps: list[tuple[bool, str]]) -> None:
        """
        What a key holds is what it took less what it gave back.
        """
        slots = Slots(limit)
        held = {"a": 0, "b": 0}
        for taking, key in steps:
            if taking:
                taken = slots.acquire(key)
                self.assertIs(taken, limit == 0 or held[key] < limit)
                held[key] += taken
            elif held[key]:
                slots.release(key)
                held[key] -= 1
            self.assertEqual({name: slots.held(name) for name in held}, held)


class AddressKeyTests(SynchronousTestCase):
    """
    L{addressKey}.
    """

    def test_keys(self) -> None:
        """
        One subscriber has one key, in whatever form the address is shown.
        """
        for address, expected in {
            "192.0.2.1": "192.0.2.1",
            "::ffff:192.0.2.1": "192.0.2.1",
            "::FFFF:c000:201": "192.0.2.1",
            "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
            "2001:DB8:1:2::": "2001:db8:1:2::/64",
            "2001:db8:1:3::": "2001:db8:1:3::/64",
            "fe80::1%eth0": "fe80::/64",
            "::1": "::/64",
            "": "",
            "unix": "unix",
        }.items():
            self.assertEqual(addressKey(address), expected, address)

    @given(strategies.ip_addresses(v=6), strategies.integers(0, 2**64 - 1))
    def test_network(self, address: ipaddress.IPv6Address, host: int) -> None:
        """
        All addresses of a /64 share a key, which is that network.
        """
        if address.ipv4_mapped is not None or int(address) >> 64 == 0:
            return
        sibling = ipaddress.IPv6Address(int(address) >> 64 << 64 | host)
        self.assertEqual(addressKey(str(address)), addressKey(str(sibling)))
        self.assertIn(address, ipaddress.IPv6Network(addressKey(str(address))))
