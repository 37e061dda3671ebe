"""
Tests for L{aero.metrics._events}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import EventRow, Metrics
from aero.metrics.relay import EVENTS

ROW = EventRow("aero_test_events_total", "Things that happened.", ("event",), ("known",))


class EventsTests(SynchronousTestCase):
    """
    Counting events.
    """

    def setUp(self) -> None:
        self.metrics = Metrics((ROW,))
        self.events = self.metrics.events(ROW)

    def test_exposition(self) -> None:
        """
        Events are whole numbers in alphabetical order, known ones from the start, quotes and
        backslashes escaped (relay.md section 20.1).
        """
        self.events.inc("foo")
        self.events.inc("bar", 2)
        self.events.inc('quote"back\\slash')
        self.events.inc("many", 12_345_678)
        self.assertEqual(
            self.events.exposition().decode(),
            "# HELP aero_test_events_total Things that happened.\n"
            "# TYPE aero_test_events_total counter\n"
            'aero_test_events_total{event="bar"} 2\n'
            'aero_test_events_total{event="foo"} 1\n'
            'aero_test_events_total{event="known"} 0\n'
            'aero_test_events_total{event="many"} 12345678\n'
            'aero_test_events_total{event="quote\\"back\\\\slash"} 1\n',
        )

    def test_onThePage(self) -> None:
        """
        The page of all metrics has them too, and a test can ask for one.
        """
        self.events.inc("foo", 3)
        self.assertIn(self.events.exposition(), self.metrics.exposition())
        self.assertEqual(self.metrics.value(ROW, "foo"), 3)
        self.assertEqual(self.metrics.value(ROW, "never"), 0)
        self.assertIs(self.metrics.events(ROW), self.events)

    def test_onlyEvents(self) -> None:
        """
        The row of a family of events is not used as a counter.
        """
        self.assertRaises((TypeError, KeyError), self.metrics.counter, ROW, "foo")


class RelayEventsTests(SynchronousTestCase):
    """
    The relay's events.
    """

    def test_names(self) -> None:
        """
        Every event of relay.md section 14 is there from the start.
        """
        expected = [
            "auth_failure",
            "too_many_sessions",
            "session_hard_closed",
            "webrtc_session_connect_timeout",
            "ice_gathering_timeout",
            "rate_limited",
            "quota_exceeded",
            "too_many_destinations",
            "udp_per_dest_bucket_evictions",
            "udp_remote_allowlist_evictions_total",
            "udp_remote_allowlist_overflow_drops_total",
            "webrtc_udp_datagrams_in",
            "webrtc_udp_datagrams_out",
            "webrtc_udp_dropped",
            "webrtc_udp_dropped_malformed",
            "webrtc_udp_dropped_oversized",
            "webrtc_udp_dropped_denied_by_policy",
            "webrtc_udp_dropped_rate_limited",
            "webrtc_udp_dropped_quota_exceeded",
            "webrtc_udp_dropped_backpressure",
            "webrtc_udp_dropped_too_many_bindings",
            "udp_ws_connections",
            "udp_ws_datagrams_in",
            "udp_ws_datagrams_out",
            "udp_ws_dropped",
            "udp_ws_dropped_malformed",
            "udp_ws_dropped_oversized",
            "udp_ws_dropped_denied_by_policy",
            "udp_ws_dropped_rate_limited",
            "udp_ws_dropped_quota_exceeded",
            "udp_ws_dropped_backpressure",
            "webrtc_datachannel_rejected_unknown_label",
            "webrtc_datachannel_rejected_duplicate_udp",
            "webrtc_datachannel_rejected_duplicate_l2",
            "webrtc_datachannel_udp_message_too_large",
            "webrtc_datachannel_l2_message_too_large",
            "l2_bridge_dials_total",
            "l2_bridge_dial_errors_total",
            "l2_bridge_messages_from_client_total",
            "l2_bridge_bytes_from_client_total",
            "l2_bridge_messages_to_client_total",
            "l2_bridge_bytes_to_client_total",
            "l2_bridge_dropped_oversized_total",
            "l2_bridge_dropped_rate_limited_total",
        ]
        self.assertEqual(set(expected) - set(EVENTS.events), set())
        page = Metrics((EVENTS,)).exposition().decode()
        for event in expected:
            self.assertIn(f'aero_webrtc_udp_relay_events_total{{event="{event}"}} 0\n', page)
