"""
The header set that every response of the edge carries, written down a second time (edge.md
sections 4.1 to 4.3): what aero believes it to be is what is tested.
"""

from __future__ import annotations

import re

from .http import Response

CSP = (
    "default-src 'none'; base-uri 'none'; object-src 'none'; frame-ancestors 'none';"
    " script-src 'self' 'wasm-unsafe-eval' blob:; worker-src 'self' blob:;"
    " connect-src 'self' blob:; img-src 'self' data: blob:; media-src 'self' blob:;"
    " style-src 'self'; font-src 'self'"
)

EDGE = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
    "origin-agent-cluster": "?1",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(), geolocation=(), microphone=(self), usb=(self)",
    "content-security-policy": CSP,
    "strict-transport-security": "max-age=0",
}


def normalised(policy: str) -> str:
    """
    A content security policy in one spelling (edge.md section 4.2).
    """
    return "; ".join(" ".join(part.split()) for part in re.split(";", policy) if part.strip())


def problems(response: Response, **changed: str) -> list[str]:
    """
    What is wrong with the header set of a response; nothing where each header is there exactly
    once with its value and nothing is advertised that is not served.

    @param changed: Other values, by lower-case name with C{_} for C{-}.
    """
    expected = EDGE | {name.replace("_", "-"): value for name, value in changed.items()}
    found = []
    for name, value in expected.items():
        values = response.all(name)
        if name == "content-security-policy":
            values = [normalised(each) for each in values]
        if values != [value]:
            found.append(f"{name}: {values} instead of {[value]}")
    for name in ("alt-svc", "server", "x-powered-by"):
        if response.all(name):
            found.append(f"{name} is there: {response.all(name)}")
    return found
