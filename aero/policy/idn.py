# -*- test-case-name: aero.policy.test.test_idn -*-
"""
Internationalised names by UTS #46, non-transitional, without the hyphen rules.

C{idna.encode} applies IDNA 2008, which refuses names that resolve every day
(C{r3---sn-x.googlevideo.com}) and that browsers accept (emoji). This is the processing of
UTS #46 section 4 with the options of the URL standard, on the tables of C{idna}. Unlike
there the length rules of DNS are the caller's.
"""

from __future__ import annotations

import unicodedata

import idna

#: A label this long cannot be part of a name, whatever it decodes to; the bound keeps the
#: quadratic Punycode decoder away from text that strangers chose.
_MAX_LABEL = 255

_PREFIX = "xn--"


def toASCII(name: str) -> str:
    """
    Map a name to lower-case ASCII labels.

    @raise ValueError: It is not a valid name by UTS #46.
    """
    if name.isascii():
        mapped = name.lower()
        if _PREFIX not in mapped:
            return mapped
    else:
        mapped = idna.uts46_remap(name, std3_rules=False)
    unicode = [_unicodeLabel(label) for label in mapped.split(".")]
    if any(unicodedata.bidirectional(char) in ("R", "AL", "AN") for char in "".join(unicode)):
        for label in unicode:
            if label:
                idna.check_bidi(label, check_ltr=True)
    return ".".join(map(_asciiLabel, unicode))


def _unicodeLabel(label: str) -> str:
    """
    Decode and validate one mapped label (UTS #46 section 4.1).
    """
    if len(label) > _MAX_LABEL:
        raise ValueError("label too long")
    if label.startswith(_PREFIX):
        if not label.isascii():
            raise ValueError("a label cannot be encoded twice")
        decoded = label[4:].encode("ascii").decode("punycode")
        if decoded.isascii() or _asciiLabel(decoded) != label:
            raise ValueError("not the encoding of any label")
        if idna.uts46_remap(decoded, std3_rules=False) != decoded:
            raise ValueError("an encoded label contains what mapping removes")
        if "." in decoded:
            raise ValueError("an encoded label contains a dot")
        label = decoded
    if not label.isascii():
        if unicodedata.category(label[0])[0] == "M":
            raise ValueError("a label begins with a combining mark")
        for position, char in enumerate(label):
            if char in "\u200c\u200d" and not idna.valid_contextj(label, position):
                raise ValueError("a joiner stands where it joins nothing")
    return label


def _asciiLabel(label: str) -> str:
    return label if label.isascii() else _PREFIX + label.encode("punycode").decode("ascii")
