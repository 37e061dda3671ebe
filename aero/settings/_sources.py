# -*- test-case-name: aero.settings.test.test_csp -*-
"""
The extra sources of the Content-Security-Policy (edge.md section 4.2).
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Callable

#: A host source of CSP 3 section 2.3.1 behind its scheme: no path, no quotes, nothing that
#: could end the directive.
_HOST = re.compile(
    r"(?:\*\.)?(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)"
    r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*(?::(?:[0-9]{1,5}|\*))?"
    r"|\[[0-9A-Fa-f:.]+\](?::(?:[0-9]{1,5}|\*))?"
)
_HASH = re.compile(r"sha(256|384|512)-([A-Za-z0-9+/_-]+={0,2})")


def sources(*schemes: str) -> Callable[[str], tuple[str, ...]]:
    """
    Make a parser of sources separated by spaces, each one of some schemes and a host.
    """
    example = f"{schemes[-1]}://*.example.com"

    def parse(value: str) -> tuple[str, ...]:
        found = tuple(source for source in value.split(" ") if source)
        for source in found:
            scheme, mark, host = source.partition("://")
            if not mark or scheme not in schemes or not _HOST.fullmatch(host):
                raise ValueError(
                    f"expected sources such as https://api.example.com or {example}, separated by"
                    f" spaces; {source!r} is not one"
                )
        return found

    return parse


def hashes(value: str) -> tuple[str, ...]:
    """
    Read hashes of inline scripts or styles, with or without the quotes of the header; give them
    with quotes.
    """
    return tuple(_quoted(each) for each in value.split(" ") if each)


def _quoted(text: str) -> str:
    bare = text[1:-1] if len(text) > 2 and text[0] == text[-1] == "'" else text
    found = _HASH.fullmatch(bare)
    if found is not None:
        try:
            digest = base64.b64decode(found[2].replace("-", "+").replace("_", "/"), validate=True)
        except binascii.Error:
            digest = b""
        if len(digest) * 8 == int(found[1]):
            return f"'{bare}'"
    raise ValueError(
        "expected hashes such as sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=, separated by"
        f" spaces; {text!r} is not one"
    )
