"""
Settings of TLS.
"""

from __future__ import annotations

from ._parsers import integer, text
from ._table import group, setting


@group
class TLSSettings:
    """
    TLS

    Certificates from files, and the sessions that clients may resume.
    """

    certPath: str = setting(
        variable="TLS_CERT_PATH",
        option="tls-cert",
        default="",
        parse=text,
        help="The PEM file of the certificate and its chain. It is read again on SIGHUP and when it changes.",
    )
    keyPath: str = setting(
        variable="TLS_KEY_PATH",
        option="tls-key",
        default="",
        parse=text,
        help="The PEM file of the certificate's private key.",
    )
    handshakeTimeout: float = setting(
        variable="AERO_TLS_HANDSHAKE_TIMEOUT_SECONDS",
        option="tls-handshake-timeout",
        default=10,
        parse=integer(1, 3600),
        help="Seconds that a client has for the TLS handshake.",
    )
    fileCheckInterval: float = setting(
        variable="AERO_TLS_FILE_CHECK_SECONDS",
        option="tls-file-check",
        default=60,
        parse=integer(1, 86_400),
        help="Seconds between two looks at whether the certificate files changed.",
    )
