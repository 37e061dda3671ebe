# -*- test-case-name: aero.settings.test.test_load -*-
"""
From options and environment to L{Settings}.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Iterator, Mapping

from aero.errors import ConfigurationError

from ._table import Row, rowsOf
from .acme import ACMESettings
from .csp import CSPSettings
from .delivery import DeliverySettings
from .dns import DNSSettings
from .fleet import FleetSettings
from .http import HTTPSettings, StaticSettings
from .images import ImageSettings
from .l2 import L2Settings
from .lan import LANSettings
from .lanegress import LANEgressSettings
from .own import OwnAddressSettings
from .relay import RelaySettings
from .server import ServerSettings
from .session import SessionSettings
from .shares import ShareSettings
from .signal import SignalSettings
from .tcp import EgressSettings, TCPSettings
from .tls import TLSSettings
from .udp import UDPSettings
from .webrtc import BridgeSettings, WebRTCSettings


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    Every setting of the process, one attribute for each group.

    C{Settings()} holds the defaults of an internal name, which is what tests want.

    @ivar notices: Sentences for the operator about what was said and is not followed.
    """

    server: ServerSettings = dataclasses.field(default_factory=ServerSettings)
    tls: TLSSettings = dataclasses.field(default_factory=TLSSettings)
    acme: ACMESettings = dataclasses.field(default_factory=ACMESettings)
    http: HTTPSettings = dataclasses.field(default_factory=HTTPSettings)
    csp: CSPSettings = dataclasses.field(default_factory=CSPSettings)
    static: StaticSettings = dataclasses.field(default_factory=StaticSettings)
    images: ImageSettings = dataclasses.field(default_factory=ImageSettings)
    session: SessionSettings = dataclasses.field(default_factory=SessionSettings)
    shares: ShareSettings = dataclasses.field(default_factory=ShareSettings)
    egress: EgressSettings = dataclasses.field(default_factory=EgressSettings)
    own: OwnAddressSettings = dataclasses.field(default_factory=OwnAddressSettings)
    tcp: TCPSettings = dataclasses.field(default_factory=TCPSettings)
    delivery: DeliverySettings = dataclasses.field(default_factory=DeliverySettings)
    dns: DNSSettings = dataclasses.field(default_factory=DNSSettings)
    l2: L2Settings = dataclasses.field(default_factory=L2Settings)
    lan: LANSettings = dataclasses.field(default_factory=LANSettings)
    lanEgress: LANEgressSettings = dataclasses.field(default_factory=LANEgressSettings)
    relay: RelaySettings = dataclasses.field(default_factory=RelaySettings)
    signal: SignalSettings = dataclasses.field(default_factory=SignalSettings)
    udp: UDPSettings = dataclasses.field(default_factory=UDPSettings)
    webrtc: WebRTCSettings = dataclasses.field(default_factory=WebRTCSettings)
    bridge: BridgeSettings = dataclasses.field(default_factory=BridgeSettings)
    fleet: FleetSettings = dataclasses.field(default_factory=FleetSettings)
    notices: tuple[str, ...] = ()


#: The groups in the order they are loaded and documented, by attribute of L{Settings}.
GROUPS: dict[str, type[Any]] = {
    "server": ServerSettings,
    "tls": TLSSettings,
    "acme": ACMESettings,
    "http": HTTPSettings,
    "csp": CSPSettings,
    "static": StaticSettings,
    "images": ImageSettings,
    "session": SessionSettings,
    "shares": ShareSettings,
    "egress": EgressSettings,
    "own": OwnAddressSettings,
    "tcp": TCPSettings,
    "delivery": DeliverySettings,
    "dns": DNSSettings,
    "l2": L2Settings,
    "lan": LANSettings,
    "lanEgress": LANEgressSettings,
    "relay": RelaySettings,
    "signal": SignalSettings,
    "udp": UDPSettings,
    "webrtc": WebRTCSettings,
    "bridge": BridgeSettings,
    "fleet": FleetSettings,
}


def load(options: Mapping[str, str], environ: Mapping[str, str]) -> Settings:
    """
    Build the settings: option, then environment, then default.

    @param options: Values of command line options by long name, only those given.
    @param environ: The environment. It is passed in, never read here.
    @raise ConfigurationError: A value is not accepted.
    """
    seen: dict[str, Any] = {}
    notices: list[str] = []
    groups: dict[str, Any] = {}
    for attribute, cls in GROUPS.items():
        values: dict[str, Any] = {}
        for row in rowsOf(cls):
            values[row.field] = seen[row.field] = _value(row, options, environ, seen)
            notices.extend(_contradictions(row, environ))
        groups[attribute] = cls(**values)
    return Settings(**groups, notices=tuple(notices))


def variables() -> Iterator[str]:
    """
    The names of all environment variables, older ones included.
    """
    for cls in GROUPS.values():
        for row in rowsOf(cls):
            yield from (row.variable, *row.aliases)


def _value(
    row: Row, options: Mapping[str, str], environ: Mapping[str, str], seen: Mapping[str, Any]
) -> Any:
    if row.option and row.option in options:
        return _parsed(row, f"--{row.option}", options[row.option])
    for variable in (row.variable, *row.aliases):
        text = environ.get(variable)
        if text is None or row.isUnset(text):
            continue
        return _parsed(row, variable, text)
    return row.default if row.derive is None else row.derive(seen)


def _contradictions(row: Row, environ: Mapping[str, str]) -> Iterator[str]:
    """
    The names of one setting that say something else than the one that counts.
    """
    names = [
        name
        for name in (row.variable, *row.aliases)
        if environ.get(name, "").strip() and not row.isUnset(environ[name])
    ]
    for name in names[1:]:
        if environ[name].strip() != environ[names[0]].strip():
            yield f"{name} is ignored, because {names[0]} is set and says something else"


def _parsed(row: Row, name: str, text: str) -> Any:
    try:
        return row.parse(text)
    except ValueError as error:
        raise ConfigurationError(name, None if row.secret else text, str(error)) from None
