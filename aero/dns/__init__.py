"""
The resolver: cache, single flight, upstreams over UDP, TCP and HTTPS.

In: a checked DNS query as bytes. Out: the answer as bytes, or
L{ExchangeFailed<aero.dns.exchange.ExchangeFailed>}. C{/dns-query} and the DNS server of every LAN
share one L{engine<aero.dns.engine.DNSEngine>}. The room knows nothing of requests, guests or
cookies.
"""
