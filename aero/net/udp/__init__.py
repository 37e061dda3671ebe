"""
Datagrams between guests and the network: the relay's UDP sessions and the sockets under them.
"""
