"""
Resources: sessions, relay tokens, DNS over HTTPS, WebRTC offers, health, metrics.

In: an L{AeroRequest<aero.http.request.AeroRequest>} that passed the gates. Out: one reply. Each
resource takes the parts that it needs as arguments; C{services} builds them.
"""
