"""
The services that one process can run, each with what it adds to the server.
"""
