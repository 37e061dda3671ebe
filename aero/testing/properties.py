"""
Hypothesis with one profile for every property: no deadline, because a busy machine is not a
failure, and few enough examples to stay fast.
"""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings, strategies

settings.register_profile(
    "aero",
    deadline=None,
    max_examples=100,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("aero")

__all__ = ["given", "settings", "strategies"]
