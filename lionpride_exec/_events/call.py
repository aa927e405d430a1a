"""An event that calls a function. The user needs no class of their own."""

from __future__ import annotations

import sys
from functools import partial
from inspect import (
    CO_ASYNC_GENERATOR,
    CO_COROUTINE,
    CO_GENERATOR,
    isasyncgenfunction,
    iscoroutinefunction,
    isgeneratorfunction,
)
from types import CoroutineType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, ClassVar, Final, ParamSpec, Self, TypeVar, cast, overload

import attrs

from lionpride_exec._base.json_text import shown
from lionpride_exec.errors import ExecutionError

from .event import Event, T_co
from .place_options import call_outside
from .run_options import check_options, set_options
from .shown_fields import shown_arguments, shown_with_fields

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from lionpride_exec._model.element import Mode
    from lionpride_exec._model.retry import Retry

P = ParamSpec("P")
R = TypeVar("R")


def check_function(function: object) -> bool:
    """
    Check that a value is a function that an event can call: a function, a partial of one, or a callable object.

    Returns:
        Whether the function is async. A plain function runs in a thread, a process or an interpreter.

    Raises:
        TypeError: The value is none of these, or it is a class or a generator.
    """
    bare = _without_partials(function)
    if isasyncgenfunction(bare) or isasyncgenfunction(_call_of(bare)):
        raise TypeError(
            f"{name_of(function)} is an async generator; it must be an async function that returns its result"
        )
    if isgeneratorfunction(bare) or isgeneratorfunction(_call_of(bare)):
        raise TypeError(f"{name_of(function)} is a generator; it must be a function that returns its result")
    if isinstance(bare, type) or not callable(bare):
        kind = "the class" if isinstance(bare, type) else f"{type(bare).__name__},"
        raise TypeError(f"function must be a function, async or not, got {kind} {_shown(bare)}")
    return iscoroutinefunction(bare) or iscoroutinefunction(_call_of(bare))


def check_async(function: object) -> None:
    """
    Check that a value is an async function, a partial of one, or an object with an async ``__call__``.

    Raises:
        TypeError: The value is none of these.
    """
    if not check_function(function):
        raise TypeError(f"function must be async (async def), got {name_of(function)}")


def is_async(function: Any) -> bool:
    """
    Do the same in less time, for functions that are called often.

    Raises:
        TypeError: As for :func:`check_function`.
    """
    bare = function.__func__ if type(function) is MethodType else function
    if type(bare) is FunctionType:  # mostly known without ``inspect``, which asks much more
        kind = bare.__code__.co_flags & (CO_COROUTINE | CO_GENERATOR | CO_ASYNC_GENERATOR)
        if kind == CO_COROUTINE:
            return True
        if not kind and not bare.__dict__:  # where a plain function may be marked as async
            return False
    return check_function(function)


def name_of(function: object) -> str:
    """Return the qualified name of a function, of the function in a partial, or of the class of a callable object."""
    bare = _without_partials(function)
    name = getattr(bare, "__qualname__", None)
    return name if isinstance(name, str) else type(bare).__qualname__


def _shown(value: object) -> str:
    return value.__qualname__ if isinstance(value, type) else shown(value)


def _full_name_of(function: object) -> str:
    bare = _without_partials(function)
    if isinstance(bare, _FromRecord):
        return bare.name
    module = getattr(bare, "__module__", None)
    return f"{module}.{name_of(bare)}" if isinstance(module, str) else name_of(bare)


def lasting_name_of(function: Callable[..., Any]) -> str:
    """Return the full name of a function, the same whether its module is run or imported."""
    name = _full_name_of(function)
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    if not name.startswith("__main__.") or file is None:
        return name
    from pathlib import Path  # noqa: PLC0415  slow to import

    return Path(file).stem + name.removeprefix("__main__")


def _without_partials(function: object) -> object:
    while isinstance(function, partial):
        function = cast("partial[object]", function).func
    return function


def _call_of(function: object) -> object:
    return getattr(type(function), "__call__", None)  # noqa: B004  the method itself is needed


def _valid_function(instance: Call[Any], _attribute: object, value: Any) -> None:
    # As in is_async(), without the call.
    function: Any = value.__func__ if type(value) is MethodType else value
    is_plain_async = type(function) is FunctionType and function.__code__.co_flags & CO_COROUTINE
    if not is_plain_async and not is_async(value):
        return
    if instance._run_in is not None and type(value) is not _FromRecord:
        raise TypeError(f"{type(instance).__name__} has run_in={instance._run_in!r}, and {name_of(value)} is async")


def _to_tuple(values: Iterable[Any]) -> tuple[Any, ...]:
    # attrs reads the signature of a converter. For a builtin like `tuple` that takes 2 ms of each import.
    return values if type(values) is tuple else tuple(values)


class Call(Event[T_co]):
    """
    An event that calls a function: ``Call.of(fetch, url, retries=3)``.

    An async function runs in the event loop. A plain function (``def``) runs in a thread, or where its executor
    (``run_in="process"``) or its class (``class Parse(Call, run_in="process")``) says.

    ``to_dict("json")`` writes the full name of the function, and the arguments as JSON-safe data. ``from_dict()`` never
    imports or looks up that name. So assign ``event.function`` before you run a restored event: without a function it
    ends FAILED. ``to_dict("python")`` keeps the function itself.

    Args:
        function: A function, a ``functools.partial`` of one, or an object with a ``__call__``.
        args: The positional arguments of the call.
        kwargs: The keyword arguments of the call.
        fields: The fields of :class:`Event`.

    Raises:
        TypeError: The value is no function, or a class or a generator; or the function is async, and the class has
            ``run_in``. Raised at construction and at assignment.
    """

    function: Callable[..., Awaitable[T_co]] = attrs.field(validator=_valid_function)
    args: tuple[Any, ...] = attrs.field(default=(), converter=_to_tuple)
    # ``dict[str, Any]()`` takes nine times as long as ``dict()``.
    kwargs: dict[str, Any] = attrs.field(factory=cast("Callable[[], dict[str, Any]]", dict))

    # _own_to_dict() writes the function by hand, because jsonable() may run code of a callable object.
    _not_serialised: ClassVar[frozenset[str]] = Event._not_serialised | {"function"}

    @overload
    @classmethod
    def of(cls, function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> Call[R]: ...

    @overload
    @classmethod
    def of(cls, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Call[R]: ...

    @classmethod
    def of(cls, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Call[Any]:
        """
        Return an event that calls ``function(*args, **kwargs)``. Type checkers check the arguments.

        Raises:
            TypeError: As at the construction.
        """
        return cast("type[Call[Any]]", cls)(function=function, args=args, kwargs=kwargs)

    def with_options(self, *, timeout: float | None = None, retry: Retry | None = None) -> Self:
        """
        Set options of the event, and return the event: ``Call.of(fetch, url).with_options(timeout=5)``.

        The arguments of :meth:`of` are those of the function, which may have a ``timeout`` itself.

        Args:
            timeout: How many seconds a run may take, positive. None leaves it as it is.
            retry: Whether and when the call runs again after a failure. None leaves it as it is.

        Raises:
            ValueError: The timeout is not finite or not positive, or the retry is no :class:`Retry`. Nothing has
                changed.
        """
        check_options(timeout, retry)
        set_options(self, timeout, retry)
        return self

    async def _invoke(self) -> T_co:
        if is_async(self.function):
            return await self.function(*self.args, **self.kwargs)
        return cast("T_co", await call_outside(self, self.function, self.args, self.kwargs))

    def _perform(self) -> Awaitable[Any]:
        if type(self)._invoke is not _PLAIN_INVOKE or "_invoke" in self.__dict__ or self.streaming:
            return super()._perform()
        function: Any = self.function
        # The first question is that of is_async(), without the call.
        is_plain_async = type(function) is FunctionType and function.__code__.co_flags & CO_COROUTINE
        if not is_plain_async and not is_async(function):
            return call_outside(self, function, self.args, self.kwargs)
        # What _invoke() does, without a coroutine around that of the function.
        work = function(*self.args, **self.kwargs)
        return work if type(work) is CoroutineType else _result_of(work)

    def __repr__(self) -> str:
        arguments = shown_arguments(self, self.args, self.kwargs)
        return shown_with_fields(self, [name_of(self.function), *arguments], ("args", "kwargs"))

    def __str__(self) -> str:
        is_plain = type(self).__repr__ is Call.__repr__
        return f"{type(self).__name__}({name_of(self.function)}, id={self.id})" if is_plain else repr(self)

    def _own_to_dict(self, mode: Mode, **kwargs: Any) -> dict[str, Any]:
        data = super()._own_to_dict(mode, **kwargs)
        data["function"] = self.function if mode == "python" else _full_name_of(self.function)
        return data

    @classmethod
    def _own_from_dict(cls, fields: dict[str, Any], **kwargs: Any) -> Self:
        if isinstance(fields.get("function"), str):
            fields["function"] = _FromRecord(fields["function"])
        return super()._own_from_dict(fields, **kwargs)


# ``Call._invoke()`` of this module, to see whether a subclass has one of its own.
_PLAIN_INVOKE: Final = Call._invoke


async def _result_of(work: Awaitable[Any]) -> Any:
    """Await what a function has returned instead of a coroutine. A value that cannot be awaited raises here."""
    return await work


class _FromRecord:
    """A placeholder for a function of which only the name is known."""

    def __init__(self, name: str) -> None:
        self.name: str = name
        self.__qualname__: str = name.rpartition(".")[2]

    async def __call__(self, *_: object, **__: object) -> Any:
        raise ExecutionError(
            f"a record has kept only the name of the function of this event, {self.name}; "
            "assign event.function before the event is run",
            retryable=False,
        )
