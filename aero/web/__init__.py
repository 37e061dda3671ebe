"""
HTTP: the door, the router, the resources of the services, and the static files.
"""
