# -*- test-case-name: tests.test_fuzz -*-
"""
The messages of C{/webrtc/signal}, the bodies of the offer endpoints, and the session descriptions
and candidates in them.
"""

from __future__ import annotations

from aero.wire import sdp, signaling

from .explore import main


# Text is a message or an error with a short sentence, and a message is written as one that reads
# the same. A body is a description or an error. A description is an offer that has an answer, every
# line of which is a line of SDP, or an error; a candidate is written as one that reads the same.
def check(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    descriptions = [text]
    try:
        message = signaling.parse(text)
    except signaling.SignalError as error:
        assert 0 < len(str(error)) < 200
    else:
        assert signaling.parse(message.encode()) == message
        descriptions.append(message.sdp)
        if message.candidate is not None:
            _candidate(message.candidate.candidate)
    for read in (signaling.parseOfferBody, signaling.parseVersionedOffer):
        try:
            descriptions.append(read(data))
        except signaling.SignalError as error:
            assert 0 < len(str(error)) < 200
    for description in descriptions:
        _description(description)
    _candidate(text)


def _description(text: str) -> None:
    try:
        offer = sdp.parseOffer(text)
    except sdp.DescriptionError as error:
        assert 0 < len(str(error)) < 200
        return
    assert len(offer.sections) <= sdp.MAX_SECTIONS
    assert len(offer.candidates) <= sdp.MAX_CANDIDATES
    answer = sdp.encodeAnswer(
        offer,
        sessionId=1,
        ufrag="abcd",
        password="p" * 22,
        fingerprints=[("sha-256", "AB")],
        setup="active",
        maxMessageSize=1,
        candidates=offer.candidates,
        complete=True,
    )
    lines = answer.split("\r\n")
    assert lines.pop() == ""
    assert all(line[1:2] == "=" and "\n" not in line and "\r" not in line for line in lines)
    assert sum(line.startswith("m=") for line in lines) == len(offer.sections)


def _candidate(text: str) -> None:
    try:
        found = sdp.parseCandidate(text)
    except sdp.DescriptionError:
        return
    assert sdp.parseCandidate(found.encode()) == found


if __name__ == "__main__":
    main(check)
