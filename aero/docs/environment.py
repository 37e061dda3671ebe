# -*- test-case-name: aero.docs.test.test_pages -*-
"""
The settings table as C{deploy/.env.example}, for Compose and for systemd's C{EnvironmentFile}.
"""

from __future__ import annotations

import textwrap
from typing import Iterator

from aero.settings import GROUPS, Row, rowsOf
from aero.usage import titleOf

_HEAD = """\
# Settings of aero for Docker Compose: copy this file to .env and uncomment what you change.
# Every variable of docs/configuration.md works here. Written from the table in aero/settings;
# python -m aero.docs writes it again.

# The name that browsers use. A public name gets a public certificate by itself.
AERO_DOMAIN=localhost

# What Compose itself reads: the image, and the directory of the page.
#AERO_IMAGE=aero:dev
#AERO_FRONTEND=../static

# TURN, with: docker compose --profile turn up. The same secret in both, and never a guessable one.
#TURN_REST_SHARED_SECRET=
#TURN_EXTERNAL_IP=
# The addresses of aero that clients may be relayed to, besides that of its container; by default
# WEBRTC_NAT_1TO1_IPS. Every other peer is denied.
#TURN_PEER_IPS=
"""

#: What is set above, or by the compose file.
_ELSEWHERE = frozenset({"AERO_DOMAIN", "AERO_STATE_DIR", "TURN_REST_SHARED_SECRET"})


def environmentFile() -> str:
    """
    The text of the file; every setting is there once, as a comment with its default.
    """
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _HEAD.rstrip()
    for cls in GROUPS.values():
        title, _ = titleOf(cls)
        yield ""
        yield ""
        yield f"# == {title}"
        for row in rowsOf(cls):
            if row.variable in _ELSEWHERE:
                continue
            yield ""
            yield from (f"# {line}" for line in textwrap.wrap(row.help, 96))
            yield f"#{row.variable}={_value(row)}"


def _value(row: Row) -> str:
    """
    The default, where it can be written as a value; a comment behind a value would be a part
    of it.
    """
    plain = not row.shown and row.defaultText != "none" and " " not in row.defaultText
    return row.defaultText if plain else ""
