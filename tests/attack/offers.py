"""
WebRTC offers to which no peer ever comes.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter

from aiortc import RTCConfiguration, RTCPeerConnection

from tests.support.http import Connection

from .flood import Flood
from .site import Site

CANDIDATE = "1 1 udp 2130706431 127.0.0.1 9 typ host"


async def _offer() -> str:
    """
    The SDP of an offer with a data channel for datagrams and one candidate, at the discard port of
    loopback.
    """
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    peer.createDataChannel("udp", ordered=False, maxRetransmits=0)
    await peer.setLocalDescription(await peer.createOffer())
    lines = peer.localDescription.sdp.splitlines()
    await peer.close()
    kept = [line for line in lines if not line.startswith(("a=candidate:", "a=end-of-candidates"))]
    return "\r\n".join([*kept, f"a=candidate:{CANDIDATE}", "a=end-of-candidates", ""])


def offers(site: Site, deadline: float, tally: Counter[str]) -> None:
    """
    Offers one after another, each with a session of its own as long as there are sessions.
    """
    sdp = asyncio.run(_offer())
    body = json.dumps({"sdp": {"type": "offer", "sdp": sdp}}).encode()
    token = ""
    connection: Connection | None = None
    while time.monotonic() < deadline:
        try:
            token = site.session()[1]
        except (OSError, AssertionError) as why:
            tally[f"/session: {why}" if "status" in str(why) else "refused"] += 1
        headers = (
            ("Authorization", f"Bearer {token}"),
            ("Content-Type", "application/json"),
            ("Origin", f"https://{site.host}"),
        )
        try:
            connection = connection or site.connection()
            response = connection.request(
                "POST", "/webrtc/offer", *headers, body=body, host=site.host
            )
            tally[f"status {response.status}"] += 1
        except (OSError, AssertionError):
            tally["refused"] += 1
            connection = None
            time.sleep(0.05)


FLOODS = (Flood("rtc-offers", "/webrtc/offer: offers without a peer", offers),)
