"""
The resolver: cache, single flight, upstreams. It knows nothing of HTTP.
"""
