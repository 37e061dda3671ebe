"""
Tests for the metrics of several processes.
"""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import ROWS, GaugeRow, Metrics, acme, fleet, http, tls, workers
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

    def merged(self, row: GaugeRow, *values: float, supervisor: bool = False) -> float:
        """
        What becomes of the values of several workers.
        """
        pages = {}
        for worker, value in enumerate(values):
            metrics = Metrics(ROWS)
            metrics.gauge(row, *(["x"] * len(row.labels))).set(value)
            pages[str(worker)] = metrics.exposition().decode()
        if supervisor:
            pages["supervisor"] = Metrics(ROWS).exposition().decode()
        labels = frozenset((label, "x") for label in row.labels)
        return self.samples(mergeExpositions(pages))[row.name, labels]

    def test_flags(self) -> None:
        """
        A flag is what an operator has to know: Redis is away where one worker gets no answer. The
        supervisor, which asks nothing itself, does not count.
        """
        for row in (fleet.REDIS_UP, workers.READY):
            self.assertEqual(self.merged(row, 1, 1, supervisor=True), 1)
            self.assertEqual(self.merged(row, 1, 0, supervisor=True), 0)
            self.assertEqual(self.merged(row, 0, 1), 0)
            self.assertEqual(self.merged(row, 1), 1)
        self.assertEqual(self.merged(fleet.REDIS_CONFIGURED, 1, 1, supervisor=True), 1)

    def test_moments(self) -> None:
        """
        Of certificates the one that expires first counts, of attempts the latest.
        """
        for row in (tls.CERTIFICATE_NOT_AFTER, tls.CERTIFICATE_NOT_BEFORE):
            self.assertEqual(self.merged(row, 2000, 1000, supervisor=True), 1000)
        self.assertEqual(self.merged(acme.NEXT_ATTEMPT, 0, 2000, supervisor=True), 2000)

    def test_everyGauge(self) -> None:
        """
        A gauge whose name or help says that it is a flag or a moment is not added up; each other
        one is.
        """
        for row in ROWS:
            if not isinstance(row, GaugeRow):
                continue
            single = row.help.startswith("Whether ") or "_timestamp_" in row.name
            single = single or row is acme.FAILURES
            self.assertEqual(row.merged != "sum", single, row.name)
            self.assertEqual(self.merged(row, 1, 1, 1), 1 if single else 3, row.name)

    def test_oddLines(self) -> None:
        """
        Braces and spaces in label values stay as they are, and lines that are no samples go.
        """
        page = '# HELP a_total A.\n# TYPE a_total counter\na_total{b="} 1 {"} 2\nnonsense\n'
        merged = mergeExpositions({"0": page, "1": page})
        self.assertIn('a_total{b="} 1 {"} 4\n', merged)
        self.assertNotIn("nonsense", merged)
