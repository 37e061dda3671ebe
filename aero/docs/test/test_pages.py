"""
Tests for the generated files.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from aero.docs.headertemplates import PLACEHOLDER, headerTemplates
from aero.docs.pages import pages
from aero.metrics.catalogue import ROWS
from aero.policy.headers import ResponseHeaders
from aero.settings import GROUPS, rowsOf
from aero.usage import configurationPage

#: What the client library measures of a process.
PROCESS = {"cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds"}

TREE = Path(__file__).parents[3]

#: The header set of the edge as text, without HSTS.
CANONICAL = {
    name.decode(): value.decode()
    for name, value in ResponseHeaders.edge(0, PLACEHOLDER).pairs
    if name != b"Strict-Transport-Security"
}


class PagesTests(SynchronousTestCase):
    """
    L{pages}.
    """

    def test_current(self) -> None:
        """
        The files of the tree are what the tables say; C{python -m aero.docs} writes them again.
        """
        if not (TREE / "docs").is_dir():
            raise SkipTest("docs/ is part of the source tree only")
        for name, text in pages().items():
            self.assertEqual((TREE / name).read_text("utf-8"), text, f"{name} is stale")

    def test_everySettingIsThere(self) -> None:
        """
        Each variable has one row in the documentation, and one line in the environment file.
        """
        page = configurationPage()
        file = pages()["deploy/.env.example"]
        for cls in GROUPS.values():
            for row in rowsOf(cls):
                self.assertIn(f"`{row.variable}`", page)
                lines = re.findall(rf"^#?{row.variable}=", file, re.MULTILINE)
                if row.variable != "AERO_STATE_DIR":  # the compose file's
                    self.assertEqual(len(lines), 1, row.variable)

    def test_environmentFileIsInert(self) -> None:
        """
        Copied as it is, the file sets nothing but the name.
        """
        lines = pages()["deploy/.env.example"].splitlines()
        said = [line for line in lines if line and not line.startswith("#")]
        self.assertEqual(said, ["AERO_DOMAIN=localhost"])

    def panels(self) -> tuple[list[Any], list[Any]]:
        """
        The panels of the dashboard that are seen at once, and its folded rows.
        """
        panels = json.loads(pages()["deploy/grafana/aero.json"])["panels"]
        rows = [panel for panel in panels if panel["type"] == "row"]
        return [panel for panel in panels if panel["type"] != "row"], rows

    def test_firstLook(self) -> None:
        """
        Twelve panels come first, titled in words; everything else is folded.
        """
        first, rows = self.panels()
        self.assertEqual(len(first), 12)
        self.assertTrue(all(row["collapsed"] for row in rows))
        lowest = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in first)
        self.assertTrue(all(row["gridPos"]["y"] >= lowest for row in rows))

    def test_everyMetricHasAPanel(self) -> None:
        """
        The dashboard has a panel for each metric in a folded row, with its name in the
        description.
        """
        _, rows = self.panels()
        inside = [panel for row in rows for panel in row["panels"]]
        names = [panel["description"].partition(":")[0] for panel in inside]
        self.assertEqual(names, [row.name for row in ROWS])

    def test_titles(self) -> None:
        """
        Titles are words, and no two of one row are the same.
        """
        first, rows = self.panels()
        for panels in (first, *(row["panels"] for row in rows)):
            titles = [panel["title"] for panel in panels]
            self.assertEqual(len(set(titles)), len(titles))
            for title in titles:
                self.assertGreaterEqual(title.count(" "), 1, title)
                self.assertRegex(title, r"^[A-Z]", title)

    def test_places(self) -> None:
        """
        No panel is on top of another, and no two have one number.
        """
        first, rows = self.panels()
        for panels in ([*first, *rows], *(row["panels"] for row in rows)):
            places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
            self.assertEqual(len(places), len(set(places)))
        everything = [*first, *rows, *(panel for row in rows for panel in row["panels"])]
        numbers = [panel["id"] for panel in everything]
        self.assertEqual(len(numbers), len(set(numbers)))

    def test_namesMetrics(self) -> None:
        """
        Every metric that an alert or a panel names exists.
        """
        known = {row.name for row in ROWS} | {f"{row.name}_bucket" for row in ROWS}
        known |= {f"process_{name}" for name in PROCESS}
        for name in ("deploy/prometheus/alerts.yml", "deploy/grafana/aero.json"):
            text = re.sub(r'"description": .*', "", pages()[name])
            found = set(re.findall(r"\b(?:aero_|l2_|dns_|http_|tcp_|process_)[a-z0-9_]+", text))
            self.assertTrue(found)
            self.assertEqual({each for each in found if each not in known}, set(), name)

    def test_alertsCover(self) -> None:
        """
        Certificates, ACME, Redis, workers and readiness have alerts.
        """
        rules = pages()["deploy/prometheus/alerts.yml"]
        for words in ("CertificateExpires", "ACMEFails", "RedisAway", "WorkersMissing", "NotReady"):
            self.assertIn(f"alert: Aero{words}\n", rules)


class HeaderTemplateTests(SynchronousTestCase):
    """
    Each template has every header of the edge with its value, and none twice where the host
    adds up rules.
    """

    def setUp(self) -> None:
        self.templates = headerTemplates()

    def test_cloudflarePages(self) -> None:
        """
        One rule has the set; the others take away what they set anew.
        """
        text = self.templates["cloudflare-pages/_headers"]
        found = re.findall(r"^  ([A-Z][A-Za-z-]+): (.*)$", text, re.MULTILINE)
        self.assertEqual({name: value for name, value in found if name in CANONICAL}, CANONICAL)
        self.assertEqual(len([name for name, _ in found if name in CANONICAL]), len(CANONICAL))
        self.assertEqual(text.count("  ! Cache-Control\n"), 1)

    def test_netlify(self) -> None:
        """
        It is TOML, and the rule for all has the set.
        """
        rules = tomllib.loads(self.templates["netlify/netlify.toml"])["headers"]
        self.assertEqual(rules[0]["for"], "/*")
        self.assertEqual(rules[0]["values"], CANONICAL | {"Cache-Control": "no-cache"})
        self.assertIn("immutable", rules[1]["values"]["Cache-Control"])

    def test_vercel(self) -> None:
        """
        It is JSON, and the rule for assets comes after the one for all.
        """
        rules = json.loads(self.templates["vercel/vercel.json"])["headers"]
        first = {pair["key"]: pair["value"] for pair in rules[0]["headers"]}
        self.assertEqual(first, CANONICAL | {"Cache-Control": "no-cache"})
        self.assertEqual(rules[1]["source"], "/assets/(.*)")

    def test_nginx(self) -> None:
        """
        Each header is added to errors too.
        """
        text = self.templates["nginx/aero-headers.conf"]
        found = re.findall(r'^add_header (\S+) "(.*)" always;$', text, re.MULTILINE)
        self.assertEqual(dict(found), CANONICAL)

    def test_caddy(self) -> None:
        """
        Each header replaces what an upstream may have sent.
        """
        text = self.templates["caddy/aero-headers.caddy"]
        self.assertEqual(dict(re.findall(r"^\t\t>(\S+) `(.*)`$", text, re.MULTILINE)), CANONICAL)
