"""
Tests for the metrics of several processes.
"""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import ROWS, Metrics, acme, http
from aero.metrics.merge import mergeExpositions


class MergeTests(SynchronousTestCase):
    """
    L{mergeExpositions}.
    """

    def pages(self) -> dict[str, str]:
        made = {}
        for worker, count in (("0", 2), ("1", 5)):
            metrics = Metrics(ROWS, process=True)
            metrics.counter(http.REQUESTS, "GET", "/", "200").inc(count)
            metrics.gauge(http.CONNECTIONS, "https").set(count * 10)
            metrics.histogram(http.DURATION, "GET", "/", "200").observe(count / 100)
            made[worker] = metrics.exposition().decode()
        return made

    def samples(self, page: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """
        All samples, as Prometheus' own parser reads them.
        """
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
        }

    def test_sameForAll(self) -> None:
        """
        What says yes or no about all of them is not added up.
        """
        pages = {}
        for worker in ("0", "1"):
            metrics = Metrics(ROWS)
            metrics.gauge(acme.PLACEHOLDER).set(1)
            metrics.gauge(acme.FAILURES).set(int(worker))
            pages[worker] = metrics.exposition().decode()
        found = self.samples(mergeExpositions(pages))
        self.assertEqual(found["aero_acme_placeholder", frozenset()], 1)
        self.assertEqual(found["aero_acme_consecutive_failures", frozenset()], 1)

    def test_sums(self) -> None:
        """
        Counters, gauges and histograms add up, by their labels.
        """
        found = self.samples(mergeExpositions(self.pages()))
        request = frozenset({"method": "GET", "route": "/", "status_code": "200"}.items())
        self.assertEqual(found["http_requests_total", request], 7)
        self.assertEqual(found["aero_http_connections", frozenset({("listener", "https")})], 70)
        self.assertEqual(found["http_request_duration_seconds_count", request], 2)
        bucket = request | {("le", "0.025")}
        self.assertEqual(found["http_request_duration_seconds_bucket", bucket], 1)

    def test_everyFamilyOnce(self) -> None:
        """
        The page has every family of the catalogue once, with its help and its type.
        """
        page = mergeExpositions(self.pages())
        names = [line.split()[2] for line in page.splitlines() if line.startswith("# TYPE")]
        self.assertEqual(len(names), len(set(names)))
        one = self.pages()["0"]
        self.assertEqual(
            names, [line.split()[2] for line in one.splitlines() if line.startswith("# TYPE")]
        )

    def test_processes(self) -> None:
        """
        What is about one process is told for each.
        """
        found = self.samples(mergeExpositions(self.pages()))
        for worker in ("0", "1"):
            labels = frozenset({("worker", worker)})
            self.assertGreater(found["process_resident_memory_bytes", labels], 0)

    def test_moments(self) -> None:
        """
        Of moments the latest counts.
        """
        help_ = "# HELP a_timestamp_seconds When.\n# TYPE a_timestamp_seconds gauge\n"
        merged = mergeExpositions(
            {
                "0": help_ + "a_timestamp_seconds 1000\n",
                "1": help_ + "a_timestamp_seconds 2000.5\n",
            }
        )
        self.assertEqual(merged, help_ + "a_timestamp_seconds 2000.5\n")

    def test_oddLines(self) -> None:
        """
        Braces and spaces in label values stay as they are, and lines that are no samples go.
        """
        page = '# HELP a_total A.\n# TYPE a_total counter\na_total{b="} 1 {"} 2\nnonsense\n'
        merged = mergeExpositions({"0": page, "1": page})
        self.assertIn('a_total{b="} 1 {"} 4\n', merged)
        self.assertNotIn("nonsense", merged)
