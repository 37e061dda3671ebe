"""
The guest's LAN in Twisted's terms: listeners, connections and services around one stack.
"""
