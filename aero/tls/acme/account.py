# -*- test-case-name: aero.tls.acme.test.test_keeper -*-
"""
An account with a certificate authority.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec


@dataclass(frozen=True, slots=True)
class Account:
    """
    What an authority knows us by.

    @ivar key: The key that signs every request.
    @ivar url: Where the account is; empty before there is one.
    @ivar email: Where the authority may write to; empty for nowhere.
    @ivar changed: Whether the address is another one than the authority knows.
    @ivar externalID: Names an account elsewhere that this one belongs to, for authorities that
        want that (RFC 8555 section 7.3.4).
    @ivar externalKey: The secret of that account, in base64url.
    """

    key: ec.EllipticCurvePrivateKey = field(repr=False)
    url: str = ""
    email: str = ""
    changed: bool = False
    externalID: str = ""
    externalKey: str = field(default="", repr=False)
