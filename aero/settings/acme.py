# -*- test-case-name: aero.settings.test.test_acme -*-
"""
Settings of certificates from a public CA by ACME.
"""

from __future__ import annotations

import re
from typing import Callable

from ._names import domainName, isInternalName
from ._parsers import choice, httpURL, integer, listOf, text
from ._table import group, setting

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
LETS_ENCRYPT_STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"

#: The words for directories that need not be written out.
DIRECTORIES = {"production": LETS_ENCRYPT, "staging": LETS_ENCRYPT_STAGING}

_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+={0,2}")


def _directory(value: str) -> str:
    word = value.strip().lower()
    if word in DIRECTORIES:
        return DIRECTORIES[word]
    try:
        return httpURL("https")(value)
    except ValueError as error:
        raise ValueError(f"{error}, or production or staging for Let's Encrypt") from None


def _publicName(value: str) -> str:
    name = domainName(value)
    if isInternalName(name):
        raise ValueError("expected a public host name such as www.example.com")
    return name


def _kinds(value: str) -> tuple[str, ...]:
    kinds = listOf(choice("http-01", "tls-alpn-01"), "a challenge")(value)
    if not kinds:
        raise ValueError("expected http-01, tls-alpn-01 or both")
    return tuple(dict.fromkeys(kinds))


def _matching(pattern: re.Pattern[str], what: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        stripped = value.strip()
        if len(stripped) > 1_024 or not pattern.fullmatch(stripped):
            raise ValueError(f"expected {what}")
        return stripped

    return parse


@group
class ACMESettings:
    """
    ACME

    Certificates from a public CA, which the server gets and renews by itself. Having an account
    there means agreeing to that CA's terms of service.
    """

    directory: str = setting(
        variable="AERO_ACME_DIRECTORY",
        option="acme-directory",
        default=LETS_ENCRYPT,
        parse=_directory,
        help="The directory of the CA: an https URL, or production or staging for Let's Encrypt.",
    )
    email: str = setting(
        variable="AERO_ACME_EMAIL",
        option="acme-email",
        default="",
        parse=_matching(_EMAIL, "one mail address"),
        help="Where the CA may write to about the account.",
    )
    names: tuple[str, ...] = setting(
        variable="AERO_ACME_NAMES",
        option="acme-names",
        default=(),
        parse=listOf(_publicName, "a name"),
        help="More names of the site, separated by commas; the certificate is for them too.",
    )
    kinds: tuple[str, ...] = setting(
        variable="AERO_ACME_CHALLENGES",
        option="acme-challenge",
        default=("http-01", "tls-alpn-01"),
        parse=_kinds,
        help="How to prove control over the names, the preferred way first: http-01 (port 80 has to reach --http-port),"
        " tls-alpn-01 (port 443 has to reach --https-port). After a failure the next one is tried.",
    )
    roots: str = setting(
        variable="AERO_ACME_CA_FILE",
        option="acme-ca-file",
        default="",
        parse=text,
        help="A PEM file of the roots to trust when talking to the CA itself, for a CA of your own.",
    )
    profile: str = setting(
        variable="AERO_ACME_PROFILE",
        option="acme-profile",
        default="",
        parse=_matching(re.compile(r"[\x21-\x7e]+"), "a word"),
        help="The kind of certificate, by the CA's name for it, such as Let's Encrypt's shortlived.",
    )
    retryAfter: float = setting(
        variable="AERO_ACME_RETRY_SECONDS",
        option="acme-retry",
        default=300,
        parse=integer(1, 86_400),
        help="Seconds to wait after a failure; the wait doubles each time, up to six hours, and is never shorter than"
        " the CA asks for.",
    )
    externalID: str = setting(
        variable="AERO_ACME_EAB_KID",
        default="",
        parse=_matching(re.compile(r"[\x21-\x7e]+"), "a word"),
        help="The key identifier of an account elsewhere that the CA wants the ACME account bound to.",
    )
    externalKey: str = setting(
        variable="AERO_ACME_EAB_HMAC_KEY",
        default="",
        parse=_matching(_BASE64URL, "a key in base64url"),
        secret=True,
        help="The HMAC key that belongs to AERO_ACME_EAB_KID, in base64url.",
    )
