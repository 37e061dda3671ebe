# -*- test-case-name: aero.settings.test.test_share -*-
"""
The settings of one worker of several.
"""

from __future__ import annotations

import dataclasses

from aero.errors import ConfigurationError

from ._load import Settings


def shareOf(settings: Settings, number: int, count: int) -> Settings:
    """
    What one worker gets of what cannot be shared: its part of the UDP ports for WebRTC.

    @param number: Which worker, from 0.
    @param count: How many there are.
    @raise ConfigurationError: There are fewer ports than workers.
    """
    webrtc = settings.webrtc
    if not webrtc.portMin or count < 2:
        return settings
    size = (webrtc.portMax - webrtc.portMin + 1) // count
    if size < 1:
        raise ConfigurationError(
            "WEBRTC_UDP_PORT_MAX",
            str(webrtc.portMax),
            f"expected at least one port from WEBRTC_UDP_PORT_MIN={webrtc.portMin} for each of"
            f" {count} workers",
        )
    first = webrtc.portMin + number * size
    # The last one has what is left over.
    last = webrtc.portMax if number == count - 1 else first + size - 1
    share = dataclasses.replace(webrtc, portMin=first, portMax=last)
    return dataclasses.replace(settings, webrtc=share)
