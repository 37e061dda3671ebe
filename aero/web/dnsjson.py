# -*- test-case-name: aero.web.test.test_dnsjson -*-
"""
DNS as JSON at C{/dns-json} (gateway.md section 14.2), for pages that parse no DNS messages.
"""

from __future__ import annotations

import re
from typing import Any, Final

from aero.dns.engine import Answer
from aero.errors import DecodeError, Refused
from aero.http.endpoint import Rendered
from aero.http.replies import replyJSON
from aero.http.request import AeroRequest
from aero.policy.numeric import ipv4Text, ipv6Text
from aero.wire.dns import (
    AAAA,
    AD,
    CD,
    CNAME,
    HEADER_SIZE,
    IN,
    RA,
    RCODE,
    RD,
    TC,
    A,
    encodeName,
    identify,
    nameText,
)
from aero.wire.dnsanswer import Record, addressRecords
from aero.wire.dnsquery import Query

from .dnslimit import ResolvingEndpoint

TYPE: Final = b"application/dns-json; charset=utf-8"

_TYPES: Final = {"A": A, "AAAA": AAAA, "CNAME": CNAME}
_NUMBER: Final = re.compile(r"0{0,64}(1|5|28)")
_FLAGS: Final = (("TC", TC), ("RD", RD), ("RA", RA), ("AD", AD), ("CD", CD))


class DNSJSONEndpoint(ResolvingEndpoint):
    """
    C{GET /dns-json?name=...&type=...}.
    """

    def render_GET(self, request: AeroRequest) -> Rendered:
        """
        Answer with the addresses and aliases of a name.

        @raise Refused: Any of rows 1 to 6 of section 14.2.
        """
        wait = self.admission.admit(request)
        if wait:
            raise Refused(
                429, "too_many_requests", "Rate limit exceeded", reason="rate", retryAfter=wait
            )
        name = normalizeName(_parameter(request, "name") or "")
        if not name:
            raise _bad("Missing 'name' query parameter")
        text = _parameter(request, "type")
        if not text:
            raise _bad("Missing 'type' query parameter")
        qtype = parseType(text)
        try:
            wireName = encodeName([part.encode("utf-8") for part in name.split(".") if part])
        except (DecodeError, UnicodeEncodeError):
            raise _bad("Invalid DNS name") from None
        if HEADER_SIZE + len(wireName) + 4 > self.maxQueryBytes:
            raise Refused(413, "payload_too_large", "DNS query too large")
        answer = self.engine.query(Query(0, RD, wireName, qtype, IN))
        return answer.addCallback(lambda answer: _replyAnswer(request, answer, name, qtype))


def normalizeName(text: str) -> str:
    """
    A name as it is asked and shown: trimmed, without final dots, in lower case.
    """
    return text.strip().rstrip(".").lower()


def parseType(text: str) -> int:
    """
    Read A, AAAA or CNAME, by name or number.

    @raise Refused: 400, it is none of them.
    """
    trimmed = text.strip()
    number = _NUMBER.fullmatch(trimmed)
    if number is not None:
        return int(number[1])
    qtype = _TYPES.get(trimmed.upper())
    if qtype is None:
        raise _bad("Invalid DNS record type")
    return qtype


def answerValue(message: bytes, name: str, qtype: int) -> dict[str, Any]:
    """
    The JSON for an answer.

    @param name: The name that was asked for, as it is shown.
    @raise DecodeError: A record of the answer is malformed.
    """
    flags = identify(message)[1]
    value: dict[str, Any] = {"Status": flags & RCODE}
    value.update((key, bool(flags & mask)) for key, mask in _FLAGS)
    value["Question"] = [{"name": name, "type": qtype}]
    records = addressRecords(message)
    if records:
        value["Answer"] = [_recordValue(record) for record in records]
    return value


def _recordValue(record: Record) -> dict[str, Any]:
    if record.rtype == A:
        data = ipv4Text(int.from_bytes(record.data, "big"))
    elif record.rtype == AAAA:
        data = ipv6Text(int.from_bytes(record.data, "big"))
    else:
        data = nameText(record.data)
    return {"name": nameText(record.name), "type": record.rtype, "TTL": record.ttl, "data": data}


def _replyAnswer(request: AeroRequest, answer: Answer, name: str, qtype: int) -> int:
    if answer.source == "policy":
        raise Refused(403, "forbidden", "DNS query refused by policy")
    if answer.source == "error":
        raise _unresolved()
    try:
        value = answerValue(answer.message, name, qtype)
    except DecodeError:
        raise _unresolved() from None
    headers = [(b"Cache-Control", b"no-store")]
    return replyJSON(request, 200, value, headers=headers, contentType=TYPE)


def _parameter(request: AeroRequest, name: str) -> str | None:
    """
    A query parameter that may be there once.

    @raise Refused: 400, it is repeated or not UTF-8.
    """
    values = request.args.get(name.encode("ascii"), [])
    if len(values) > 1:
        raise _bad(f"Repeated '{name}' query parameter")
    if not values:
        return None
    try:
        return values[0].decode("utf-8")
    except UnicodeDecodeError:
        raise _bad(f"Invalid '{name}' query parameter") from None


def _bad(message: str) -> Refused:
    return Refused(400, "bad_request", message)


def _unresolved() -> Refused:
    return Refused(502, "bad_gateway", "DNS resolution failed")
