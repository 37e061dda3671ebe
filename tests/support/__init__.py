"""
What the end-to-end tests stand on: the server as a subprocess, plain-socket clients, tools.
"""
