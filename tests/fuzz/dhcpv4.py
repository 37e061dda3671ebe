# -*- test-case-name: tests.test_fuzz -*-
"""
DHCP messages of guests.
"""

from __future__ import annotations

from aero.errors import DecodeError
from aero.wire import dhcpv4

from .explore import main


# Any bytes are a message or a DecodeError. A message that is written again, with all the room it
# needs, reads the same; with less room it still reads, is no longer than it may be, and says
# nothing that it did not say.
def check(data: bytes) -> None:
    try:
        message = dhcpv4.parse(data)
    except DecodeError:
        return
    assert message.kind in dhcpv4.NAMES
    assert len(message.hardwareAddress) == 6
    for code in range(256):
        assert (message.address(code) or 0) < 1 << 32
        assert (message.number(code) or 0) < 1 << 32
    if message.kind == dhcpv4.BOOTP:
        # Of BOOTP only replies are written: always as long, and with the options that have room.
        bootp = dhcpv4.buildBOOTP(message)
        assert len(bootp) == dhcpv4.MIN_SIZE
        reply = dhcpv4.parse(bootp)
        assert reply.cookie == message.cookie
        assert dict(reply.options).items() <= dict(message.options).items()
        return
    whole = dhcpv4.build(message, 65_535)
    assert dhcpv4.parse(whole) == message
    # The important ones come first, as where a server writes them.
    kind = {dhcpv4.MESSAGE_TYPE: message.options[dhcpv4.MESSAGE_TYPE]}
    short = dhcpv4.build(message._replace(options={**kind, **message.options}))
    assert dhcpv4.MIN_SIZE <= len(short) <= dhcpv4.DEFAULT_SIZE
    again = dhcpv4.parse(short)
    assert dict(again.options).items() <= dict(message.options).items()


if __name__ == "__main__":
    main(check)
