"""
HTTP/1.1 and HTTP/2: connection, request, router, gates, and the one place that writes the header
set.

In: bytes of a connection (L{aero.http.connection.AeroConnection}), limits of
L{aero.settings.http}. Out: an L{AeroRequest<aero.http.request.AeroRequest>} for a resource, or an
upgrade for a WebSocket endpoint. The room does not know which resources or endpoints there are:
C{web}, C{files}, C{ws} and C{rtc} use it, and L{aero.app.Aero} registers them with the router.
"""
