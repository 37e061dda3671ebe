"""
A guest's network in Twisted's terms: listeners, connections and services around one stack.

In: Ethernet frames of one tunnel, through L{aero.lan.driver}. Out: frames for the guest, and
through C{lan.nat} the connections, datagrams and pings that the egress policy permits. A user of
aero adds servers to the LAN with L{LAN.listenTCP<aero.lan.lan.LAN.listenTCP>} and replaces parts
in L{aero.lan.factory.LANFactory}. The C{tunnel} room makes LANs; nothing above it does.
"""
