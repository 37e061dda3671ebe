# -*- test-case-name: aero.auth.test.test_base64url -*-
"""
Base64 with the URL alphabet and without padding (RFC 4648 section 5), read strictly.

Python's own decoder skips characters it does not know, so that many texts give the same
bytes. A token has to have one spelling: what is compared, logged or revoked is the text.
"""

from __future__ import annotations

import base64
import binascii
import re

from aero.errors import DecodeError

_ALPHABET = re.compile(r"[A-Za-z0-9_-]*")

_TO_STANDARD = bytes.maketrans(b"-_", b"+/")

_INDEX = {
    char: index
    for index, char in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
}

#: By length modulo 4, the bits of the last character that stand for nothing.
_UNUSED_BITS = {0: 0, 2: 0b1111, 3: 0b0011}


def encode(data: bytes) -> str:
    """
    Encode bytes.
    """
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def encodedLength(octets: int) -> int:
    """
    The characters that a number of bytes takes.
    """
    return (max(octets, 0) * 4 + 2) // 3


def decode(text: str, *, canonical: bool = True) -> bytes:
    """
    Decode text.

    @param canonical: Whether bits that stand for nothing have to be zero.
    @raise DecodeError: There is another character, the length is impossible, or the text is
        not the one that L{encode} gives.
    """
    if not _ALPHABET.fullmatch(text):
        raise DecodeError("expected base64url without padding")
    unused = _UNUSED_BITS.get(len(text) % 4)
    if unused is None:
        raise DecodeError("no bytes have a base64url text of this length")
    if canonical and unused and _INDEX[text[-1]] & unused:
        raise DecodeError("expected the canonical base64url text")
    standard = text.encode("ascii").translate(_TO_STANDARD)
    return binascii.a2b_base64(standard + b"=" * (-len(text) % 4))


def decodePrefix(text: str, octets: int) -> bytes:
    """
    Decode as many of the first bytes as a text that may be broken, or far too long, gives.

    @param octets: The most bytes wanted.
    """
    found = _ALPHABET.match(text[: encodedLength(octets)])
    usable = found[0] if found else ""
    if len(usable) % 4 == 1:
        usable = usable[:-1]
    return decode(usable, canonical=False)[:octets]
