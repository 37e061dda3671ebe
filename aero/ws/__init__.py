"""
WebSocket endpoints, on Autobahn.
"""
