"""
How much of a rate limit is left, read from the headers of an answer.

Read are ``x-ratelimit-remaining-requests`` and ``x-ratelimit-reset-requests`` (OpenAI, Azure, Groq),
``anthropic-ratelimit-requests-remaining`` and ``-reset``, ``x-ratelimit-remaining`` and ``-reset`` (GitHub),
``x-rate-limit-remaining``, ``ratelimit-remaining``, and ``RateLimit: "name";r=50;t=30`` with its ``RateLimit-Policy``
(drafts of the IETF). A limit of tokens counts only once it is used up, since a call takes an unknown number of them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from .answers import lower_headers
from .retry_after import seconds_of_list, time_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NUMBER = re.compile(r"\s*(\d{1,15})(?:\.\d{0,15})?\s*", re.ASCII)
ITEM = re.compile(r"""\s*("[^"]*"|[\w.*-]+)\s*((?:;[^,]*)?)""", re.ASCII)
PARAMETER = re.compile(r"[;,\s](r|t|w|q|remaining|reset)\s*=\s*(\d{1,15})(?![\d.])", re.ASCII)


class Allowance(NamedTuple):
    """
    What is left of a limit.

    Attributes:
        remaining: How many calls may be made.
        seconds: Seconds until the limit is reset.
    """

    remaining: int
    seconds: float


def allowance_of(answer: object) -> Allowance | None:
    """
    Return what the headers of an answer say is left, of several limits the one that allows least. None if they do not.

    Args:
        answer: Headers: a mapping or pairs, with names in any case. Or an answer that has them as ``headers``.
    """
    headers = lower_headers(getattr(answer, "headers", answer))
    found = [*_by_names(headers), *_of_ietf(headers)]
    return min(
        found,
        key=lambda allowance: (allowance.remaining / max(allowance.seconds, 0.001), -allowance.seconds),
        default=None,
    )


def _by_names(headers: Mapping[str, str]) -> Iterator[Allowance]:
    now = time_of(headers)
    for name, value in headers.items():
        match = NUMBER.fullmatch(value)
        if "remaining" not in name or match is None or not ("ratelimit" in name or "rate-limit" in name):
            continue
        seconds = seconds_of_list(headers.get(name.replace("remaining", "reset")), now, 1.0)
        if seconds is not None and (int(match[1]) < 1 or "token" not in name):
            yield Allowance(int(match[1]), seconds)


def _of_ietf(headers: Mapping[str, str]) -> Iterator[Allowance]:
    text = headers.get("ratelimit", "")
    if ";" not in text:  # older drafts: limit=100, remaining=50, reset=30
        values = dict(PARAMETER.findall(f",{text}"))
        if "remaining" in values and "reset" in values:
            yield Allowance(int(values["remaining"]), float(values["reset"]))
        return
    policies = {name: dict(PARAMETER.findall(rest)) for name, rest in ITEM.findall(headers.get("ratelimit-policy", ""))}
    for name, rest in ITEM.findall(text):
        values = dict(PARAMETER.findall(rest))
        seconds = values.get("t", policies.get(name, {}).get("w"))  # without a reset, within the window
        if "r" in values and seconds is not None:
            yield Allowance(int(values["r"]), float(seconds))
