# -*- test-case-name: aero.smoke.test.test_checks -*-
"""
Checks of the page and its headers (edge.md section 15, assertions 2 to 10).
"""

from __future__ import annotations

import json
import re
from typing import Iterator

from aero.policy.headers import ISOLATION, NO_REFERRER, NO_SNIFF, PERMISSIONS

from .client import Response, Site
from .context import Context, check, excerpt, expect, expectStatus
from .report import Failed, Skipped

#: The headers with one right value.
CANONICAL = tuple(
    (name.decode("ascii"), value.decode("ascii"))
    for name, value in (*ISOLATION, NO_SNIFF, NO_REFERRER, PERMISSIONS)
)

#: What every policy has to say (edge.md section 4.2).
POLICY = ("connect-src 'self'", "script-src 'self' 'wasm-unsafe-eval'", "worker-src 'self' blob:")


def headerFaults(response: Response, secure: bool) -> Iterator[str]:
    """
    What is wrong with the headers of a response, in words.

    @param secure: Whether it came over TLS, which is where browsers heed HSTS.
    """
    for name, wanted in CANONICAL:
        values = response.all(name)
        if values != [wanted]:
            yield _fault(name, values, wanted)
    policies = response.all("content-security-policy")
    if len(policies) != 1:
        yield _fault("Content-Security-Policy", policies, "one policy")
    for part in POLICY if policies else ():
        if part not in " ".join(policies[0].split()):
            yield f"Content-Security-Policy has no {part}"
    if secure:
        values = response.all("strict-transport-security")
        if len(values) != 1 or not re.fullmatch(r"max-age=\d+(; .+)?", values[0]):
            yield _fault("Strict-Transport-Security", values, "max-age once")


def _fault(name: str, values: list[str], wanted: str) -> str:
    if not values:
        return f"{name} is missing"
    if len(values) > 1:
        return f"{name} is there {len(values)} times"
    return f"{name} is {values[0]!r}, expected {wanted!r}"


def expectHeaders(context: Context, response: Response) -> None:
    """
    @raise Failed: Cross-origin isolation or another promise is broken by this response.
    """
    faults = list(headerFaults(response, context.site.secure))
    if faults:
        raise Failed("; ".join(faults))


@check("/healthz says that the server is well")
def health(context: Context) -> str | None:
    response = context.site.request("GET", "/healthz")
    expectStatus(response, 200)
    try:
        well = json.loads(response.body).get("ok") is True
    except (ValueError, AttributeError):
        well = response.body.strip() == b"ok"
    if not well:
        raise Failed(f"the body is {excerpt(response)}")
    expectHeaders(context, response)
    return None


@check("/readyz says that the server is ready")
def ready(context: Context) -> str | None:
    response = context.site.request("GET", "/readyz")
    expectStatus(response, 200)
    expectHeaders(context, response)
    return None


@check("/version names a version")
def version(context: Context) -> str | None:
    response = context.site.request("GET", "/version")
    expectStatus(response, 200)
    found = json.loads(response.body)
    if set(found) != {"version", "gitSha", "builtAt"}:
        raise Failed(f"the keys are {sorted(found)}")
    return str(found["version"])


@check("the page is there, isolated and always fresh")
def page(context: Context) -> str | None:
    response = context.site.request("GET", "/")
    expectStatus(response, 200)
    expect(response.one("cache-control"), "no-cache", "Cache-Control")
    kind = (response.one("content-type") or "").partition(";")[0]
    expect(kind, "text/html", "Content-Type")
    expectHeaders(context, response)
    return None


@check("a path of the front end gets the page")
def fallback(context: Context) -> str | None:
    response = context.site.request("GET", "/smoke-check/a-route", {"Accept": "text/html"})
    expectStatus(response, 200)
    expectHeaders(context, response)
    return None


@check("a script that is not there is a 404, isolated, and not kept")
def missing(context: Context) -> str | None:
    response = context.site.request("GET", "/assets/smoke-check-not-there.js", {"Accept": "*/*"})
    expectStatus(response, 404)
    if "max-age=31536000" in " ".join(response.all("cache-control")):
        raise Failed("a missing file may be cached for a year")
    expectHeaders(context, response)
    return None


@check("assets are kept for a year, wasm has its type")
def asset(context: Context) -> str | None:
    if not context.asset:
        raise Skipped("no --asset was named")
    response = context.site.request("GET", context.asset)
    expectStatus(response, 200)
    expect(response.one("cache-control"), "public, max-age=31536000, immutable", "Cache-Control")
    if context.asset.endswith(".wasm"):
        expect(response.one("content-type"), "application/wasm", "Content-Type")
    expectHeaders(context, response)
    return context.asset


@check("large texts are compressed, ranges are not")
def compression(context: Context) -> str | None:
    whole = context.site.request("GET", "/", {"Accept-Encoding": "gzip"})
    expectStatus(whole, 200)
    part = context.site.request("GET", "/", {"Accept-Encoding": "gzip", "Range": "bytes=0-9"})
    if part.status == 206:
        expect(part.all("content-encoding"), [], "Content-Encoding of a range")
        expect(len(part.body), 10, "the length of bytes=0-9")
    encoding = whole.one("content-encoding")
    return f"{encoding or 'not compressed'}, ranges answered with {part.status}"


@check("a method that makes no sense is refused, isolated")
def refused(context: Context) -> str | None:
    response = context.site.request("DELETE", "/")
    expectStatus(response, 405)
    expectHeaders(context, response)
    return None


@check("plain HTTP is redirected to the site")
def redirect(context: Context) -> str | None:
    if not context.site.secure:
        raise Skipped("the site is plain HTTP")
    if context.redirectPort is None:
        raise Skipped("no --http-port was named")
    plain = Site(f"http://{context.site.host}:{context.redirectPort}")
    response = plain.request("GET", "/some/path?query=1")
    expectStatus(response, 301, 308)
    location = response.one("location") or ""
    if not location.startswith(f"https://{context.site.host}") or not location.endswith(
        "/some/path?query=1"
    ):
        raise Failed(f"Location is {location!r}")
    expect(response.all("strict-transport-security"), [], "HSTS over plain HTTP")
    return location
