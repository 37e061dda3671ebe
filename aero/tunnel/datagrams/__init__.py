"""
C{/udp} and the data channel C{udp}: sessions of the relay, and the engine that moves datagrams.
"""
