"""
Network address translation: guests' TCP connections and datagrams on sockets of the host.
"""
