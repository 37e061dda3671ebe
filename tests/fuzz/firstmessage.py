# -*- test-case-name: tests.test_fuzz -*-
"""
The first message of a C{/udp} WebSocket.
"""

from __future__ import annotations

from aero.auth.firstmessage import isAuthMessage, parseFirstMessage
from aero.auth.relaymodes import KeyAuth, TokenAuth

from .explore import main

_KEY, _TOKEN = KeyAuth("key"), TokenAuth(["secret"])


# Any bytes have a credential or an error that can be told and closed with. What has a credential
# is an auth message, and the credential may be given to every mode.
def check(data: bytes) -> None:
    found = parseFirstMessage(data)
    if found.credential is None:
        assert found.code in ("unauthorized", "bad_message")
        assert found.closeCode in (1003, 1008)
        assert 0 < len(found.message.encode()) <= 123
        return
    assert found.credential and isAuthMessage(data)
    found.credential.encode("utf-8")
    assert (_KEY.admit(found.credential, 0) is not None) == (found.credential == "key")
    assert _TOKEN.admit(found.credential, 0) is None


if __name__ == "__main__":
    main(check)
