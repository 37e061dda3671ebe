"""
C{/tcp-mux}: many TCP streams in one tunnel, each an
L{ITransport<twisted.internet.interfaces.ITransport>}.
"""
