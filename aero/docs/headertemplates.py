# -*- test-case-name: aero.docs.test.test_pages -*-
"""
The header set of the edge for hosts that serve the page without aero (edge.md section 16).

Each is made from the one table in L{aero.policy.headers}, with two traps avoided that the
templates of the reference fall into: hosts that merge the headers of all matching rules get
the set once, and rules for assets stand where they win.
"""

from __future__ import annotations

import json
from typing import Callable, Iterable

from aero.policy.headers import ResponseHeaders

#: Stands for the origin of the server in C{connect-src}; to be replaced, as each file says.
PLACEHOLDER = {"connect-src": ("https://aero.example.com", "wss://aero.example.com")}

_NOTE = (
    "Written from the table in aero/policy/headers.py; python -m aero.docs writes it again.",
    "Replace aero.example.com in connect-src by the host of your aero server.",
)

_FRESH = "no-cache"
_KEPT = "public, max-age=31536000, immutable"


def headerTemplates() -> dict[str, str]:
    """
    The text of each template by its file name.
    """
    makers: dict[str, Callable[[], str]] = {
        "cloudflare-pages/_headers": _cloudflarePages,
        "netlify/netlify.toml": _netlify,
        "vercel/vercel.json": _vercel,
        "nginx/aero-headers.conf": _nginx,
        "caddy/aero-headers.caddy": _caddy,
    }
    return {name: make() for name, make in makers.items()}


def _pairs() -> Iterable[tuple[str, str]]:
    for name, value in ResponseHeaders.edge(0, PLACEHOLDER).pairs:
        # HSTS is the decision of whoever terminates TLS, and hard to take back.
        if name != b"Strict-Transport-Security":
            yield name.decode("ascii"), value.decode("ascii")


def _comment(mark: str) -> str:
    return "".join(f"{mark} {line}\n" for line in _NOTE)


def _cloudflarePages() -> str:
    """
    Cloudflare Pages adds up the headers of all rules that match, so only one names each.
    """
    lines = "".join(f"  {name}: {value}\n" for name, value in _pairs())
    return (
        _comment("#")
        + f"\n/*\n{lines}"
        + f"  Cache-Control: {_FRESH}\n"
        + f"\n/assets/*\n  ! Cache-Control\n  Cache-Control: {_KEPT}\n"
        + "\n/*.wasm\n  ! Content-Type\n  Content-Type: application/wasm\n"
    )


def _netlify() -> str:
    """
    With Netlify the last matching rule wins for each name.
    """
    parts = [_comment("#")]
    for path, pairs in (
        ("/*", [*_pairs(), ("Cache-Control", _FRESH)]),
        ("/assets/*", [("Cache-Control", _KEPT)]),
        ("/*.wasm", [("Content-Type", "application/wasm")]),
    ):
        values = "".join(f"    {name} = {json.dumps(value)}\n" for name, value in pairs)
        parts.append(f'\n[[headers]]\n  for = "{path}"\n  [headers.values]\n{values}')
    return "".join(parts)


def _vercel() -> str:
    """
    With Vercel the last matching rule wins too; JSON has no comments.
    """

    def rule(source: str, pairs: Iterable[tuple[str, str]]) -> dict[str, object]:
        return {
            "source": source,
            "headers": [{"key": name, "value": value} for name, value in pairs],
        }

    rules = [
        rule("/(.*)", [*_pairs(), ("Cache-Control", _FRESH)]),
        rule("/assets/(.*)", [("Cache-Control", _KEPT)]),
        rule("/(.*)\\.wasm", [("Content-Type", "application/wasm")]),
    ]
    return json.dumps({"headers": rules}, indent=2) + "\n"


def _nginx() -> str:
    """
    nginx forgets inherited headers in every block that adds one, so this is to be included in
    each such block.
    """
    lines = "".join(f'add_header {name} "{value}" always;\n' for name, value in _pairs())
    note = "# Include it in every server and location block that has an add_header of its own.\n"
    return _comment("#") + note + lines


def _caddy() -> str:
    """
    A snippet for C{import}; C{>} puts a header in place of what an upstream sent, at the end.
    """
    lines = "".join(f"\t\t>{name} `{value}`\n" for name, value in _pairs())
    return _comment("#") + "(aero_headers) {\n\theader {\n" + lines + "\t}\n}\n"
