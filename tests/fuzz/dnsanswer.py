# -*- test-case-name: tests.test_fuzz -*-
"""
DNS answers of upstreams.
"""

from __future__ import annotations

import contextlib

from aero.errors import DecodeError
from aero.wire.dns import IN, RD
from aero.wire.dnsanswer import MAX_TTL, ScannedAnswer, addressRecords, answerFor, mismatch
from aero.wire.dnsanswer import scanAnswer as scan
from aero.wire.dnsguest import (
    HTTPS,
    SVCB,
    answersOnly,
    answerWith,
    leadingRecords,
    serviceHints,
    truncated,
    withTTLs,
)
from aero.wire.dnsquery import EDNS, Query

from .explore import main

_EDNS = EDNS(payloadSize=1232, version=0, dnssecOK=False, padding=True)


# Any bytes are an answer or a DecodeError. What is kept of an answer is one itself, with the
# same records; so is what a client is given, in a whole number of padding blocks.
def check(data: bytes) -> None:
    ident = int.from_bytes(data[:2], "big")
    mismatch(data, ident, data[12:40])
    with contextlib.suppress(DecodeError):
        addressRecords(data)
    with contextlib.suppress(DecodeError):
        leadingRecords(data)
    with contextlib.suppress(DecodeError):
        serviceHints(data)
    try:
        scanned = scan(data)
    except DecodeError:
        return
    question = data[12 : scanned.nameEnd + 4]
    assert mismatch(data, ident, question) in (None, "query")
    assert scanned.lifetime is None or 0 <= scanned.lifetime <= MAX_TTL
    again = scan(scanned.message)
    _same(again, scanned)
    assert again.message == scanned.message
    name = scanned.message[12 : scanned.nameEnd]
    qtype = int.from_bytes(question[-4:-2], "big")
    given = answerFor(Query(9, RD, name, qtype, IN, _EDNS), scanned, 0, 1232)
    assert len(given) % 468 == 0
    assert given[:2] == b"\0\x09"
    last = scan(given)
    _same(last, scanned)
    # Every owner that was found to repeat the name has the spelling of this asker now.
    assert set(last.echoes) >= set(scanned.echoes)
    assert last.hadOPT
    _checkGuest(Query(9, RD, name, qtype, IN, _EDNS), scanned)
    answerFor(Query(9, RD, name, qtype, IN), scanned, 30, 1232)
    answerFor(Query(9, RD, name, qtype, IN), scanned, 0, 1232, ttl=30)


def _checkGuest(query: Query, scanned: ScannedAnswer) -> None:
    """
    What the DNS of a guest's LAN makes of it.
    """
    bounded = withTTLs(scanned, zero=1, most=300)
    _same(scan(bounded.message), bounded)
    assert all(1 <= ttl <= 300 for _, ttl in bounded.ttls)
    assert len(bounded.message) == len(scanned.message)
    short = scan(truncated(query, 3, 1232))
    assert short.message[2] & 2 and not short.ttls
    try:
        records, end = leadingRecords(scanned.message)
    except DecodeError:
        return
    cut = scan(answersOnly(scanned.message, end))
    assert cut.ttls == scanned.ttls[: len(cut.ttls)]
    made = scan(answerWith(query, 0, records, 1232)).message
    again = leadingRecords(made)[0]
    assert [record[1:] for record in again] == [record[1:] for record in records]
    for record in records:
        if record.rtype in (SVCB, HTTPS):
            with contextlib.suppress(DecodeError):
                _, addresses = serviceHints(record.data)
                assert all(0 <= address < 1 << 32 for address in addresses)


def _same(one: ScannedAnswer, other: ScannedAnswer) -> None:
    assert one.ttls == other.ttls
    assert one.nameEnd == other.nameEnd


if __name__ == "__main__":
    main(check)
