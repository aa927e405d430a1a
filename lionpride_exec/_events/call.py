"""An event that calls an async function. The user needs no class of their own."""

from __future__ import annotations

from functools import partial
from inspect import CO_COROUTINE, isasyncgenfunction, iscoroutinefunction
from types import CoroutineType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, ClassVar, Final, ParamSpec, Self, TypeVar, cast

import attrs

from lionpride_exec.errors import ExecutionError

from .event import Event, T_co

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from lionpride_exec._model.element import Mode

P = ParamSpec("P")
R = TypeVar("R")


def check_async(function: object) -> None:
    """
    Check that a value is an async function, a partial of one, or an object with an async ``__call__``.

    Raises:
        TypeError: The value is none of these.
    """
    bare = _without_partials(function)
    if isasyncgenfunction(bare) or isasyncgenfunction(_call_of(bare)):
        raise TypeError(
            f"{name_of(function)} is an async generator; it must be an async function that returns its result"
        )
    if isinstance(bare, type) or not (iscoroutinefunction(bare) or iscoroutinefunction(_call_of(bare))):
        raise TypeError(f"function must be async (async def), got {name_of(function)}")


def name_of(function: object) -> str:
    """Return the qualified name of a function, of the function in a partial, or of the class of a callable object."""
    bare = _without_partials(function)
    name = getattr(bare, "__qualname__", None)
    return name if isinstance(name, str) else type(bare).__qualname__


def _full_name_of(function: object) -> str:
    bare = _without_partials(function)
    if isinstance(bare, _FromRecord):
        return bare.name
    module = getattr(bare, "__module__", None)
    return f"{module}.{name_of(bare)}" if isinstance(module, str) else name_of(bare)


def _without_partials(function: object) -> object:
    while isinstance(function, partial):
        function = cast("partial[object]", function).func
    return function


def _call_of(function: object) -> object:
    return getattr(type(function), "__call__", None)  # noqa: B004  the method itself is needed


def _valid_function(_instance: object, _attribute: object, value: Any) -> None:
    # The flags of a function or method tell at once that it is a plain "async def". check_async() also knows partials
    # and callable objects. It asks ``inspect`` four times, which costs as much as the rest of the constructor.
    function: Any = value.__func__ if type(value) is MethodType else value
    if type(function) is not FunctionType or not function.__code__.co_flags & CO_COROUTINE:
        check_async(value)


def _to_tuple(values: Iterable[Any]) -> tuple[Any, ...]:
    # attrs reads the signature of a converter. For a builtin like `tuple` that takes 2 ms of each import.
    return values if type(values) is tuple else tuple(values)


class Call(Event[T_co]):
    """
    An event that calls an async function: ``Call.of(fetch, url, retries=3)``.

    ``to_dict("json")`` writes the full name of the function, and the arguments as JSON-safe data. ``from_dict()`` never
    imports or looks up that name. So assign ``event.function`` before you run a restored event: without a function it
    ends FAILED. ``to_dict("python")`` keeps the function itself.

    Args:
        function: An async function, a ``functools.partial`` of one, or an object with an async ``__call__``.
        args: The positional arguments of the call.
        kwargs: The keyword arguments of the call.
        fields: The fields of :class:`Event`.

    Raises:
        TypeError: The function is not async. Raised at construction and at assignment.
    """

    function: Callable[..., Awaitable[T_co]] = attrs.field(validator=_valid_function)
    args: tuple[Any, ...] = attrs.field(default=(), converter=_to_tuple)
    # ``dict[str, Any]()`` takes nine times as long as ``dict()``.
    kwargs: dict[str, Any] = attrs.field(factory=cast("Callable[[], dict[str, Any]]", dict))

    # _own_to_dict() writes the function by hand, because jsonable() may run code of a callable object.
    _not_serialised: ClassVar[frozenset[str]] = Event._not_serialised | {"function"}

    @classmethod
    def of(cls, function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> Call[R]:
        """
        Return an event that calls ``function(*args, **kwargs)``. Type checkers check the arguments.

        Raises:
            TypeError: The function is not async.
        """
        return cast("type[Call[R]]", cls)(function=function, args=args, kwargs=kwargs)

    async def _invoke(self) -> T_co:
        return await self.function(*self.args, **self.kwargs)

    def _perform(self) -> Awaitable[Any]:
        if type(self)._invoke is not _PLAIN_INVOKE or "_invoke" in self.__dict__ or self.streaming:
            return super()._perform()
        # What _invoke() does, without a coroutine around that of the function.
        work = self.function(*self.args, **self.kwargs)
        return work if type(work) is CoroutineType else _result_of(work)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({name_of(self.function)}, id={self.id})"

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
