# -*- test-case-name: tests.test_start -*-
"""
C{twistd aero}: its options, made from the settings table, and the service they describe.
"""

from __future__ import annotations

import os
import re
import sys
from typing import IO, Any, Mapping, NoReturn

from twisted.application.service import IService
from twisted.python import usage
from twisted.python.logfile import LogFile
from twisted.python.reflect import namedAny

import aero
from aero._launch import Launch
from aero._reactor import installReactor
from aero.errors import AeroError, ConfigurationError
from aero.fleet.workers.member import Member
from aero.settings import GROUPS, Settings, load, nearestName, rowsOf, shareOf
from aero.usage import manualPage


class Options(usage.Options):
    """
    The command line of C{twistd aero}.

    @ivar given: The options that were given, by name.
    @ivar settings: What options, environment and defaults add up to; there once the command
        line is parsed.
    """

    settings: Settings
    given: dict[str, str]

    optParameters = [
        [row.option, None, None, row.help]
        for cls in GROUPS.values()
        for row in rowsOf(cls)
        if row.option
    ]

    def __init__(self) -> None:
        super().__init__()
        try:
            installReactor()
        except AeroError as error:
            _stop(error)

    def parseOptions(self, options: list[str] | None = None) -> None:
        """
        Parse, and end with one sentence rather than a page of usage on a mistake.
        """
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            _stop(f"{self._explained(str(error))} (twistd aero --help lists the options)")

    def postOptions(self) -> None:
        self.given = given = {
            row.option: self[row.option]
            for cls in GROUPS.values()
            for row in rowsOf(cls)
            if row.option and self[row.option] is not None
        }
        try:
            if self.parent is not None:
                Launch(self.parent).check()
            self.settings = load(given, os.environ)
        except ConfigurationError as error:
            _stop(error, _statusOf(given.get("services") or os.environ.get("AERO_SERVICES", "")))
        except AeroError as error:
            _stop(error)

    def parseArgs(self, *words: str) -> None:
        """
        Refuse what is no option.
        """
        if words:
            raise usage.UsageError(
                f"{words[0]!r} is no option: options begin with --, as in --domain=example.com"
            )

    def opt_h(self) -> NoReturn:
        """
        Print the manual page and exit, as --help does.
        """
        print(self)
        sys.exit(0)

    def _explained(self, sentence: str) -> str:
        """
        Name the option that was probably meant where one is not known.
        """
        match = re.fullmatch(r"option (--?)(\S+) not recognized", sentence)
        if match is None:
            return sentence
        dashes, name = match.groups()
        parent = self.parent
        if parent is not None and (
            name in parent.synonyms if dashes == "--" else name in parent.shortOpt.replace(":", "")
        ):
            return (
                f"{dashes}{name} is an option of twistd: it goes before the word aero, as in"
                f" twistd {dashes}{name} aero"
            )
        nearest = nearestName(name, [str(option) for option, *_ in self.optParameters])
        return sentence + (f"; did you mean --{nearest}?" if nearest else "")

    def opt_version(self) -> NoReturn:
        """
        Tell the version of aero and exit.
        """
        print(f"aero {aero.__version__}")
        sys.exit(0)

    def __str__(self) -> str:
        return manualPage()


def makeService(options: Options) -> IService:
    """
    Build the service; L{Settings.server} names the class that composes it.
    """
    from twisted.internet import reactor

    settings = options.settings
    parent: Any = options.parent or {}
    try:
        launch = Launch(options.parent)
        member = Member.fromEnvironment(os.environ)
        if member is not None:
            settings = shareOf(settings, member.number, member.count)
        application = _composition(settings.server.app)(
            settings, reactor, environ=os.environ, member=member
        )
        log = _logStream(parent)
        service: IService
        if member is None and settings.server.workers > 1:
            service = application.makeSupervisor(_workerCommand(options.given), log, launch)
        else:
            service = application.makeService(log, launch)
        launch.detach()
    except ConfigurationError as error:
        _stop(error, _statusOf(",".join(settings.server.services)))
    except AeroError as error:
        _stop(error)
    return service


def _workerCommand(given: Mapping[str, str]) -> list[str]:
    """
    What runs one worker: twistd in the foreground, with the options of this command.
    """
    run = "from twisted.scripts.twistd import run; run()"
    options = [f"--{name}={value}" for name, value in given.items()]
    return [sys.executable, "-P", "-c", run, "-n", "--pidfile=", "aero", *options]


def _composition(name: str) -> Any:
    """
    The class behind C{--app}.
    """
    from aero.app import Aero

    try:
        found = namedAny(name)
    except Exception as error:
        raise ConfigurationError(
            "--app", name, f"expected the dotted name of a class that can be imported ({error})"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Aero)):
        raise ConfigurationError("--app", name, "expected aero.app.Aero or a subclass of it")
    return found


def _logStream(parent: Any) -> IO[str] | None:
    """
    Where twistd was asked to log: its C{--logfile}, or standard error. C{None} where C{--logger}
    or C{--syslog} names an observer that aero must not replace.
    """
    if parent.get("logger") or parent.get("syslog"):
        return None
    name = parent.get("logfile")
    if name and name != "-":
        stream: IO[str] = LogFile.fromFullPath(name)
        return stream
    # A daemon has no terminal: twistd's own twistd.log is right for it.
    if not name and not parent.get("nodaemon"):
        daemonLog: IO[str] = LogFile.fromFullPath("twistd.log")
        return daemonLog
    return sys.__stderr__


def _statusOf(services: str) -> int:
    """
    The exit status for settings that are not accepted: 1, and for the relay alone 2, as the
    reference has it (relay.md section 1.2).
    """
    return 2 if services.strip() == "relay" else 1


def _stop(reason: object, status: int = 1) -> NoReturn:
    """
    End the process before it served anything.
    """
    print(f"aero: {reason}", file=sys.stderr)
    sys.exit(status)
