# -*- test-case-name: aero.wire.test.test_sdp -*-
"""
Session descriptions: as much of SDP (RFC 8866) as an offer of data channels needs, and the
answer to it (RFC 8829, RFC 8839, RFC 8841, RFC 8842).

Exactly one C{m=application} section is answered. Audio, video and further sections are declined
with port 0, as RFC 8829 section 5.3.1 asks. What is not understood is passed over; what is and
makes no sense is an error. Reading takes one pass over the lines, and every list is bounded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple, Sequence

from aero.errors import DecodeError

#: Characters of a description; browsers send about 1,000 for data channels alone.
MAX_DESCRIPTION = 131_072
#: Sections that one offer may have.
MAX_SECTIONS = 32
#: Candidates kept of one offer; the others are passed over.
MAX_CANDIDATES = 64
#: Fingerprints that one offer may have.
MAX_FINGERPRINTS = 8
#: The message size of a peer that does not tell it (RFC 8841 section 6.1).
DEFAULT_MESSAGE_SIZE = 65_536

_UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}")
_PASSWORD = re.compile(r"[A-Za-z0-9+/]{22,256}")
_ADDRESS = re.compile(r"[0-9A-Za-z:.%_-]{1,253}")
_FORMATS = re.compile(r"[!-~]+( [!-~]+){0,255}")
_DIGEST = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2})*")
_TOKEN = re.compile(r"[!#-'*+.0-9A-Z^_`a-z{|}~-]{1,64}")
_FOUNDATION = re.compile(r"[A-Za-z0-9+/]{1,32}")

#: Bytes of the digests that are compared; others may have any length.
_DIGEST_BYTES = {"sha-256": 32, "sha-384": 48, "sha-512": 64}

_SETUPS = ("actpass", "active", "passive")


class DescriptionError(DecodeError):
    """
    A session description that cannot be answered. Its text is fit for the peer.
    """


class Candidate(NamedTuple):
    """
    One ICE candidate (RFC 8839 section 5.1).

    @ivar foundation: Groups candidates of one origin.
    @ivar component: 1 for all of WebRTC's.
    @ivar transport: C{udp} or C{tcp}, in lower case.
    @ivar priority: The higher the better.
    @ivar address: An IP address, or a name ending in C{.local}.
    @ivar port: The port.
    @ivar kind: C{host}, C{srflx}, C{prflx} or C{relay}.
    @ivar relatedAddress: Where it was derived from; empty where it does not say.
    @ivar relatedPort: The port of that.
    """

    foundation: str
    component: int
    transport: str
    priority: int
    address: str
    port: int
    kind: str
    relatedAddress: str = ""
    relatedPort: int = 0

    def encode(self) -> str:
        """
        As it stands in C{a=candidate:} and in the signalling's messages, without the prefix.
        """
        text = (
            f"{self.foundation} {self.component} {self.transport} {self.priority}"
            f" {self.address} {self.port} typ {self.kind}"
        )
        if self.relatedAddress:
            text += f" raddr {self.relatedAddress} rport {self.relatedPort}"
        return text


class Section(NamedTuple):
    """
    One C{m=} line of an offer.

    @ivar kind: C{application}, C{audio}, ...
    @ivar profile: Its transport, such as C{UDP/DTLS/SCTP}.
    @ivar formats: The rest of the line.
    @ivar mid: Its identification; empty where it has none.
    """

    kind: str
    profile: str
    formats: str
    mid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """
    What an offer of data channels says.

    @ivar sections: All sections, in order.
    @ivar index: Which of them is the data channels'.
    @ivar bundled: The identifications of its BUNDLE group.
    @ivar ufrag: The ICE user name fragment.
    @ivar password: The ICE password.
    @ivar lite: Whether the peer is an ICE-lite implementation.
    @ivar fingerprints: Hash names in lower case, and digests of its certificate.
    @ivar setup: C{actpass}, C{active} or C{passive} (RFC 8842 section 5.2).
    @ivar sctpPort: Its SCTP port.
    @ivar maxMessageSize: Bytes of one message that it takes; 0 for any.
    @ivar candidates: Its candidates so far.
    """

    sections: tuple[Section, ...]
    index: int
    bundled: tuple[str, ...]
    ufrag: str
    password: str
    lite: bool
    fingerprints: tuple[tuple[str, str], ...]
    setup: str
    sctpPort: int
    maxMessageSize: int
    candidates: tuple[Candidate, ...]

    @property
    def mid(self) -> str:
        """
        The identification of the data channels' section.
        """
        return self.sections[self.index].mid


def parseCandidate(text: str) -> Candidate:
    """
    Read one candidate, with or without C{candidate:} in front.

    @raise DescriptionError: It is none.
    """
    fields = text.removeprefix("candidate:").split(" ", 64)
    if len(fields) < 8 or fields[6] != "typ" or len(text) > 1_024:
        raise DescriptionError("malformed ICE candidate")
    foundation, component, transport, priority, address, port, _, kind = fields[:8]
    if not _FOUNDATION.fullmatch(foundation) or not all(map(_TOKEN.fullmatch, (transport, kind))):
        raise DescriptionError("malformed ICE candidate")
    if not _ADDRESS.fullmatch(address):
        raise DescriptionError("malformed ICE candidate address")
    related, relatedPort = "", 0
    for name, value in zip(fields[8::2], fields[9::2], strict=False):
        if name == "raddr" and _ADDRESS.fullmatch(value):
            related = value
        elif name == "rport":
            relatedPort = _number(value, 65_535, "ICE candidate")
    return Candidate(
        foundation,
        _number(component, 256, "ICE candidate"),
        transport.lower(),
        _number(priority, 2**32 - 1, "ICE candidate"),
        address,
        _number(port, 65_535, "ICE candidate"),
        kind,
        related,
        relatedPort if related else 0,
    )


def parseOffer(text: str) -> Offer:
    """
    Read an offer.

    @raise DescriptionError: It is no offer of data channels.
    """
    if len(text) > MAX_DESCRIPTION:
        raise DescriptionError("the session description is too long")
    if not text.startswith("v=0"):
        raise DescriptionError("expected a session description (v=0)")
    blocks: list[list[str]] = [[]]
    for line in text.split("\n"):
        line = line.rstrip("\r")
        if line.startswith("m="):
            if len(blocks) > MAX_SECTIONS:
                raise DescriptionError("the session description has too many sections")
            blocks.append([])
        blocks[-1].append(line)
    session = _attributes(blocks[0])
    sections: list[Section] = []
    index, own = -1, _Attributes()
    for block in blocks[1:]:
        attributes = _attributes(block)
        section = _section(block[0], attributes.first("mid"))
        if index < 0 and section.kind == "application" and "SCTP" in section.profile:
            index, own = len(sections), attributes
        sections.append(section)
    if index < 0:
        raise DescriptionError("the session description has no data channel section")
    return _offer(session, own, sections, index)


def encodeAnswer(
    offer: Offer,
    *,
    sessionId: int,
    ufrag: str,
    password: str,
    fingerprints: Sequence[tuple[str, str]],
    setup: str,
    maxMessageSize: int,
    candidates: Sequence[Candidate],
    complete: bool,
) -> str:
    """
    Write the answer.

    @param sessionId: A number below 2**62.
    @param fingerprints: Hash names and digests of our certificate.
    @param setup: C{active} or C{passive}.
    @param candidates: Ours so far.
    @param complete: Whether there will be no more of them.
    """
    lines = ["v=0", f"o=- {sessionId} 2 IN IP4 127.0.0.1", "s=-", "t=0 0"]
    if offer.mid in offer.bundled:
        lines.append(f"a=group:BUNDLE {offer.mid}")
    for number, section in enumerate(offer.sections):
        if number != offer.index:
            lines += (
                f"m={section.kind} 0 {section.profile} {section.formats}",
                "c=IN IP4 0.0.0.0",
                "a=inactive",
            )
            if section.mid:
                lines.append(f"a=mid:{section.mid}")
            continue
        legacy = section.formats != "webrtc-datachannel"
        formats = "5000" if legacy else section.formats
        lines += (f"m=application 9 {section.profile} {formats}", "c=IN IP4 0.0.0.0")
        if section.mid:
            lines.append(f"a=mid:{section.mid}")
        lines += (f"a=candidate:{candidate.encode()}" for candidate in candidates)
        if complete:
            lines.append("a=end-of-candidates")
        lines += (f"a=ice-ufrag:{ufrag}", f"a=ice-pwd:{password}", "a=ice-options:trickle")
        lines += (f"a=fingerprint:{name} {digest}" for name, digest in fingerprints)
        lines.append(f"a=setup:{setup}")
        lines.append("a=sctpmap:5000 webrtc-datachannel 65535" if legacy else "a=sctp-port:5000")
        lines.append(f"a=max-message-size:{maxMessageSize}")
    return "\r\n".join(lines) + "\r\n"


class _Attributes(dict[str, list[str]]):
    """
    The values of C{a=} lines by name.
    """

    def first(self, name: str) -> str:
        values = self.get(name)
        return values[0].strip() if values else ""


def _attributes(block: Sequence[str]) -> _Attributes:
    found = _Attributes()
    for line in block:
        if line.startswith("a="):
            name, _, value = line[2:].partition(":")
            found.setdefault(name, []).append(value)
    return found


def _section(line: str, mid: str) -> Section:
    fields = line[2:].split(" ", 3)
    if len(fields) < 4 or (mid and not _TOKEN.fullmatch(mid)):
        raise DescriptionError("malformed section of the session description")
    kind, _, profile, formats = fields
    if not _TOKEN.fullmatch(kind) or not all(map(_TOKEN.fullmatch, profile.split("/"))):
        raise DescriptionError("malformed section of the session description")
    if not _FORMATS.fullmatch(formats):
        raise DescriptionError("malformed section of the session description")
    return Section(kind, profile, formats, mid)


def _offer(
    session: _Attributes, own: _Attributes, sections: Sequence[Section], index: int
) -> Offer:
    ufrag = own.first("ice-ufrag") or session.first("ice-ufrag")
    password = own.first("ice-pwd") or session.first("ice-pwd")
    if not _UFRAG.fullmatch(ufrag) or not _PASSWORD.fullmatch(password):
        raise DescriptionError("ICE user name fragment or password is missing or malformed")
    prints = tuple(_fingerprints(own.get("fingerprint") or session.get("fingerprint") or ()))
    if not prints:
        raise DescriptionError("DTLS fingerprint is missing")
    setup = own.first("setup") or session.first("setup") or "actpass"
    if setup not in _SETUPS:
        raise DescriptionError("DTLS setup attribute is malformed")
    candidates: list[Candidate] = []
    for value in own.get("candidate", [])[:MAX_CANDIDATES]:
        candidates.append(parseCandidate(value.strip()))
    bundled: tuple[str, ...] = ()
    for group in session.get("group", []):
        words = group.split(" ", MAX_SECTIONS + 1)
        if words[0] == "BUNDLE":
            bundled = tuple(words[1:])
            break
    formats = sections[index].formats
    legacyPort = formats if formats != "webrtc-datachannel" else "5000"
    size = own.first("max-message-size")
    return Offer(
        sections=tuple(sections),
        index=index,
        bundled=bundled,
        ufrag=ufrag,
        password=password,
        lite="ice-lite" in session,
        fingerprints=prints,
        setup=setup,
        sctpPort=_number(own.first("sctp-port") or legacyPort, 65_535, "SCTP port"),
        maxMessageSize=_number(size, 2**63, "max-message-size") if size else DEFAULT_MESSAGE_SIZE,
        candidates=tuple(candidates),
    )


def _fingerprints(values: Sequence[str]) -> Sequence[tuple[str, str]]:
    found = []
    for value in values[:MAX_FINGERPRINTS]:
        name, _, digest = value.strip().partition(" ")
        name, digest = name.lower(), digest.strip().upper()
        if not _TOKEN.fullmatch(name) or not _DIGEST.fullmatch(digest):
            raise DescriptionError("DTLS fingerprint is malformed")
        if len(digest) != 3 * _DIGEST_BYTES.get(name, (len(digest) + 1) // 3) - 1:
            raise DescriptionError("DTLS fingerprint has the wrong length")
        found.append((name, digest))
    return found


def _number(text: str, most: int, what: str) -> int:
    limit = 20 if most > 2**32 else 10
    if not text.isascii() or not text.isdigit() or len(text) > limit or int(text) > most:
        raise DescriptionError(f"the {what} has a malformed number")
    return int(text)
