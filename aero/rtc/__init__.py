"""
WebRTC: peers, their data channels, ICE. The only part that knows aiortc, and no future leaves it.
"""
