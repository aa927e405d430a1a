"""
JSON-safe forms of values and errors, and reading errors back.

A value has the same form wherever it is written: in ``to_dict(mode="json")``, in results of the command, in a journal.
Most values have a usual text or dict (``_base.json_forms``). Any other value is written as its ``str()``, its
``repr()`` or its attributes, depending on its class. That is logged once for each class.
"""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Any

from lionpride_exec._clients.http_answer import http_answer
from lionpride_exec.errors import ExecutionError, LionprideError

from .exception_groups import is_of, members_of
from .json_text import MAX_BITS, MAX_DEPTH, UNSERIALIZABLE, NoForm

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

logger = logging.getLogger("lionpride_exec")

MAX_ERROR_DEPTH = 100

# The longest line that tells an error.
MAX_LINE = 500

# How many levels are checked before the form of a value is made. A cycle ends there.
QUICK_DEPTH = 20

# For how many objects inside one value the attributes are written. Objects that refer to each other may have no end.
MAX_OPENED = 1000

_PLAIN = frozenset({type(None), bool, str})

_EXACT = frozenset({dict, list, tuple, set})

# What str() adds to the message of a group, and what repr() adds to a class name. The latter differs between runs.
_GROUP_SUFFIX = re.compile(r" \(\d+ sub-exceptions?\)$")
_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+| id='\d+'")


def jsonable(value: Any) -> Any:
    """
    Return any value as JSON-safe data. Never raises.

    Plain values stay as they are. NaN and infinities stay too, but the writers of text write null for them, and that is
    logged. Other values get their usual form, see ``_base.json_forms``. A value without a usual form becomes its
    ``str()`` or ``repr()``, if its class defines one, and otherwise a dict of its public attributes. A value becomes
    ``"<unserializable>"`` if it has none of these, contains itself, or is nested more than 500 levels deep. All these
    replacements are logged once for each class.
    """
    return _form(value, ())[0]


def form_of(value: Any) -> tuple[Any, bool]:
    """
    Return the form of :func:`jsonable`, and whether the form only replaces a value that has no JSON form.

    Unlike in :func:`jsonable`, plain JSON data are not copied: write them at once.
    """
    return (value, False) if _is_plain(value, QUICK_DEPTH) else _form(value, ())


def _is_plain(value: Any, depth: int) -> bool:
    """Return whether a value is all plain JSON. Also return False if the check would take long."""
    kind = type(value)
    if kind is dict:
        for key in value:
            if type(key) is not str:
                return False
        items = value.values()
    elif kind is list or kind is tuple:
        items = value
    else:
        return kind in _PLAIN or (kind is int and value.bit_length() <= MAX_BITS) or (kind is float and isfinite(value))
    return depth > 0 and all(type(item) in _PLAIN or _is_plain(item, depth - 1) for item in items)


# `around` has the ids of the objects that contain the value. The walk has its own stack, so deep nesting does not end
# it. Each generator on the stack yields an inner value, and is sent the form of that value.
def _form(value: Any, around: tuple[int, ...]) -> tuple[Any, bool]:
    path = set(around)
    stack: list[tuple[Generator[Any, Any, Any], Any]] = []
    wanted, opened = value, 0
    while True:
        leaf = _leaf(wanted, path, len(stack))
        if leaf is None:
            if isinstance(wanted, dict | list | tuple | set) and type(wanted) not in _EXACT:
                _tell_rest(wanted)
            path.add(id(wanted))
            stack.append((_walk(wanted), wanted))
        form, is_lost = leaf or (None, False)
        while stack:
            step, holder = stack[-1]
            try:
                wanted = step.send(form)
                break
            except StopIteration as exc:
                form, is_lost = exc.value, False
            except Exception as exc:  # noqa: BLE001  no form, or an error of a user class
                inner = _attributes(holder) if type(exc) is NoForm and opened < MAX_OPENED else None
                if inner:
                    stack[-1], form = (_walk(inner), holder), None
                    opened += 1
                    continue
                form, is_lost = _text_of(holder), True
            stack.pop()
            path.discard(id(holder))
        else:
            return form, is_lost


def _walk(value: Any) -> Generator[Any, Any, Any]:
    """Return the generator that makes the form of a value with inner values."""
    from .json_forms import walk  # noqa: PLC0415  slow to import (it knows a dozen modules), and rarely needed

    return walk(value)


def _leaf(value: Any, path: set[int], depth: int) -> tuple[Any, bool] | None:
    """Return the form of a value without inner values, and whether the value is lost. None if it has inner values."""
    kind = type(value)
    if kind in _PLAIN or (kind is int and value.bit_length() <= MAX_BITS):
        return value, False
    if kind is float:
        if not isfinite(value):
            _tell("float", "JSON has no NaN and no infinity, so results have null")
        return value, False
    if id(value) in path:
        _tell(kind.__qualname__, f"it contains itself, so {UNSERIALIZABLE!r} stands where it begins again")
        return UNSERIALIZABLE, True
    if depth >= MAX_DEPTH:
        _tell(kind.__qualname__, f"it is nested more than {MAX_DEPTH} levels deep, so {UNSERIALIZABLE!r} stands for it")
        return UNSERIALIZABLE, True
    if isinstance(value, BaseException):
        return _error_to_dict(value, (*path, id(value))), False
    return None


def _attributes(value: Any) -> dict[str, Any] | None:
    """Return the public attributes of an object without repr and text, and log that once for each class."""
    from .json_forms import attributes_of  # noqa: PLC0415  as in _walk()

    try:
        found = attributes_of(value)
    except Exception:  # noqa: BLE001  a property that fails
        return None
    if found:
        _tell(type(value).__qualname__, "it has neither a JSON form nor a text, so its public attributes are kept")
    return found


def _tell_rest(value: Any) -> None:
    """Log once for each class that the attributes of a list or dict are not written, only the items."""
    names: Any = getattr(value, "__dict__", ())
    if any(not name.startswith("_") and not (isinstance(value, dict) and name in value) for name in names):
        _tell(type(value).__qualname__, "it has attributes beside its items, and they are not kept")


def _text_of(value: Any) -> str:
    """Return str() or repr() of an object, without addresses. Log once for each class which of them is written."""
    kind: type[Any] = type(value)
    for name, function, default in (("str", str, object.__str__), ("repr", repr, object.__repr__)):
        try:
            if getattr(kind, f"__{name}__", None) is not default:
                text = _ADDRESS.sub("", function(value)).encode("utf-8", "backslashreplace").decode()
                if text:
                    _tell(kind.__qualname__, f"it has no JSON form, so its {name}() is kept")
                    return text
        except Exception:  # noqa: BLE001, S110  some objects cannot even tell what they are
            pass
    _tell(kind.__qualname__, f"it has neither a JSON form nor a text of its own, so {UNSERIALIZABLE!r} is kept")
    return UNSERIALIZABLE


@lru_cache(maxsize=1000)
def _tell(name: str, reason: str) -> None:
    """Log once for each class that a value is not written as it is."""
    logger.warning("a value of class %s cannot be kept as it is: %s (told once for each class)", name, reason)


def error_to_dict(error: BaseException) -> dict[str, Any]:
    """
    Return the class name and the message of an error as JSON-safe data. Never raises.

    Errors of this package add ``retryable`` and details. Errors of clients that stand for an HTTP answer add details.
    Groups add their members, nested.
    """
    return _error_to_dict(error, (id(error),))


def _error_to_dict(error: BaseException, around: tuple[int, ...], depth: int = 0) -> dict[str, Any]:
    name = type(error).__name__
    # What AnyIO writes into a cancellation (addresses, paths of this machine) is for debugging, not for a record.
    is_cancellation = name in {"Cancelled", "CancelledError"} and type(error).__module__.startswith(("asyncio", "trio"))
    data: dict[str, Any] = {"error": name, "message": "cancelled" if is_cancellation else error_text(error)}
    if is_of(error, LionprideError):
        own = _form(_own_form(error), around)[0]
        return data | _with_answer(own, error) if isinstance(own, dict) else data
    if not is_of(error, BaseExceptionGroup):
        return data | _with_answer({}, error)
    members = members_of(error)
    if depth > MAX_ERROR_DEPTH:
        data["message"] = f"Max nesting depth ({MAX_ERROR_DEPTH}) exceeded"
        data["nested_count"] = len(members)
        return data
    data["exceptions"] = [
        {"error": type(member).__name__, "message": "Circular reference detected"}
        if id(member) in around
        else _error_to_dict(member, (*around, id(member)), depth + 1)
        for member in members
    ]
    return data


def _with_answer(own: dict[str, Any], error: BaseException) -> dict[str, Any]:
    """Return what an error says of itself, with the HTTP answer that it stands for."""
    answer, details = http_answer(error), own.get("details", {})
    if not answer or not isinstance(details, dict):
        return own
    return own | {"details": answer | details}


def _own_form(error: LionprideError) -> Any:
    try:
        return error.to_dict()
    except Exception:  # noqa: BLE001  an override may fail
        return None


def error_text(error: BaseException) -> str:
    """Return the message of an error, with escapes for characters that UTF-8 cannot hold. Never raises."""
    try:
        return str(error).encode("utf-8", "backslashreplace").decode()
    except Exception:  # noqa: BLE001  some errors cannot even tell what they are
        return UNSERIALIZABLE


def error_in_line(error: BaseException) -> str:
    """Return the message of an error, or else its class, as one line of at most 500 characters. Never raises."""
    return " ".join((error_text(error) or type(error).__name__).split())[:MAX_LINE]


def error_from_dict(data: Mapping[str, Any]) -> BaseException:
    """
    Return an error for the data of :func:`error_to_dict`.

    The original class is neither looked up nor imported. The error is an ``ExecutionError``, and its details name the
    original class. A group comes back as a group.
    """
    name, message = str(data.get("error", "Error")), str(data.get("message", ""))
    if data.get("exceptions"):
        members = [error_from_dict(member) for member in data["exceptions"]]
        return BaseExceptionGroup(_GROUP_SUFFIX.sub("", message), members)
    details = dict(data.get("details") or {})
    details.setdefault("error", name)
    text = message if name == ExecutionError.__name__ else f"{name}: {message}"
    return ExecutionError(text, details=details, retryable=data.get("retryable"))
