"""
TLS: contexts, the server's protocol, the internal CA, certificate files, ACME, the state
directory.

In: settings and, for ACME, a public CA. Out: an L{aero.tls.contexts.ServerTLS} whose certificate
may change while connections are open.
"""
