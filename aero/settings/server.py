"""
Settings of the process: its name, what it runs, where it listens, how it logs and stops.
"""

from __future__ import annotations

from typing import Any, Mapping

from ._goparsers import choiceIgnoringCase
from ._names import domainName, isInternalName
from ._parsers import IPNetwork, choice, flag, integer, listOf, milliseconds, network, text
from ._table import group, setting

#: Every service this release can run, in the order they are listed to the operator.
SERVICES = ("edge", "gateway", "l2", "relay")


_LEVEL = choice("fatal", "error", "warn", "info", "debug", "trace", "silent")


def _services(value: str) -> tuple[str, ...]:
    names = listOf(choice(*SERVICES), "a service")(value)
    if not names:
        raise ValueError("expected at least one of " + ", ".join(SERVICES))
    return tuple(name for name in SERVICES if name in names)


def _address(value: str) -> str:
    try:
        return str(network(value).network_address) if "/" not in value else _noNetwork()
    except ValueError:
        raise ValueError("expected an IP address such as 127.0.0.1 or ::1") from None


def _noNetwork() -> str:
    raise ValueError


def _bind(value: str) -> tuple[str, ...]:
    addresses = listOf(_address, "an address")(value)
    if not addresses:
        raise ValueError("expected one or more IP addresses, separated by commas")
    return addresses


def _edgeTLS(values: Mapping[str, Any]) -> bool:
    return "edge" in values["services"] and values["tlsMode"] != "off"


def _defaultBind(values: Mapping[str, Any]) -> tuple[str, ...]:
    if "edge" in values["services"] and isInternalName(values["domain"]):
        return ("127.0.0.1", "::1")
    return ("0.0.0.0", "::")  # noqa: S104 (a public server)


def _defaultPort(internal: int, public: int) -> Any:
    def derive(values: Mapping[str, Any]) -> int:
        if not _edgeTLS(values):
            return 0
        return internal if isInternalName(values["domain"]) else public

    return derive


def _defaultTLSMode(values: Mapping[str, Any]) -> str:
    """
    Without the edge a service is the HTTP server it is in the reference deployment.
    """
    if values["tlsEnabled"]:
        return "files"
    return "auto" if "edge" in values["services"] else "off"


def _relayMode(values: Mapping[str, Any]) -> str:
    public = "edge" in values["services"] and not isInternalName(values["domain"])
    return "prod" if public else "dev"


def _logFormat(values: Mapping[str, Any]) -> str:
    alone = values["services"] == ("relay",)
    return "json" if alone and values["relayMode"] == "prod" else "text"


def _logLevel(value: str) -> str:
    word = value.strip().lower()
    return "warn" if word == "warning" else _LEVEL(word)


@group
class ServerSettings:
    """
    The server

    What the process is called, what it runs, where it listens and how it stops.
    """

    domain: str = setting(
        variable="AERO_DOMAIN",
        option="domain",
        default="localhost",
        parse=domainName,
        help="The host name that browsers use. It names the certificate, the accepted Host and the public origin.",
    )
    services: tuple[str, ...] = setting(
        variable="AERO_SERVICES",
        option="services",
        default=SERVICES,
        parse=_services,
        help="The services to run, separated by commas. One name alone (gateway) gives that service over plain HTTP.",
    )
    tlsEnabled: bool = setting(
        variable="TLS_ENABLED",
        default=False,
        parse=flag,
        help="1 asks for certificate files, as --tls files does (the reference gateway's switch).",
    )
    tlsMode: str = setting(
        variable="AERO_TLS_MODE",
        option="tls",
        default="auto",
        derive=_defaultTLSMode,
        parse=choice("auto", "internal", "acme", "files", "off"),
        shown="auto with the edge, off without",
        help="Where certificates come from: internal (a private CA), acme (a public CA), files (--tls-cert and"
        " --tls-key), off (plain HTTP on --port, behind a proxy), or auto (files where they are given, else internal for"
        " internal names and acme for public ones).",
    )
    bind: tuple[str, ...] = setting(
        variable="HOST",
        option="bind",
        default=("127.0.0.1", "::1"),
        derive=_defaultBind,
        parse=_bind,
        shown="loopback for internal names, all addresses otherwise",
        help="The addresses to listen on, separated by commas.",
    )
    httpsPort: int = setting(
        variable="AERO_HTTPS_PORT",
        option="https-port",
        default=8443,
        derive=_defaultPort(8443, 443),
        parse=integer(0, 65_535),
        shown="443 on a public domain, 8443 for internal names",
        help="The TLS port of the edge; 0 switches it off.",
    )
    httpPort: int = setting(
        variable="AERO_HTTP_PORT",
        option="http-port",
        default=8080,
        derive=_defaultPort(8080, 80),
        parse=integer(0, 65_535),
        shown="80 on a public domain, 8080 for internal names",
        help="The port that redirects plain HTTP to the edge; 0 switches it off.",
    )
    port: int = setting(
        variable="PORT",
        option="port",
        default=8080,
        parse=integer(1, 65_535),
        help="The port of the one listener when TLS is off or the edge is not among the services.",
    )
    stateDir: str = setting(
        variable="AERO_STATE_DIR",
        option="state-dir",
        default="",
        parse=text,
        shown="$XDG_STATE_HOME/aero, or ~/.local/state/aero",
        help="The directory for the CA, certificates and secrets; created with mode 0700.",
    )
    siteServices: tuple[str, ...] = setting(
        variable="AERO_SITE_SERVICES",
        option="site-services",
        default=SERVICES,
        derive=lambda values: values["services"],
        parse=_services,
        shown="those of this process",
        help="The services of the whole site, as pages are told, where other processes run some of them.",
    )
    workers: int = setting(
        variable="AERO_WORKERS",
        option="workers",
        default=1,
        parse=integer(1, 256),
        help="The processes that share the listening sockets; with more than one, a supervisor looks after them.",
    )
    app: str = setting(
        variable="AERO_APP",
        option="app",
        default="aero.app.Aero",
        parse=text,
        help="The dotted name of the composition root: aero.app.Aero or a subclass of yours.",
    )
    relayMode: str = setting(
        variable="AERO_WEBRTC_UDP_RELAY_MODE",
        option="relay-mode",
        default="dev",
        derive=_relayMode,
        parse=choiceIgnoringCase(
            {"dev": "dev", "development": "dev", "prod": "prod", "production": "prod"}
        ),
        shown="dev; prod on a public domain",
        help="The relay's mode: dev, or prod, which warns at start about settings that do not suit the public"
        " internet.",
    )
    logFormat: str = setting(
        variable="AERO_LOG_FORMAT",
        aliases=("AERO_WEBRTC_UDP_RELAY_LOG_FORMAT",),
        option="log-format",
        default="text",
        derive=_logFormat,
        parse=choice("text", "json"),
        shown="text; json for the relay alone in the mode prod",
        help="How log lines are written: text, or json with one object a line.",
    )
    logLevel: str = setting(
        variable="LOG_LEVEL",
        aliases=("AERO_WEBRTC_UDP_RELAY_LOG_LEVEL",),
        option="log-level",
        default="info",
        parse=_logLevel,
        help="The least important log lines to write.",
    )
    logFullAddresses: bool = setting(
        variable="AERO_LOG_FULL_ADDRESSES",
        option="log-full-addresses",
        default=False,
        parse=lambda value: value.strip() == "1",
        help="1 writes client addresses whole; otherwise only their network (/24, /48) is.",
    )
    shutdownGrace: float = setting(
        variable="SHUTDOWN_GRACE_MS",
        option="shutdown-grace-ms",
        default=10.0,
        parse=milliseconds(),
        shown="10000",
        help="Milliseconds that a stopping process gives its open connections.",
    )
    drainDelay: float = setting(
        variable="AERO_DRAIN_DELAY_MS",
        option="drain-delay-ms",
        default=0.0,
        parse=milliseconds(),
        shown="0",
        help="Milliseconds between /readyz turning 503 and the listeners closing, for a load balancer to notice.",
    )
    trustProxy: bool = setting(
        variable="TRUST_PROXY",
        option="trust-proxy",
        default=False,
        parse=flag,
        help="1 believes X-Forwarded-For and X-Forwarded-Proto. While this process terminates TLS itself that also"
        " needs AERO_TRUSTED_PROXIES.",
    )
    trustedProxies: tuple[IPNetwork, ...] = setting(
        variable="AERO_TRUSTED_PROXIES",
        option="trusted-proxies",
        default=(),
        parse=listOf(network, "a network"),
        help="The networks of the proxies in front, separated by commas. Forwarding headers from any other peer are"
        " ignored; the client is the right-most address that is not one of these.",
    )
    proxyProtocol: str = setting(
        variable="AERO_PROXY_PROTOCOL",
        option="proxy-protocol",
        default="off",
        parse=choice("off", "on", "require"),
        help="Whether connections from AERO_TRUSTED_PROXIES begin with a PROXY header (version 1 or 2), on every listener"
        " and before TLS: off, on, or require, with which nobody else may connect.",
    )
    version: str = setting(
        variable="AERO_GATEWAY_VERSION",
        default="",
        parse=text,
        shown="the version of aero",
        help="The version that GET /version tells.",
    )
    gitSha: str = setting(
        variable="AERO_GATEWAY_GIT_SHA",
        aliases=("GIT_SHA", "BUILD_COMMIT"),
        default="",
        parse=text,
        shown="the version",
        help="The commit that GET /version tells.",
    )
    builtAt: str = setting(
        variable="AERO_GATEWAY_BUILD_TIMESTAMP",
        aliases=("BUILD_TIMESTAMP", "BUILD_TIME"),
        default="",
        parse=text,
        help="The build time that GET /version tells.",
    )
