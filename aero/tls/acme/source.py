# -*- test-case-name: aero.tls.acme.test.test_source,aero.tls.acme.test.test_following -*-
"""
A certificate that the server gets and renews by itself.

Until the first one is there, a self-signed placeholder lets the listener work. From then on a
certificate is only ever replaced by one that is better: whatever an authority does, says or does
not say, what worked goes on working.

Of several processes with one state directory (workers, or machines that share it) one has the
turn to talk to the authority. The others serve what it keeps there, certificates and answers to
challenges alike, and one of them takes over when it ends.
"""

from __future__ import annotations

import base64
import datetime
from typing import Any, Callable, Generator, Iterable

from cryptography import x509
from twisted.internet.defer import CancelledError, Deferred, inlineCallbacks
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from aero.errors import StartError
from aero.metrics import Metrics
from aero.metrics import acme as rows
from aero.metrics import tls as tlsRows
from aero.net.turn import Turn
from aero.settings.acme import ACMESettings

from ..certificates import CertifiedKey, Changes, ServedNames, covers
from ..state import Stamp
from .account import Account
from .answers import Answers, selfSigned
from .authority import ACMEError, CertificateAuthority, Window
from .keeper import Keeper
from .order import OrderProcess, Runner
from .schedule import Setback, isAboutChallenge, leastUse, renewalTime, windowInterval

#: The most seconds between two looks at the wall clock, which may be set, or stand still while a
#: machine sleeps.
LOOK_INTERVAL = 600.0

#: Seconds between two looks at what the process has done whose turn it is, and at whether it is
#: still there.
FOLLOW_INTERVAL = 2.0

#: How long a placeholder lasts; another one is made in time.
PLACEHOLDER_LIFE = datetime.timedelta(days=30)


class ACMESource:
    """
    The certificate of a public name.

    @ivar answers: What to say to the authority when it looks.
    @ivar names: The names of the certificate, the site name first.
    """

    _log = Logger()

    def __init__(
        self,
        settings: ACMESettings,
        domain: str,
        keeper: Keeper,
        turn: Turn,
        *,
        kinds: tuple[str, ...],
        makeAuthority: Callable[[Account], CertificateAuthority],
        run: Runner,
        clock: IReactorTime,
        now: Callable[[], float],
        randomness: Callable[[], float],
        metrics: Metrics,
    ) -> None:
        """
        Take up the certificate of the last run.

        @param turn: The turn to talk to the authority.
        @param kinds: The kinds of challenges that can be answered, the preferred one first.
        @param makeAuthority: Makes the client of an authority for an account.
        @param run: Calls a blocking function, with arguments, in a thread.
        @param now: The wall clock, in seconds since 1970.
        @param randomness: Gives a number from 0 to 1.
        @raise StartError: The account's key cannot be used.
        """
        self.names = tuple(dict.fromkeys((domain, *settings.names)))
        self.answers = Answers(now, keeper.board())
        self._settings = settings
        self._keeper = keeper
        self._kinds = kinds
        self._clock = clock
        self._now = now
        self._randomness = randomness
        self._metrics = metrics
        self._run = run
        self._turn = turn
        self._hasTurn = False
        self._trouble = ""
        self._stamp: Stamp | None = None
        self._stampRead = 0.0
        self._makeAuthority = makeAuthority
        #: There once it was this process' turn.
        self._authority: CertificateAuthority
        keeper.account()
        self._served = ServedNames(domain)
        self._changes = Changes()
        self._timer: IDelayedCall | None = None
        self._busy: Deferred[None] | None = None
        self._setback = keeper.setback()
        self._window: Window | None = None
        self._windowUntil = 0.0
        self._dice = randomness()
        self._unkept: CertifiedKey | None = None
        kept = keeper.certificate()
        self._real = kept if kept is not None and covers(kept.names, domain) else None
        self._certified = self._real or self._placeholder()

    # -- what a source of certificates does

    def start(self) -> None:
        """
        Begin to look after the certificate, once the listeners are there.
        """
        self._measure()
        self._lookIn(0)

    def stop(self) -> None:
        """
        Look no more, leave what is under way, and let another process go on.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._busy is not None:
            self._busy.cancel()
        self._hasTurn = False
        self._turn.giveBack()

    def reload(self) -> None:
        """
        Take up what somebody put in the state directory, and try again now, unless the authority
        asked for patience.
        """
        self._adoptKept()
        if self._hasTurn and not self._setback.told:
            self._setback = Setback(self._setback.failures, 0.0)
        if self._busy is None:
            self._windowUntil = 0.0
            self._lookIn(0)

    def certificateFor(self, serverName: str | None) -> CertifiedKey | None:
        """
        The certificate, or its placeholder, for the site's names.
        """
        accepted = self._served.accepts(serverName, self.names)
        return self._certified if accepted else None

    def challengeFor(self, serverName: str) -> CertifiedKey | None:
        """
        The answer to a challenge over C{acme-tls/1}.
        """
        return self.answers.challengeFor(serverName)

    def keyAuthorization(self, token: str) -> str | None:
        """
        The answer to a challenge over HTTP; see L{aero.http.redirect.Challenges}.
        """
        return self.answers.keyAuthorization(token)

    def current(self) -> Iterable[CertifiedKey]:
        """
        The certificate, or its placeholder.
        """
        return (self._certified,)

    def onChange(self, changed: Callable[[], None]) -> None:
        """
        Have a function called after the certificate was renewed.
        """
        self._changes.onChange(changed)

    # -- what the operator wants to know

    def isUsable(self) -> bool:
        """
        Whether browsers accept the certificate now.
        """
        return self._isGood(self._real)

    def describe(self) -> dict[str, object]:
        """
        The state of the certificate, for C{/readyz}.
        """
        if self._real is None:
            return {"placeholder": True}
        now = self._now()
        return {
            "placeholder": False,
            "ageSeconds": int(now - self._real.notBefore),
            "expiresInSeconds": int(self._real.notAfter - now),
        }

    def notices(self) -> Iterable[str]:
        """
        What running this source means, for the log.
        """
        yield (
            f"certificates for {', '.join(self.names)} come from {self._settings.directory}; having"
            " an account there means agreeing to its terms of service"
        )
        if self._real is None:
            yield "a self-signed placeholder is served until the first certificate is there"

    # -- looking after it

    def _lookIn(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.callLater(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._busy is not None:
            return
        if not self._isMyTurn():
            self._follow()
            self._lookIn(FOLLOW_INTERVAL)
            return
        self._busy = looking = self._lookAfter()
        looking.addErrback(self._ended)
        looking.addBoth(lambda ignored: self._rest(looking))

    def _isMyTurn(self) -> bool:
        """
        Whether this process talks to the authority. When its turn comes, it goes on where another
        one may have left off.
        """
        try:
            had, self._hasTurn = self._hasTurn, self._turn.take()
            if self._hasTurn and not had:
                self._authority = self._makeAuthority(self._keeper.account())
                self._setback = self._keeper.setback()
                self.answers.tidy()
                self._adoptKept()
                self._measure()
            self._trouble = ""
        except StartError as error:
            self._hasTurn = False
            self._turn.giveBack()
            if self._trouble != str(error):
                self._trouble = str(error)
                self._log.error("Nobody looks after the certificate: {error}", error=str(error))
        return self._hasTurn

    def _follow(self) -> None:
        """
        Use what the process got whose turn it is. What could not be used is looked at again later:
        the time for it may not have come.
        """
        self._refreshPlaceholder()
        stamp, now = self._keeper.certificateStamp(), self._clock.seconds()
        if stamp != self._stamp or now - self._stampRead >= LOOK_INTERVAL:
            self._stamp, self._stampRead = stamp, now
            self._adoptKept()

    def _ended(self, failure: Any) -> None:
        """
        A look was cancelled, or met what nobody thought of.
        """
        if not failure.check(CancelledError):
            self._log.failure("Looking after the certificate failed", failure=failure)
            self._metrics.counter(rows.ATTEMPTS, "error").inc()
            self._failed(ACMEError("malfunction", "an unexpected error"))
        self.answers.clear()

    def _rest(self, looking: Deferred[None]) -> None:
        cancelled = self._busy is None
        self._busy = None
        if cancelled:
            return
        due = max(self._due(), self._earliest())
        self._metrics.gauge(rows.NEXT_ATTEMPT).set(due)
        self._lookIn(min(max(due - self._now(), 1.0), LOOK_INTERVAL))

    @inlineCallbacks
    def _lookAfter(self) -> Generator[Deferred[Any], Any, None]:
        self._refreshPlaceholder()
        if self._unkept is not None:
            self._keep(self._unkept)
        yield self._askWindow()
        if self._now() < max(self._due(), self._earliest()):
            return
        if self._adoptKept() and self._now() < self._due():
            return
        yield self._attempt()

    @inlineCallbacks
    def _attempt(self) -> Generator[Deferred[Any], Any, None]:
        kind = self._setback.kind(self._kinds)
        try:
            account = yield self._run(self._authority.enrol)
            self._keeper.keepAccount(account)
            terms = yield self._run(self._authority.terms)
            self._log.info(
                "Ordering a certificate for {names} by {kind}; terms of service: {terms}",
                names=", ".join(self.names),
                kind=kind,
                terms=terms or "none",
            )
            process = OrderProcess(
                self._authority, self.answers, run=self._run, clock=self._clock, now=self._now
            )
            fresh: CertifiedKey = yield process.issue(self.names, kind, self._replaced())
        except (ACMEError, StartError) as error:
            problem = error if isinstance(error, ACMEError) else ACMEError("local", str(error))
            if isAboutChallenge(problem):
                self._metrics.counter(rows.CHALLENGES, kind, "failure").inc()
            outcome = "limited" if problem.kind == "rateLimited" else "failure"
            self._metrics.counter(rows.ATTEMPTS, outcome).inc()
            self._metrics.counter(tlsRows.RELOADS, "failure").inc()
            self._failed(problem)
            return
        self._keep(fresh)
        self._metrics.counter(rows.CHALLENGES, kind, "success").inc()
        self._metrics.counter(rows.ATTEMPTS, "success").inc()
        self._metrics.counter(tlsRows.RELOADS, "success").inc()
        self._setback = Setback(0, self._now() + leastUse(fresh.notAfter - fresh.notBefore))
        self._keeper.keepSetback(self._setback)
        self._use(fresh)

    def _keep(self, fresh: CertifiedKey) -> None:
        """
        Write a certificate down. If that fails it is used all the same, and writing it is tried
        again at every look.
        """
        self._unkept = None
        try:
            self._keeper.keepCertificate(fresh)
        except StartError as error:
            self._unkept = fresh
            self._log.error("The certificate is lost at the next stop: {error}", error=str(error))

    def _failed(self, error: ACMEError) -> None:
        self._setback = self._setback.after(
            error,
            self._now(),
            self._randomness(),
            base=self._settings.retryAfter,
            kinds=len(self._kinds),
        )
        self._keeper.keepSetback(self._setback)
        self._measure()
        self._log.error(
            "No certificate for {names}: {error}. The next attempt is in {wait:.0f} s; {meanwhile}",
            names=", ".join(self.names),
            error=str(error),
            wait=self._setback.until - self._now(),
            meanwhile="the one in use stays"
            if self._real is not None
            else "a self-signed placeholder is served",
        )

    def _use(self, fresh: CertifiedKey) -> None:
        self._real = self._certified = fresh
        self._dice = self._randomness()
        self._window, self._windowUntil = None, 0.0
        self._measure()
        until = datetime.datetime.fromtimestamp(fresh.notAfter, datetime.UTC)
        self._log.info(
            "The certificate for {names} is good until {until}.",
            names=", ".join(fresh.names),
            until=until.isoformat(),
        )
        self._changes.changed()

    def _adoptKept(self) -> bool:
        """
        Use what lies in the state directory, if it is better than what is in use: another process
        may have been faster, or an operator restored it.
        """
        kept = self._keeper.certificate()
        if kept is None or not self._coversAll(kept) or not self._isGood(kept):
            return False
        real = self._real
        if (
            real is not None
            and self._coversAll(real)
            and kept.notAfter <= real.notAfter
            and kept.notBefore <= real.notBefore
        ):
            return False
        self._use(kept)
        return True

    @inlineCallbacks
    def _askWindow(self) -> Generator[Deferred[Any], Any, None]:
        """
        Ask the authority when it wants the certificate renewed, if it is time to.
        """
        real, now = self._real, self._now()
        if real is None or now >= real.notAfter or now < self._windowUntil:
            return
        name = renewalID(real)
        if not name:
            return
        try:
            window: Window | None = yield self._run(self._authority.renewalWindow, name)
        except ACMEError as error:
            self._log.debug("No renewal window: {error}", error=str(error))
            self._windowUntil = now + windowInterval(self._window)
            return
        if window is not None and (
            self._window is None
            or (window.begin, window.end) != (self._window.begin, self._window.end)
        ):
            self._dice = self._randomness()
        self._window = window
        self._windowUntil = now + windowInterval(window)

    def _due(self) -> float:
        """
        When to order, in seconds since 1970.
        """
        real = self._real
        if real is None or not self._coversAll(real):
            return 0.0
        # One that is not valid yet is waited for: with a clock that is slow, the next one would
        # not be either.
        return renewalTime(real.notBefore, real.notAfter, self._dice, self._window)

    def _earliest(self) -> float:
        """
        When something may be ordered at the earliest, in seconds since 1970.
        """
        real = self._real
        if not self._setback.failures and (real is None or not self._coversAll(real)):
            return 0.0
        return self._setback.until

    def _replaced(self) -> str:
        real = self._real
        if real is None or not self._coversAll(real):
            return ""
        return renewalID(real)

    def _coversAll(self, certified: CertifiedKey) -> bool:
        return all(covers(certified.names, name) for name in self.names)

    def _isGood(self, certified: CertifiedKey | None) -> bool:
        return certified is not None and certified.notBefore <= self._now() < certified.notAfter

    def _placeholder(self) -> CertifiedKey:
        return selfSigned(self.names, self._now(), PLACEHOLDER_LIFE)

    def _refreshPlaceholder(self) -> None:
        if self._real is None and self._certified.notAfter - self._now() < 86_400.0:
            self._certified = self._placeholder()
            self._changes.changed()

    def _measure(self) -> None:
        self._metrics.gauge(rows.PLACEHOLDER).set(0 if self._real is not None else 1)
        self._metrics.gauge(rows.FAILURES).set(self._setback.failures)


def renewalID(certified: CertifiedKey) -> str:
    """
    The name by which an authority knows one of its certificates (RFC 9773 section 4.1); empty
    where that cannot be told.
    """
    certificate = certified.chain[0]
    try:
        issuer = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except (x509.ExtensionNotFound, ValueError):
        return ""
    identifier = issuer.value.key_identifier
    if identifier is None:
        return ""
    serial = certificate.serial_number
    # The content of a DER INTEGER, with room for its sign.
    number = serial.to_bytes(serial.bit_length() // 8 + 1, "big")
    return ".".join(
        base64.urlsafe_b64encode(each).decode("ascii").rstrip("=") for each in (identifier, number)
    )
