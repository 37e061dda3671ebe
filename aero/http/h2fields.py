# -*- test-case-name: aero.http.test.test_h2fields -*-
"""
Header compression that remembers.

Nearly all fields of our responses are those of the response before. The C{hpack} package
searches its table for each of them, entry by entry; here the place of a field is looked up
once, until the table changes.
"""

from __future__ import annotations

from typing import cast

from hpack import Encoder

#: First octets of an indexed field, and of one that is put into the table (RFC 7541 section 6).
_INDEXED, _INSERTED = 0x80, 0x40


class RememberingEncoder(Encoder):
    """
    An encoder whose output is that of L{Encoder}, but for what may not be kept in a table.
    """

    def __init__(self) -> None:
        super().__init__()
        # Fields that are in the table, and what stands for them: never more than its entries.
        self._indexed: dict[tuple[bytes, bytes], bytes] = {}

    @property
    def header_table_size(self) -> int:
        """
        The bytes that the table may take.
        """
        return self.header_table.maxsize

    @header_table_size.setter
    def header_table_size(self, value: int) -> None:
        self._indexed.clear()
        cast(property, Encoder.header_table_size).__set__(self, value)

    def add(self, to_add: tuple[bytes, bytes], sensitive: bool, huffman: bool = False) -> bytes:
        """
        Encode one field.

        @param to_add: Name and value.
        @param sensitive: Whether it must never be put into a table. Its letters stay as they
            are.
        """
        if sensitive:
            # Each is another one: to shorten it by a quarter takes longer than to encode all
            # the rest.
            return super().add(to_add, sensitive, False)
        found = self._indexed.get(to_add)
        if found is not None:
            return found
        encoded = super().add(to_add, sensitive, huffman)
        if encoded[0] & _INDEXED:
            self._indexed[to_add] = encoded
        elif encoded[0] & _INSERTED:
            # Every entry has moved, and some may be gone.
            self._indexed.clear()
        return encoded
