# -*- test-case-name: aero.test.test_log -*-
"""
Log observers: text for people, JSON lines for programs.

Whatever a message holds, no credential leaves through here: query strings of request targets
and everything that looks like a token are replaced before a line is written. That is a last
line of defence; code that logs leaves them out in the first place.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import re
from functools import lru_cache
from typing import IO, Any

from twisted.logger import (
    FilteringLogObserver,
    ILogFilterPredicate,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    PredicateResult,
    formatEvent,
    formatEventAsClassicLogText,
)
from twisted.python.failure import Failure
from zope.interface import implementer, provider

_LEVELS = {
    "fatal": LogLevel.critical,
    "error": LogLevel.error,
    "warn": LogLevel.warn,
    "info": LogLevel.info,
    "debug": LogLevel.debug,
    "trace": LogLevel.debug,
}

_HIDDEN = "[hidden]"

#: What Twisted logs about each port and factory: class names and addresses in memory. aero's own
#: listeners log a line with address and purpose instead.
_TRANSPORT_FORMATS = ("Starting factory {factory!r}", "Stopping factory {factory!r}")
_TRANSPORT_TEXT = re.compile(r"\S.* starting on \S+|\((?:TCP|UDP|TLS|UNIX) Port .* Closed\)")

#: A request target's query string; a credential given by name; a signed token in the clear.
_CREDENTIALS = re.compile(
    r"(?P<query>(?<=[/\w])\?[^\s\"'<>]+)"
    r"|(?P<named>\b(?:aero_session|token|apikey|api_key|authorization|bearer)\b[=: ]+)[^\s;,\"'&]+"
    r"|(?P<signed>\beyJ[\w-]{8,}\.[\w.-]{16,})",
    re.IGNORECASE,
)


def observerFor(form: str, level: str, stream: IO[str], worker: int | None = None) -> ILogObserver:
    """
    The observer that writes one kind of log to one stream.

    @param form: C{"text"} or C{"json"}.
    @param level: The least important level to write, in the words of C{LOG_LEVEL};
        C{"silent"} writes nothing.
    @param worker: The number of this process among the workers of a server, to be written with
        each line.
    """
    if level == "silent":
        silence: ILogObserver = _discard
        return silence
    writer = _JSONLines(stream, worker) if form == "json" else _TextLines(stream, worker)
    predicates: list[ILogFilterPredicate] = [LogLevelFilterPredicate(_LEVELS[level])]
    if _LEVELS[level] is not LogLevel.debug:
        predicates.append(_withoutTransports)
    return FilteringLogObserver(writer, predicates)


def leastLevel(level: str) -> LogLevel:
    """
    The least important level that is written, for those who ask before they emit.

    @param level: In the words of C{LOG_LEVEL}.
    """
    least: LogLevel = _LEVELS.get(level, LogLevel.critical)
    return least


class SecurityWarning(str):
    """
    A sentence for the operator about a setting that lets strangers do something. Logs of
    machines know it by its code.

    @ivar code: One word that never changes.
    @ivar fields: More for the log, plain values by name.
    """

    code: str
    fields: dict[str, Any]

    def __new__(cls, text: str, code: str, **fields: Any) -> SecurityWarning:
        made = super().__new__(cls, text)
        made.code = code
        made.fields = fields
        return made


class Caution(str):
    """
    A sentence for the operator about something that is probably a mistake; a warning in the log.
    """


def withoutCredentials(text: str) -> str:
    """
    A text with query strings and tokens replaced.
    """
    return _CREDENTIALS.sub(_hide, text)


@lru_cache(4_096)
def blurred(address: str) -> str:
    """
    The network of an address: C{192.0.2.0/24}, C{2001:db8:1::/48}. Something that is no
    address, such as the path of a UNIX socket, becomes C{-}.
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "-"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is None:
            return str(ipaddress.ip_network((found, 48), strict=False))
        found = found.ipv4_mapped
    return str(ipaddress.ip_network((found, 24), strict=False))


def _hide(match: re.Match[str]) -> str:
    if match["query"]:
        return "?" + _HIDDEN
    return (match["named"] or "") + _HIDDEN


@provider(ILogFilterPredicate)
def _withoutTransports(event: LogEvent) -> Any:
    """
    Leave out what Twisted logs about its ports.
    """
    if event.get("log_format") in _TRANSPORT_FORMATS:
        return PredicateResult.no
    if "log_text" in event and event.get("log_namespace") == "log_legacy":
        text = event["log_text"]
        if isinstance(text, str) and _TRANSPORT_TEXT.fullmatch(text):
            return PredicateResult.no
    return PredicateResult.maybe


@provider(ILogObserver)
def _discard(event: LogEvent) -> None:
    """
    Write nothing.
    """


@implementer(ILogObserver)
class _TextLines:
    """
    One line for each event, a traceback after it where there is one.
    """

    def __init__(self, stream: IO[str], worker: int | None) -> None:
        self._stream = stream
        self._tag = "" if worker is None else f"worker {worker}: "

    def __call__(self, event: LogEvent) -> None:
        text = formatEventAsClassicLogText(event)
        if text:
            self._stream.write(self._tag + withoutCredentials(text))
            self._stream.flush()


@implementer(ILogObserver)
class _JSONLines:
    """
    One JSON object a line: C{time} (RFC 3339, UTC), C{level}, C{namespace}, C{message}, the
    event's own fields where they are plain values, and C{traceback}.
    """

    def __init__(self, stream: IO[str], worker: int | None) -> None:
        self._stream = stream
        self._worker = worker

    def __call__(self, event: LogEvent) -> None:
        moment = datetime.datetime.fromtimestamp(event["log_time"], datetime.UTC)
        level = event.get("log_level")
        line: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": level.name if level is not None else "info",
            "namespace": event.get("log_namespace", ""),
            "message": formatEvent(event),
        }
        if self._worker is not None:
            line["worker"] = self._worker
        for name, value in event.items():
            if name not in line and not name.startswith(("log_", "_")) and _isPlain(value):
                line[name] = value
        failure = event.get("log_failure")
        if isinstance(failure, Failure):
            line["traceback"] = failure.getTraceback()
        for name, value in line.items():
            if isinstance(value, str):
                line[name] = withoutCredentials(value)
        self._stream.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._stream.flush()


def _isPlain(value: object) -> bool:
    return value is None or isinstance(value, (str, int, float, bool))
