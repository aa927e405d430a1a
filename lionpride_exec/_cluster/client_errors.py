"""
What the errors of the client library (coredis) mean: the server was not reached, or it refuses.

With ``wire``, this is the only module that knows the client library.
"""

from __future__ import annotations

from typing import cast

import anyio
import coredis
import coredis.exceptions

from lionpride_exec._base.exception_groups import leaves
from lionpride_exec._base.redaction import STARS
from lionpride_exec.errors import ClusterError


class NotReachedError(Exception):
    """The server was not reached, or the answer did not arrive. A command may have been run."""


# Refusals that pass by themselves, for example while another server takes over.
TRANSIENT = (
    coredis.exceptions.ReadOnlyError,
    coredis.exceptions.ClusterDownError,
    coredis.exceptions.TryAgainError,
    coredis.exceptions.UnblockedError,
)

# What such refusals begin with that the client library has no class for: another script has run for some seconds, or
# the replicas are not connected.
TRANSIENT_CODES = ("BUSY ", "MASTERDOWN ", "NOREPLICAS ")


# What the client raises where a connection breaks, or the server says no. All else is a fault of a program.
EXPECTED = (
    coredis.exceptions.RedisError,
    OSError,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
    ClusterError,
    NotReachedError,
)

# Errors of the client about how it is used.
MISUSE = (coredis.exceptions.CommandSyntaxError, coredis.exceptions.DataError)


def meaning_of(error: BaseException, password: str, shown_url: str) -> ClusterError | NotReachedError:
    """Return what an error of the client stands for, with the error as its cause. Passwords are removed from both."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    _hide(password, error)
    if isinstance(error, ClusterError | NotReachedError):
        return error
    said = _said(error)
    is_transient = isinstance(error, TRANSIENT) or said.startswith(TRANSIENT_CODES)
    is_refusal = isinstance(error, coredis.exceptions.ResponseError) and not is_transient
    meaning = _refusal(error, said, shown_url) if is_refusal else NotReachedError(said)
    meaning.__cause__ = error
    return meaning


def fault_in(error: BaseException) -> BaseException | None:
    """Return the first error in an error that no server and no connection causes. None if there is none."""
    return next((leaf for leaf in leaves(error) if not isinstance(leaf, EXPECTED) or isinstance(leaf, MISUSE)), None)


def _hide(password: str, error: BaseException) -> None:
    """Remove the password from the texts of an error. A server that does not know a command repeats the arguments."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, coredis.exceptions.UnknownCommandError):  # may repeat the beginning of a password
            one.args = (str(one).partition(",")[0],)
        elif password and password in str(one):
            one.args = (str(one).replace(password, STARS),)
        inside = one.exceptions if isinstance(one, BaseExceptionGroup) else ()
        waiting += [other for other in (one.__cause__, one.__context__, *inside) if other is not None]


def _said(error: BaseException) -> str:
    """Return the text of the last cause that has one. The client's own text says only that it did not connect."""
    said, found = "", cast("BaseException | None", error)
    while found is not None:
        if isinstance(found, BaseExceptionGroup):
            found = found.exceptions[0]
        else:
            said, found = str(found) or said, found.__cause__
    return said or type(error).__name__


def _refusal(error: BaseException, said: str, shown_url: str) -> ClusterError:
    """Return the error for what the server refuses."""
    if isinstance(error, coredis.exceptions.AuthenticationError | coredis.exceptions.AuthorizationError):
        return ClusterError(f"{shown_url} refuses the user: {said}")
    if "EPOCH" in said:
        return ClusterError(f"{shown_url} has lost the data of this queue")
    if "LEASE " in said:
        lease = int(said.partition("LEASE ")[2]) / 1000
        return ClusterError(f"another worker of the same queue on {shown_url} has a lease of {lease:g} s")
    if "OOM" in said or "maxmemory" in said:
        return ClusterError(f"the memory of {shown_url} is full", retryable=True)
    return ClusterError(f"{shown_url} refuses a command: {said}")
