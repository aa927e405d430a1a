"""``--rate``, ``--key`` and related options: read them, and make limits of them and of the fields of a record."""

from __future__ import annotations

import re
from math import inf
from sys import float_info
from typing import TYPE_CHECKING, Any

import attrs

from lionpride_exec._base.field_paths import MISSING, is_inside, look_up, look_up_field
from lionpride_exec._base.json_text import plain_of, shown
from lionpride_exec._base.redaction import digest_of, redacted_paths
from lionpride_exec._base.wording import did_you_mean
from lionpride_exec._cli.errors import BadLineError, UsageError
from lionpride_exec._model.adaptive import Adaptive
from lionpride_exec._model.limits import Concurrent, Rate
from lionpride_exec._model.retry import Retry
from lionpride_exec._validation import is_number

from .error_rules import STATUS, RetryRule, check_together, parse_errors
from .line_identity import fields_of_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from lionpride_exec._events.event import Event
    from lionpride_exec._model.key_amounts import Amount
    from lionpride_exec._model.limits import Limit

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
RATE = re.compile(r"(?:(.+?)=)?(\d{1,15})/(\d{1,15}(?:\.\d+)?|\.\d+)?(ms|s|m|h)(?::(.+))?", re.ASCII)

ADAPTIVE = re.compile(r"(\d{1,15})/(\d{1,15}(?:\.\d+)?|\.\d+)?(ms|s|m|h)(?::(\d{1,15})-(\d{1,15}))?", re.ASCII)

# Without bounds, a pace is learned from the first one divided by this number up to the first one times this number.
BOUNDS = 100

WHOLE = re.compile(r"-?(0|[1-9]\d{0,17})", re.ASCII)

# What stands for all other keys in ``--rate KEY=AMOUNT/TIME``.
ALL_OTHERS = "*"

NO_LIMIT = 1_000_000_000

# Attribute of an event that was made of a line: the values that its limits go by.
VALUES = "_limit_values"

# In the metadata of an event whose key is redacted: the digest that stands for the key.
KEY_DIGEST = "_run_key"


@attrs.frozen
class RateOption:
    """
    A ``--rate`` that has been read.

    Attributes:
        amount: How many starts, or how much cost, in any ``per`` seconds.
        per: Seconds.
        cost: Field of the record, or a path into it, with the cost of a start. None if each start costs 1.
        key: The only key that the amount is for. ``*`` for all keys without an amount, None for each key.
    """

    amount: int
    per: float
    cost: str | None = None
    key: str | None = None


def parse_rate(text: str) -> RateOption:
    """
    Read ``[KEY=]AMOUNT/TIME[:FIELD]``, such as ``500/60s``, ``90000/1m:tokens`` or ``small=1500/60s``.

    Raises:
        UsageError: The text does not have this form.
    """
    match = RATE.fullmatch(text)
    if match is None:
        raise UsageError(
            f"--rate must be AMOUNT/TIME, AMOUNT/TIME:FIELD or KEY=AMOUNT/TIME, such as 500/60s, 90000/1m:tokens or "
            f"small=1500/60s (units {', '.join(SECONDS)}), got {text!r}"
        )
    key, amount, number, unit, cost = match.groups()
    if int(amount) < 1:
        raise UsageError(f"--rate {text}: the amount must be at least 1")
    per = float(number or 1) * SECONDS[unit]
    if not per:
        raise UsageError(f"--rate {text}: the time must be more than 0")
    return RateOption(int(amount), per, cost, key)


def parse_adaptive(text: str) -> Adaptive:
    """
    Read ``INITIAL/TIME[:MINIMUM-MAXIMUM]``, such as ``10/s`` or ``600/m:10-6000``.

    Raises:
        UsageError: The text does not have this form, or the numbers are not in order.
    """
    match = ADAPTIVE.fullmatch(text)
    if match is None:
        raise UsageError(
            f"--adaptive must be INITIAL/TIME or INITIAL/TIME:MINIMUM-MAXIMUM, such as 10/s or 600/m:10-6000 "
            f"(units {', '.join(SECONDS)}), got {text!r}"
        )
    initial, number, unit, *bounds = match.groups()
    minimum, maximum = (int(initial) / BOUNDS, int(initial) * BOUNDS) if None in bounds else map(int, bounds)
    try:
        return Adaptive(int(initial), minimum, maximum, per=float(number or 1) * SECONDS[unit])
    except ValueError as exc:
        raise UsageError(f"--adaptive {text}: {exc}") from exc


def parse_codes(texts: Iterable[str]) -> frozenset[int]:
    """
    Read status codes. A text may have several, with commas between.

    Raises:
        UsageError: A part is not a status code.
    """
    codes: set[int] = set()
    for text in texts:
        for part in text.split(","):
            if not STATUS.fullmatch(part.strip()):
                raise UsageError(
                    f"--pause-on must be status codes from 100 to 599, such as 429 or 429,503, got {text!r}"
                )
            codes.add(int(part))
    return frozenset(codes)


@attrs.frozen(kw_only=True)
class LimitOptions:
    """
    The options that limit starts and runs, read.

    Attributes:
        rates: All ``--rate`` options.
        adaptive: ``--adaptive``, apart from its key. None without.
        key: Field of the record, or a path into it. Each value has limits of its own. None if all events share them.
        per_key: How many events of a key may run at the same time.
        retries: How often an event is run again.
        codes: Status codes that pause a key.
        rule: Which errors are retried.
        max_pause: Seconds that a pause may last. None for the default of :class:`Retry`.
    """

    rates: tuple[RateOption, ...]
    adaptive: Adaptive | None
    key: str | None
    per_key: int | None
    retries: int
    codes: frozenset[int]
    rule: RetryRule
    max_pause: float | None

    @property
    def fields(self) -> LimitFields:
        """The fields of a record that the limits go by."""
        return LimitFields(self.key, frozenset(rate.cost for rate in self.rates if rate.cost is not None))

    @property
    def processor_config(self) -> dict[str, Any]:
        """Keywords of the processor. Only what was asked for, since not every processor takes all of them."""
        key_of = None if self.key is None else _value_of(self.key, None)
        limits: list[Limit] = [
            Rate(amount, per=per, cost=None if cost is None else _value_of(cost, 1), key=key_of)
            for amount, per, cost in _grouped(self.rates)
        ]
        if self.adaptive is not None:
            limits.append(attrs.evolve(self.adaptive, key=key_of))
        if self.per_key is not None or (self.key is not None and not limits):
            # Without a number, a limit that is never reached: pauses go by the keys of limits.
            limits.append(Concurrent(self.per_key or NO_LIMIT, key=key_of))
        config: dict[str, Any] = {"limits": limits} if limits else {}
        return config | self._retry

    @property
    def _retry(self) -> dict[str, Any]:
        if not self.retries and self.max_pause is None:
            return {}
        bound: dict[str, Any] = {} if self.max_pause is None else {"max_pause": self.max_pause}
        rule: dict[str, Any] = {"on": self.rule} if self.rule.only or self.rule.never else {}
        return {"retry": Retry(attempts=self.retries + 1, **bound, **rule)}


def _grouped(rates: Iterable[RateOption]) -> Iterator[tuple[Amount, float, str | None]]:
    """Yield the amount, the time and the cost of each rate. Amounts of keys with the same time and cost are one."""
    by_key: dict[tuple[float, str | None], dict[Any, float]] = {}
    for rate in rates:
        if rate.key is None:
            yield rate.amount, rate.per, rate.cost
        else:
            by_key.setdefault((rate.per, rate.cost), {})[... if rate.key == ALL_OTHERS else rate.key] = rate.amount
    for (per, cost), amounts in by_key.items():
        numbers = {int(key): amount for key, amount in amounts.items() if key is not ... and WHOLE.fullmatch(key)}
        yield amounts | numbers, per, cost  # the key of a record may be a number


def read_limits(
    rates: Iterable[str],
    *,
    adaptive: str | None = None,
    key: str | None,
    per_key: int | None,
    retries: int,
    pause_on: Iterable[str],
    retry_on: Iterable[str] = (),
    no_retry_on: Iterable[str] = (),
    max_pause: float | None = None,
) -> LimitOptions:
    """
    Read the options that limit starts and runs.

    Raises:
        UsageError: An option cannot be read, or needs another one.
    """
    options = LimitOptions(
        rates=tuple(map(parse_rate, rates)),
        adaptive=None if adaptive is None else parse_adaptive(adaptive),
        key=key,
        per_key=per_key,
        retries=retries,
        codes=parse_codes(pause_on),
        rule=RetryRule(parse_errors("--retry-on", retry_on), parse_errors("--no-retry-on", no_retry_on)),
        max_pause=max_pause,
    )
    check_together(options.rule, retries=retries, paused=options.codes)
    if max_pause is not None and not 0 <= max_pause < inf:
        raise UsageError(f"--max-pause must be a number of seconds, 0 or more, got {max_pause}")
    if retries < 0:
        raise UsageError(f"--retries must be 0 or more, got {retries}")
    if per_key is not None and per_key < 1:
        raise UsageError(f"--concurrency-per-key must be 1 or more, got {per_key}")
    if per_key is not None and key is None:
        raise UsageError("--concurrency-per-key needs --key FIELD, the field of the record to go by")
    if key is None and any(rate.key is not None for rate in options.rates):
        raise UsageError("--rate KEY=AMOUNT/TIME needs --key FIELD, the field of the record that has the key")
    if key is not None and not (options.rates or options.adaptive or per_key or options.codes):
        raise UsageError("--key does nothing without --rate, --adaptive, --concurrency-per-key or --pause-on")
    return options


@attrs.frozen
class LimitFields:
    """
    The fields of a record that limits go by. Each may be a path into the record.

    An event keeps the values beside its own fields. An event that another event appended has no record: its attributes
    with these names count. If it has none, it has no key, limits by key do not hold for it, and its cost is 1.
    """

    key: str | None
    costs: frozenset[str]

    @property
    def names(self) -> frozenset[str]:
        """All fields."""
        return self.costs if self.key is None else self.costs | {self.key}

    def read(self, record: Any) -> dict[str, Any]:
        """
        Return the values of the fields in a record.

        Raises:
            BadLineError: A value is missing or null, or cannot be a key or a cost.
        """
        if not self.names:
            return {}
        found = {name: value_at(record, name) for name in self.names}
        for name in sorted(self.costs):
            _check_cost(record, name, found[name])
        if self.key is not None:
            _check_key(record, self.key, found[self.key])
        return found


def value_at(record: Any, path: str) -> Any:
    """Return the value at a path in a record. None if it is missing or null."""
    found = look_up(record, path)
    if found is MISSING:
        return None
    return plain_of(found) if isinstance(found, int) else found  # an int with too many digits becomes text


def absence_of(record: Any, path: str) -> str:
    """Return "null" if the path leads to a null, and "missing" if it leads to nothing. Add a name that is close."""
    if look_up(record, path) is not MISSING:
        return "null"
    return f"missing{did_you_mean(path, record)}" if isinstance(record, dict) else "missing"


def keep_values(event: Event, values: Mapping[str, Any], secret_key: str | None = None) -> None:
    """
    Have an event keep the values that its limits go by.

    Args:
        event: The event, made of a record.
        values: The values, by the names of the fields.
        secret_key: The name of the key field if it is redacted. A digest stands for its value, on disk too.
    """
    if secret_key is not None:
        values = {**values, secret_key: digest_of(values[secret_key])}
        event.metadata[KEY_DIGEST] = values[secret_key]
    if values:
        event._set(VALUES, values)


def _value_of(name: str, default: Any) -> Callable[[Any], Any]:
    def value_of(event: Event) -> Any:
        """Return the value of the field in the record of an event."""
        values = getattr(event, VALUES, None)
        if values is not None:
            return values[name]
        record = fields_of_record(event)  # it has come back from a journal
        if record is None:
            value = look_up_field(event, name)
            is_secret = any(is_inside(name, path) for path in redacted_paths(event))
            return default if value is MISSING else digest_of(value) if is_secret and default is None else value
        if default is None and KEY_DIGEST in event.metadata:
            return event.metadata[KEY_DIGEST]
        value = value_at(record, name)
        return default if value is None or isinstance(value, list | dict) else value

    value_of.__qualname__ = name  # for messages
    return value_of


def _check_cost(record: Any, name: str, value: Any) -> None:
    if value is None:
        raise BadLineError(f"cost {name!r} must be a number: it is {absence_of(record, name)}")
    if not is_number(value) or not 0 <= value <= float_info.max:
        raise BadLineError(f"cost {name!r} must be a number, 0 or more: got {shown(value)}")


def _check_key(record: Any, name: str, value: Any) -> None:
    if value is None:
        raise BadLineError(f"key {name!r} is {absence_of(record, name)}")
    if isinstance(value, list | dict):
        raise BadLineError(f"key {name!r} must be a text or a number: got {shown(value)}")
