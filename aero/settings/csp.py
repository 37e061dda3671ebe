# -*- test-case-name: aero.settings.test.test_csp -*-
"""
Settings of the Content-Security-Policy (edge.md section 4.2).
"""

from __future__ import annotations

from ._sources import hashes, sources
from ._table import group, setting

_HTTP = sources("http", "https")


@group
class CSPSettings:
    """
    Content-Security-Policy

    What pages may load, beyond what the policy allows anyway: the own origin and, where it makes
    sense, C{blob:}. Sources are separated by spaces, each a scheme and a host, such as
    C{https://cdn.example.com} or C{https://*.example.com:8443}. With cross-origin isolation the
    other site has to send C{Cross-Origin-Resource-Policy} or CORS headers as well.
    """

    scriptSources: tuple[str, ...] = setting(
        variable="AERO_CSP_SCRIPT_SRC_EXTRA",
        option="csp-script-src-extra",
        default=(),
        parse=_HTTP,
        help="More sources for script-src: scripts, modules and audio worklets of other sites.",
    )
    scriptHashes: tuple[str, ...] = setting(
        variable="AERO_CSP_SCRIPT_HASHES",
        option="csp-script-hashes",
        default=(),
        parse=hashes,
        help="The hashes of inline scripts that may run, such as sha256-..., separated by spaces. No other inline script"
        " runs.",
    )
    workerSources: tuple[str, ...] = setting(
        variable="AERO_CSP_WORKER_SRC_EXTRA",
        option="csp-worker-src-extra",
        default=(),
        parse=_HTTP,
        help="More sources for worker-src.",
    )
    connectSources: tuple[str, ...] = setting(
        variable="AERO_CSP_CONNECT_SRC_EXTRA",
        option="csp-connect-src-extra",
        default=(),
        parse=sources("http", "https", "ws", "wss"),
        help="More sources for connect-src: what pages may fetch from and open WebSockets to.",
    )
    imageSources: tuple[str, ...] = setting(
        variable="AERO_CSP_IMG_SRC_EXTRA",
        option="csp-img-src-extra",
        default=(),
        parse=_HTTP,
        help="More sources for img-src.",
    )
    mediaSources: tuple[str, ...] = setting(
        variable="AERO_CSP_MEDIA_SRC_EXTRA",
        option="csp-media-src-extra",
        default=(),
        parse=_HTTP,
        help="More sources for media-src: audio and video.",
    )
    styleSources: tuple[str, ...] = setting(
        variable="AERO_CSP_STYLE_SRC_EXTRA",
        option="csp-style-src-extra",
        default=(),
        parse=_HTTP,
        help="More sources for style-src.",
    )
    styleHashes: tuple[str, ...] = setting(
        variable="AERO_CSP_STYLE_HASHES",
        option="csp-style-hashes",
        default=(),
        parse=hashes,
        help="The hashes of inline style elements that apply, such as sha256-..., separated by spaces.",
    )
    fontSources: tuple[str, ...] = setting(
        variable="AERO_CSP_FONT_SRC_EXTRA",
        option="csp-font-src-extra",
        default=(),
        parse=_HTTP,
        help="More sources for font-src.",
    )
    frameSources: tuple[str, ...] = setting(
        variable="AERO_CSP_FRAME_SRC_EXTRA",
        option="csp-frame-src-extra",
        default=(),
        parse=_HTTP,
        help="Sources for frame-src. Without any, pages may not have frames.",
    )

    @property
    def extra(self) -> dict[str, tuple[str, ...]]:
        """
        The sources by directive.
        """
        return {
            "script-src": self.scriptSources + self.scriptHashes,
            "worker-src": self.workerSources,
            "connect-src": self.connectSources,
            "img-src": self.imageSources,
            "media-src": self.mediaSources,
            "style-src": self.styleSources + self.styleHashes,
            "font-src": self.fontSources,
            "frame-src": self.frameSources,
        }
