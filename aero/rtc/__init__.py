"""
WebRTC carriers: peers, ICE, DTLS and data channels. The only room that imports aiortc.

In: offers and candidates. Out: messages of the data channels C{udp} and C{l2} for the C{tunnel}
room. No asyncio future leaves the room.
"""
