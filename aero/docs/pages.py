# -*- test-case-name: aero.docs.test.test_pages -*-
"""
Every generated file, in one place.
"""

from __future__ import annotations

from aero.usage import configurationPage

from .alerts import alertRules
from .dashboard import dashboard
from .environment import environmentFile
from .headertemplates import headerTemplates
from .metricspage import metricsPage


def pages() -> dict[str, str]:
    """
    The text of each generated file, by its path from the root of the tree.
    """
    return {
        "docs/configuration.md": configurationPage(),
        "docs/metrics.md": metricsPage(),
        "deploy/.env.example": environmentFile(),
        "deploy/prometheus/alerts.yml": alertRules(),
        "deploy/grafana/aero.json": dashboard(),
        **{f"deploy/headers/{name}": text for name, text in headerTemplates().items()},
    }
