# -*- test-case-name: aero.settings.test.test_load -*-
"""
What one row of the settings table is, and how rows become a group of values.

A group is a frozen dataclass whose fields are made by L{setting}. The row stands beside
its field, so a setting exists exactly once: type, option, variable, default, parser and
sentence of help. The command line, the loader and C{docs/configuration.md} all read the
rows and nothing else.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, Iterator, Mapping, TypeVar, dataclass_transform

_T = TypeVar("_T")

#: Turns text into a value. A C{ValueError} carries what is accepted, as the end of a
#: sentence that begins with the variable and its value.
Parser = Callable[[str], Any]

#: Computes a default from the values loaded so far, by field name.
Derivation = Callable[[Mapping[str, Any]], Any]

_ROW = "aero.settings.row"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """
    One setting.

    @ivar field: The name of the attribute on its group.
    @ivar variable: The environment variable.
    @ivar aliases: Older names of the variable, tried in order when it is unset.
    @ivar option: The long command line option without dashes; empty where there is none,
        which is so for every secret because a process list shows the command line.
    @ivar default: The value when nothing is said and nothing is derived.
    @ivar derive: Computes the default from values loaded earlier, or C{None}.
    @ivar shown: The default in words for help and documentation, where the value alone
        would not do.
    @ivar parse: See L{Parser}.
    @ivar secret: True where the value must never be logged or repeated in an error.
    @ivar blank: True where an empty value means something; otherwise it means "unset".
    @ivar unset: Other values that mean "unset", so that the next of the aliases counts.
    @ivar help: One sentence, with its unit.
    """

    field: str
    variable: str
    aliases: tuple[str, ...]
    option: str
    default: Any
    derive: Derivation | None
    shown: str
    parse: Parser
    secret: bool
    blank: bool
    unset: tuple[str, ...]
    help: str

    def isUnset(self, text: str) -> bool:
        """
        Whether a value of the variable says nothing.
        """
        stripped = text.strip()
        return stripped in self.unset or not (stripped or self.blank)

    @property
    def defaultText(self) -> str:
        """
        The default as an operator would write it.
        """
        if self.shown:
            return self.shown
        if isinstance(self.default, bool):
            return "1" if self.default else "0"
        if self.default is None or self.default in ((), "", frozenset()):
            return "none"
        if isinstance(self.default, tuple):
            return ",".join(str(item) for item in self.default)
        return str(self.default)


def setting(
    *,
    variable: str,
    default: Any,
    parse: Parser,
    help: str,
    option: str = "",
    aliases: tuple[str, ...] = (),
    derive: Derivation | None = None,
    shown: str = "",
    secret: bool = False,
    blank: bool = False,
    unset: tuple[str, ...] = (),
) -> Any:
    """
    Declare one setting as a field of a group; see L{Row} for the parameters.
    """
    row = dict(
        variable=variable,
        aliases=aliases,
        option=option,
        default=default,
        derive=derive,
        shown=shown,
        parse=parse,
        secret=secret,
        blank=blank,
        unset=unset,
        help=help,
    )
    return dataclasses.field(default=default, metadata={_ROW: row})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(setting,))
def group(cls: type[_T]) -> type[_T]:
    """
    Make a class whose fields are settings into a frozen dataclass.

    The first line of its docstring is the title of its section in the documentation, the
    rest introduces it.
    """
    return dataclasses.dataclass(frozen=True, slots=True, kw_only=True)(cls)


def rowsOf(cls: type[Any]) -> Iterator[Row]:
    """
    The rows of a group, in the order they are written.
    """
    for field in dataclasses.fields(cls):
        yield Row(field=field.name, **field.metadata[_ROW])
