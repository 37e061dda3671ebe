# -*- test-case-name: aero.policy.test.test_dnspolicy -*-
"""
Which questions are answered at all (gateway.md section 14.5).

The decision is about a wire name, because that is what an upstream would see: a name whose
one label contains dots is not a reverse name, whatever it looks like as text.
"""

from __future__ import annotations

import ipaddress
from typing import Final

_PTR: Final = 12
_ANY: Final = 255

#: Types that name no data: a signature or key exchange between two servers, a transfer of a
#: zone, and the obsolete mail groups (RFC 5936, RFC 6895 section 3.1). OPT is no question.
_NOT_QUESTIONS: Final = frozenset({0, 41, 249, 250, 251, 252, 253, 254})

_IPV4_END: Final = b"\7in-addr\4arpa\0"
_IPV6_END: Final = b"\3ip6\4arpa\0"

_PRIVATE_V4: Final = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
    )
)
_PRIVATE_V6: Final = tuple(
    ipaddress.IPv6Network(network) for network in ("::/128", "::1/128", "fc00::/7", "fe80::/10")
)
_MAPPED_V4: Final = ipaddress.IPv6Network("::ffff:0:0/96")


class DNSPolicy:
    """
    The operator's choice of questions.
    """

    def __init__(self, *, allowAny: bool = False, allowPrivatePTR: bool = False) -> None:
        """
        @param allowAny: Answer ANY, which some servers answer with all they have.
        @param allowPrivatePTR: Answer reverse names of private addresses, which tell about
            the network that the server is in.
        """
        self._allowAny = allowAny
        self._allowPrivatePTR = allowPrivatePTR

    def refusal(self, name: bytes, qtype: int) -> str | None:
        """
        Why a question is not answered.

        @param name: The wire name, in any spelling.
        @return: A stable word for metrics, or C{None} where it is answered.
        """
        if qtype == _ANY:
            return None if self._allowAny else "any"
        if qtype == _PTR:
            return "ptr" if not self._allowPrivatePTR and isPrivateReverse(name) else None
        return "type" if qtype in _NOT_QUESTIONS else None


def isPrivateReverse(name: bytes) -> bool:
    """
    Whether a wire name is the whole reverse name of an address that is not public. Partial
    ones are not.
    """
    folded = name.lower()
    if folded.endswith(_IPV4_END):
        labels = _labels(folded[: -len(_IPV4_END)])
        return labels is not None and _isPrivateV4(labels)
    if folded.endswith(_IPV6_END):
        labels = _labels(folded[: -len(_IPV6_END)])
        return labels is not None and _isPrivateV6(labels)
    return False


def _isPrivateV4(labels: list[bytes]) -> bool:
    if len(labels) != 4 or not all(_isOctet(label) for label in labels):
        return False
    address = ipaddress.IPv4Address(bytes(int(label) for label in reversed(labels)))
    return any(address in network for network in _PRIVATE_V4)


def _isPrivateV6(labels: list[bytes]) -> bool:
    digits = b"".join(reversed(labels))
    if len(labels) != 32 or len(digits) != 32 or any(d not in b"0123456789abcdef" for d in digits):
        return False
    address = ipaddress.IPv6Address(int(digits, 16))
    if address in _MAPPED_V4:
        embedded = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return any(embedded in network for network in _PRIVATE_V4)
    return any(address in network for network in _PRIVATE_V6)


def _isOctet(label: bytes) -> bool:
    return 1 <= len(label) <= 3 and label.isdigit() and int(label) <= 255


def _labels(name: bytes) -> list[bytes] | None:
    """
    The labels of a wire name without its end; C{None} where the end cuts through a label.
    """
    found: list[bytes] = []
    offset = 0
    while offset < len(name):
        following = offset + 1 + name[offset]
        if following > len(name):
            return None
        found.append(name[offset + 1 : following])
        offset = following
    return found
