# -*- test-case-name: aero.test.test_errors -*-
"""
The errors of aero.

Local mistakes (L{ConfigurationError}) and remote mistakes (L{Refused}) are different
families: a local mistake stops the start with one sentence, a remote mistake says what
the peer is to be told.
"""

from __future__ import annotations


class AeroError(Exception):
    """
    The parent of every error that aero raises on purpose.
    """


class ConfigurationError(AeroError):
    """
    A setting has a value that aero does not accept; the process must not start.

    @ivar variable: The name of the variable, or of the option, as the operator wrote it.
    @ivar value: The value found; C{None} where there is nothing worth repeating (a secret).
    @ivar expected: What would be accepted instead, as the end of a sentence.
    """

    def __init__(self, variable: str, value: str | None, expected: str) -> None:
        self.variable = variable
        self.value = value
        self.expected = expected
        shown = variable if value is None else f"{variable}={_shown(value)}"
        super().__init__(f"Invalid configuration: {shown}: {expected}")


class StartError(AeroError):
    """
    The process cannot start for a reason outside its settings: a port in use, a directory
    that cannot be written. The text is one sentence for the operator.
    """


class Refused(AeroError):
    """
    A remote peer asked for something it is not given.

    @ivar status: The HTTP status code to answer with, where the request can still be answered.
    @ivar code: The stable one-word code of gateway.md section 3.7 (C{"forbidden"}).
    @ivar message: One sentence for the peer. It never repeats a secret.
    @ivar reason: A stable label for metrics and logs (C{"origin"}); the code by default.
    @ivar retryAfter: Seconds after which the same request may succeed, or C{None}.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        reason: str | None = None,
        retryAfter: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.reason = code if reason is None else reason
        self.retryAfter = retryAfter


class DecodeError(AeroError, ValueError):
    """
    Bytes from outside do not follow the format they claim to be in.
    """


def _shown(value: str) -> str:
    """
    Make a value fit for one line of an error message.
    """
    text = value if len(value) <= 80 else value[:77] + "..."
    return text if text.isprintable() and text == text.strip() and text else repr(text)
