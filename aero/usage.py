# -*- test-case-name: aero.test.test_usage -*-
"""
The settings table as a manual page and as C{docs/configuration.md}.
"""

from __future__ import annotations

import inspect
import textwrap
from typing import Any, Iterator

from aero.settings import GROUPS, Row, rowsOf

_WIDTH = 78

_HEAD = """\
Usage: twistd [-n] aero [options]

aero gives browser-based PC emulators and WebAssembly VMs a server: a TLS
edge with cross-origin isolation, sessions, TCP, UDP and Ethernet over
WebSocket, and DNS over HTTPS.

  twistd -n aero                        a server on https://localhost:8443/
  twistd -n aero --domain example.com   a public one
  twistd -n aero --services gateway     the gateway alone, plain HTTP
  twistd -n aero --services l2          the Ethernet tunnel alone, likewise

Without -n the server goes into the background. Each option has an
environment variable, named beside it; the option wins. A value that is not
accepted stops the start and says what is.
"""

_TAIL = """
SIGTERM and SIGINT let open connections finish, SIGHUP reads certificate
files again. docs/configuration.md has all of this with more words.

  -h, --help    this page
  --version     the version of aero
"""


def manualPage() -> str:
    """
    What C{twistd aero --help} prints.
    """
    parts = [_HEAD]
    for cls in GROUPS.values():
        title, _ = titleOf(cls)
        parts.append(f"\n{title}:\n")
        parts.extend(_entry(row) for row in rowsOf(cls))
    parts.append(_TAIL)
    return "".join(parts)


def configurationPage() -> str:
    """
    The text of C{docs/configuration.md}.
    """
    return "\n".join(_markdown()) + "\n"


def titleOf(cls: type[Any]) -> tuple[str, str]:
    """
    The title of a group and the sentences that introduce it, from its docstring.
    """
    title, _, introduction = inspect.cleandoc(cls.__doc__ or "").partition("\n")
    return title, " ".join(introduction.split()).replace("C{", "`").replace("}", "`")


def _entry(row: Row) -> str:
    name = f"--{row.option}=  ({row.variable})" if row.option else f"{row.variable}"
    if len(name) + 2 > _WIDTH:
        name = f"--{row.option}=\n      ({row.variable})"
    text = textwrap.wrap(f"{row.help} [{row.defaultText}]", _WIDTH - 6)
    return f"  {name}\n" + "".join(f"      {line}\n" for line in text)


def _markdown() -> Iterator[str]:
    yield "# Configuration"
    yield ""
    yield "Written from the table in `aero/settings`; `python -m aero.docs` writes it again."
    yield ""
    yield (
        "The order is: command line option, environment variable, default. An empty variable"
        " counts as unset unless its row says otherwise. Secrets have no option, because a process"
        " list shows the command line. A value that is not accepted stops the start with the"
        " variable, the value and what is accepted."
    )
    for cls in GROUPS.values():
        title, introduction = titleOf(cls)
        yield ""
        yield f"## {title}"
        yield ""
        yield introduction
        yield ""
        yield "| option | variable | default | what it does |"
        yield "|---|---|---|---|"
        for row in rowsOf(cls):
            option = f"`--{row.option}`" if row.option else ""
            names = ", ".join(f"`{name}`" for name in (row.variable, *row.aliases))
            text = row.help.replace("|", "\\|")
            yield f"| {option} | {names} | {row.defaultText.replace('|', chr(92) + '|')} | {text} |"
