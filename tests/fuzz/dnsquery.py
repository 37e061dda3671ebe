# -*- test-case-name: tests.test_fuzz -*-
"""
DNS queries of clients.
"""

from __future__ import annotations

import contextlib

import dns.message

from aero.errors import DecodeError
from aero.wire.dns import identify, nameText, shortAnswer
from aero.wire.dnsanswer import scanAnswer, unknownVersion
from aero.wire.dnsquery import Question, parseQuery

from .explore import main


# Any bytes are a query or a DecodeError. What is a query has one end: no shorter and no longer
# message is the same one. What is sent upstream for it is read by another implementation as the
# question that was asked, and the answers made without an upstream pass as answers.
def check(data: bytes) -> None:
    ident, flags = identify(data)
    shortAnswer(ident, flags, 1)
    try:
        query = parseQuery(data)
    except DecodeError:
        return
    assert (query.ident, query.flags) == (ident, flags)
    if query.opcode:
        return
    for other in (data[:-1], data + b"\0"):
        with contextlib.suppress(DecodeError):
            parseQuery(other)
            raise AssertionError("a message has two ends")
    nameText(query.name)
    question = Question.fromQuery(query)
    made = question.message(7, question.wire(), payloadSize=1232, paddingBlock=128)
    assert len(made) % 128 == 0
    again = parseQuery(made)
    assert (again.name, again.qtype) == (query.name.lower(), query.qtype)
    theirs = dns.message.from_wire(made).question[0]
    assert theirs.name.to_wire() == again.name
    assert theirs.rdtype == query.qtype
    for answer in (
        shortAnswer(query.ident, query.flags, 2, query.question),
        unknownVersion(query, 1232),
    ):
        scanned = scanAnswer(answer)
        assert scanned.message[12 : scanned.nameEnd] == query.name.lower()


if __name__ == "__main__":
    main(check)
