"""
Strategies of Hypothesis for events, configurations, limits and the other arguments of an executor.

All values are valid. They shrink towards the simplest: no priority, no limits, no retry, one of each. This module needs
the extra ``testing``.
"""

from __future__ import annotations

from datetime import time
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_type_hints

import attrs
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from lionpride_exec._events.event import Event
from lionpride_exec._model.limits import Concurrent, Limit, Rate
from lionpride_exec._model.quota import Quota
from lionpride_exec._model.retry import Retry
from lionpride_exec._model.unknown_fields import explain_unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["configs", "events", "limits", "priorities", "retries", "timeouts"]

_EACH_TEN_MINUTES = tuple(time(hour, minute) for hour in range(24) for minute in range(0, 60, 10))

E = TypeVar("E", bound=Event[Any])

# Fields that only the package sets, and fields that events() draws by itself or leaves alone.
_NOT_DRAWN = frozenset({"id", "created_at", "metadata", "execution", "streaming", "idle_timeout", "timeout", "retry"})


def priorities() -> SearchStrategy[float | None]:
    """Return a strategy for priorities: None (the default), integers from -3 to 3, floats from -1e9 to 1e9."""
    return st.none() | st.integers(-3, 3) | st.floats(-1e9, 1e9)


def timeouts() -> SearchStrategy[float | None]:
    """Return a strategy for timeouts: None, or 0.125 to 60 seconds."""
    return st.none() | st.floats(0.125, 60.0, width=16)


def limits(
    *,
    keys: Sequence[str] = (),
    costs: Sequence[str] = (),
    min_amount: int = 1,
    max_size: int = 3,
    quotas: bool = False,
) -> SearchStrategy[list[Limit]]:
    """
    Return a strategy for lists of up to ``max_size`` limits.

    Each limit is a ``Concurrent`` of 1 to 5, or a ``Rate`` of ``min_amount`` to ``min_amount + 10`` in 0.125 to 60
    seconds, with or without ``hold``. It holds for all events, or for each value of one of the keys. Then the amount is
    a number, or a mapping with an amount for all keys.

    Args:
        keys: Names of attributes of your events that can be the ``key`` of a limit.
        costs: Names of attributes that can be the ``cost`` of a rate.
        min_amount: The most that one event costs, at least 1. An event that costs more than the amount is refused.
        max_size: The longest list, 0 or more.
        quotas: Whether a limit may also be a ``Quota`` with the amounts of a rate, and a reset every ten minutes. The
            wall clock has to be virtual, as in ``run(start=)`` and in an ``ExecutorMachine``. A real one stands still
            while virtual time passes.
    """
    amounts = st.integers(min_amount, min_amount + 10)
    rates = {"per": st.floats(0.125, 60.0, width=16)}
    counted: dict[str, SearchStrategy[Any]] = {"cost": st.sampled_from([None, *costs]), "hold": st.booleans()}
    kinds = [_limits_of(Concurrent, st.integers(1, 5), keys, {}), _limits_of(Rate, amounts, keys, rates | counted)]
    if quotas:
        kinds.append(_limits_of(Quota, amounts, keys, {"resets": st.just(_EACH_TEN_MINUTES)} | counted))
    return st.lists(st.one_of(kinds), max_size=max_size)


def _limits_of(
    kind: Any, amounts: SearchStrategy[int], keys: Sequence[str], fields: dict[str, SearchStrategy[Any]]
) -> SearchStrategy[Limit]:
    """Return a strategy for limits of a kind, for all events, or for each key."""
    for_all = st.builds(kind, amounts, **fields)
    if not keys:
        return for_all
    by_key = amounts | amounts.map(lambda amount: {...: amount})
    return for_all | st.builds(kind, by_key, key=st.sampled_from(keys), **fields)


def retries() -> SearchStrategy[Retry]:
    """
    Return a strategy for ``Retry``, with 1 to 4 attempts and a backoff of 0 to 8 seconds.

    Some have jitter, a deadline of 1 to 60 seconds, or a budget from 0 to 1. All retry after any ``Exception``.
    """
    return st.builds(
        Retry,
        st.integers(1, 4),
        backoff=st.sampled_from([0.0, 0.5, 1.0, 8.0]),
        jitter=st.sampled_from([0.0, 0.5, 1.0]),
        deadline=st.none() | st.sampled_from([1.0, 10.0, 60.0]),
        budget=st.none() | st.sampled_from([0.0, 0.5, 1.0]),
    )


def configs(**fixed: Any) -> SearchStrategy[dict[str, Any]]:
    """
    Return a strategy for configurations: a ``processor_config``, or keywords for ``Executor.of(cls, **config)``.

    ``queue_capacity`` is 1 to 20 in a ``capacity_refresh_time`` of 0.125 to 10 seconds, ``concurrency_limit`` is 1 to 5
    and ``max_queue_size`` 1 to 20. There are up to three ``limits()`` without keys, a retry or none, and a timeout or
    none.

    Args:
        fixed: Any values to use instead, or strategies to draw from: ``configs(concurrency_limit=1,
            limits=limits(keys=["host"]))``. Keywords of your own processor are possible too.
    """
    parts: dict[str, SearchStrategy[Any]] = {
        "queue_capacity": st.integers(1, 20),
        "capacity_refresh_time": st.floats(0.125, 10.0, width=16),
        "concurrency_limit": st.integers(1, 5),
        "max_queue_size": st.integers(1, 20),
        "limits": limits(),
        "retry": st.none() | retries(),
        "timeout": timeouts(),
    }
    return st.fixed_dictionaries(parts | {name: _as_strategy(value) for name, value in fixed.items()})


def events(cls: type[E], **fields: Any) -> SearchStrategy[E]:
    """
    Return a strategy for new events of a class, with each field drawn by its annotation.

    Numbers are finite. These fields keep their default: fields annotated with ``Any`` or ``object``, fields whose name
    begins with an underscore, fields that only the package sets (``id``, ``created_at``, ``execution``), ``metadata``,
    and the fields for streaming. ``timeout`` and ``retry`` are drawn from :func:`timeouts`, :func:`retries` and None.

    Args:
        cls: The class of the events.
        fields: A value or a strategy for any field: ``events(Fetch, url=st.sampled_from(URLS), timeout=None)``.

    Raises:
        TypeError: The class has no field of this name, or the annotation of a field without a default does not say what
            to draw.
    """
    known = {field.alias or field.name: field for field in attrs.fields(cast("Any", cls)) if field.init}
    complaint = explain_unknown(cls, fields)
    if complaint is not None:
        raise TypeError(complaint)
    parts: dict[str, SearchStrategy[Any]] = {"timeout": timeouts(), "retry": st.none() | retries()}
    for name, field in known.items():
        if name not in fields and name not in _NOT_DRAWN and not field.name.startswith("_"):
            strategy = _by_annotation(cls, field)
            if strategy is not None:
                parts[name] = strategy
    return st.builds(cls, **parts | {name: _as_strategy(value) for name, value in fields.items()})


def _as_strategy(value: Any) -> SearchStrategy[Any]:
    return value if isinstance(value, SearchStrategy) else st.just(value)


def _by_annotation(cls: type[Event[Any]], field: attrs.Attribute[Any]) -> SearchStrategy[Any] | None:
    """
    Return a strategy for a field. None if the field keeps its default.

    Raises:
        TypeError: The field has no default, and its annotation does not say what to draw.
    """
    try:
        annotation = get_type_hints(cls).get(field.name, field.type)
    except NameError:  # a name that is local to a function
        annotation = field.type
    if isinstance(annotation, str) or annotation in {None, Any, object}:
        if field.default is attrs.NOTHING:
            raise TypeError(f"{cls.__qualname__}.{field.name} is {annotation!r}: say what to draw for it")
        return None
    if annotation is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    return st.from_type(cast("type[Any]", annotation))
