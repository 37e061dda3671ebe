"""
Tests for the generated files.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from aero.docs.headertemplates import PLACEHOLDER, headerTemplates
from aero.docs.pages import pages
from aero.metrics.catalogue import ROWS
from aero.policy.headers import ResponseHeaders
from aero.settings import GROUPS, rowsOf
from aero.usage import configurationPage

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

    def test_everyMetricHasAPanel(self) -> None:
        """
        The dashboard is JSON with a panel for each metric, none on top of another.
        """
        panels = json.loads(pages()["deploy/grafana/aero.json"])["panels"]
        titles = [panel["title"] for panel in panels if panel["type"] == "timeseries"]
        self.assertEqual(titles, [row.name for row in ROWS])
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
        self.assertEqual(len(places), len(set(places)))

    def test_alertsNameMetrics(self) -> None:
        """
        Every metric of aero that an alert names exists.
        """
        rules = pages()["deploy/prometheus/alerts.yml"]
        known = {row.name for row in ROWS} | {f"{row.name}_bucket" for row in ROWS}
        named = re.findall(r"(?:rate\(|sum\()([a-z0-9_]+)", rules)
        self.assertTrue(named)
        self.assertEqual(set(named) - known, set())


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
