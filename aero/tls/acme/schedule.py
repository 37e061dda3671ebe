# -*- test-case-name: aero.tls.acme.test.test_schedule -*-
"""
When to ask an authority for what. Pure decisions: the time and the dice are arguments.
"""

from __future__ import annotations

from dataclasses import dataclass

from .authority import ACMEError, Window

#: The part of its life after which a certificate is renewed, where the authority does not say.
RENEW_AFTER = 2 / 3

#: The part of its life that this may be earlier, so that servers which were started together
#: do not renew together.
RENEWAL_JITTER = 1 / 30

#: Seconds before the end in which a certificate is renewed whatever the authority suggests.
LAST_MOMENT = 3_600.0

#: The part of its life that comes to at most, for certificates of hours.
LAST_PART = 1 / 8

#: Seconds that a certificate is used at least, and the part of its life that comes to at most.
LEAST_USE = 3_600.0
LEAST_PART = 1 / 4

#: The longest wait after a failure, in seconds.
LONGEST_BACKOFF = 6 * 3_600.0

#: Seconds between a failure and the same attempt by the other kind of challenge.
OTHER_KIND = 5.0

#: The part of a wait that is left to chance.
BACKOFF_JITTER = 0.2

#: How often an authority is asked for its renewal window where it does not say, and what is
#: believed if it does, in seconds (RFC 9773 section 4.3.3).
WINDOW_INTERVAL = 6 * 3_600.0
WINDOW_LEAST = 60.0
WINDOW_MOST = 86_400.0


def renewalTime(notBefore: float, notAfter: float, dice: float, window: Window | None) -> float:
    """
    When to renew a certificate.

    @param dice: A number from 0 to 1, the same for as long as certificate and window are.
    @param window: What the authority suggests, if it does.
    @return: Seconds since 1970.
    """
    life = notAfter - notBefore
    latest = notAfter - min(LAST_MOMENT, life * LAST_PART)
    if window is not None:
        return min(window.begin + (window.end - window.begin) * dice, latest)
    return min(notBefore + life * (RENEW_AFTER - RENEWAL_JITTER * dice), latest)


def leastUse(life: float) -> float:
    """
    Seconds that a new certificate is used at least, whatever the authority suggests: one that
    always wants the next one would get it without end.
    """
    return min(LEAST_USE, life * LEAST_PART)


def windowInterval(window: Window | None) -> float:
    """
    Seconds until an authority is asked for its renewal window again.
    """
    if window is None or window.retryAfter is None:
        return WINDOW_INTERVAL
    return min(max(window.retryAfter, WINDOW_LEAST), WINDOW_MOST)


@dataclass(frozen=True, slots=True)
class Setback:
    """
    What stands in the way of the next attempt.

    @ivar failures: Failures since the last success.
    @ivar until: No attempt before this, in seconds since 1970; after a success too.
    @ivar told: Whether the authority itself asked for that wait.
    """

    failures: int = 0
    until: float = 0.0
    told: bool = False

    def after(
        self, error: ACMEError, now: float, dice: float, *, base: float, kinds: int
    ) -> Setback:
        """
        What stands in the way after another failure.

        A challenge that failed is tried by the other kind soon; everything else waits longer each
        time, and at least as long as the authority asks for.

        @param base: Seconds to wait after the first failure.
        @param kinds: The number of kinds of challenges.
        """
        failures = self.failures + 1
        if failures < kinds and isAboutChallenge(error):
            wait = min(OTHER_KIND, base)
        else:
            doublings = min(max(failures - kinds, 0), 32)
            wait = min(base * 2.0**doublings, max(LONGEST_BACKOFF, base))
            wait *= 1 + BACKOFF_JITTER * dice
        told = error.retryAfter is not None and error.retryAfter > wait
        if error.retryAfter is not None:
            # A little after the moment that everybody was told.
            wait = max(wait, error.retryAfter * (1 + 0.05 * dice))
        return Setback(failures, now + wait, told)

    def kind(self, kinds: tuple[str, ...]) -> str:
        """
        The kind of challenge to try next.
        """
        return kinds[self.failures % len(kinds)]


#: Errors that say no more than that a challenge was not met (RFC 8555 section 6.7).
_ABOUT_CHALLENGES = frozenset({"unauthorized", "connection", "dns", "tls", "incorrectResponse"})


def isAboutChallenge(error: ACMEError) -> bool:
    """
    Whether another kind of challenge may fare better.
    """
    return error.kind in _ABOUT_CHALLENGES or error.kind == "unsupported"
