"""
The constructor of a class whose instances leave out fields that have their defaults.

The constructor that attrs writes stores every field in every instance. Half of the fields of an event are nearly never
given. Each of them would take 8 bytes of each event, and a step to store it. The constructor written here stores these
fields only if they get another value than the default. Otherwise the class has the value: the default itself, or a
:class:`MadeOnDemand`, which makes the value when somebody asks for it.

In all else the constructor does what that of attrs does. A class with a rare feature of attrs, for instance
``__attrs_post_init__()``, keeps the constructor of attrs.

Like attrs, this module writes the source of the constructor and compiles it. For an id, a timeout that may be left out
and has a validator, and a record that is made for each instance, the source is::

    def __init__(self, *, id=__default_id, timeout=__default_timeout, execution=__nothing):
        __set = __setter(self)
        __set('id', __convert_id(id))
        if timeout is not __default_timeout:
            __set('timeout', timeout)
        __set('execution', __make_execution() if execution is __nothing else execution)
        if __may_check():
            __check_timeout(self, __field_timeout, self.timeout)

The names that begin with two underscores are the globals of the constructor (``known``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar, cast, overload

import attr
import attrs

from lionpride_exec._base.sentinel import Unset

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_FACTORY: Final[Any] = attrs.Factory  # a class, which the stubs of attrs describe as a function
_HOOKS: Final = ("__attrs_pre_init__", "__attrs_post_init__")


class MadeOnDemand(Generic[T]):
    """
    A class attribute that makes the value of a field for an instance that has none yet.

    Args:
        name: The name of the field.
        make: Returns a new value.
    """

    def __init__(self, name: str, make: Callable[[], T]) -> None:
        self._name = name
        self._make = make

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> Self | T:
        if instance is None:
            return self
        # One step, so that threads that ask at the same time get one value. From now on Python finds the value in the
        # instance, and does not call this method.
        return cast("T", instance.__dict__.setdefault(self._name, self._make()))


def write_constructor(cls: type[Any], left_out: frozenset[str]) -> Callable[..., None]:
    """
    Return the constructor of an attrs class, and give the class the defaults that its instances leave out.

    Args:
        cls: The class. It has the constructor of attrs as ``__attrs_init__()``.
        left_out: Names of fields that instances need not have. For the default ``Unset`` a base class has the value. A
            default that is made anew for each instance is stored nevertheless.
    """
    fields: tuple[attrs.Attribute[Any], ...] = cls.__attrs_attrs__
    by_attrs: Callable[..., None] = cls.__attrs_init__
    if any(hasattr(cls, hook) for hook in _HOOKS) or any(_is_rare(field) for field in fields):
        return by_attrs
    # The globals of the constructor. object.__setattr__() sets a field without the hooks of attrs for assignments.
    known: dict[str, Any] = {"__nothing": attrs.NOTHING, "__setter": object.__setattr__.__get__}
    parameters, steps, checks = ["self", "*"], ["__set = __setter(self)"], list[str]()
    for field in fields:
        name, default = field.name, field.default
        is_left_out = name in left_out and _can_be_left_out(field)
        if is_left_out:
            _set_default(cls, name, default)
        steps += _steps(field, known, is_left_out=is_left_out)
        if field.init:
            parameters.append(_parameter(field))
        if field.validator is not None:
            known |= {f"__check_{name}": field.validator, f"__field_{name}": field}
            checks.append(f"    __check_{name}(self, __field_{name}, self.{name})")
    if checks:
        known["__may_check"] = attr.get_run_validators
        steps += ["if __may_check():", *checks]
    source = f"def __init__({', '.join(parameters)}):\n    " + "\n    ".join(steps)
    exec(compile(source, f"<constructor of {cls.__module__}.{cls.__qualname__}>", "exec"), known)  # noqa: S102  text of our own
    made: Callable[..., None] = known["__init__"]
    made.__module__, made.__qualname__ = cls.__module__, f"{cls.__qualname__}.__init__"
    made.__annotations__ = by_attrs.__annotations__
    return made


def _set_default(cls: type[Any], name: str, default: Any) -> None:
    """Have the class give its instances the default of a field, also if a base that is no element hides it."""
    if default is Unset:  # made on demand, by what a base class has, unless this is that base class
        default = next(
            (each for base in cls.__mro__ if type(each := vars(base).get(name)) is MadeOnDemand), attrs.NOTHING
        )
    if getattr(cls, name, attrs.NOTHING) is not default:
        setattr(cls, name, default)


def _parameter(field: attrs.Attribute[Any]) -> str:
    """Return the parameter of a field. Its default is a name that :func:`_steps` has set."""
    if field.default is attrs.NOTHING:
        return _alias(field)
    return f"{_alias(field)}={'__nothing' if _has_factory(field) else f'__default_{field.name}'}"


def _steps(field: attrs.Attribute[Any], known: dict[str, Any], *, is_left_out: bool) -> list[str]:
    """Return the lines of a constructor that set one field. Add the objects in these lines to ``known``."""
    name, alias, default = field.name, _alias(field), cast("Any", field.default)
    if _has_factory(field):
        known[f"__make_{name}"] = default.factory
        value = f"__make_{name}() if {alias} is __nothing else {alias}" if field.init else f"__make_{name}()"
    elif field.init or default is not attrs.NOTHING:
        known[f"__default_{name}"] = default
        value = alias if field.init else f"__default_{name}"
    else:
        return []
    if field.converter is not None:
        known[f"__convert_{name}"] = field.converter
        value = f"__convert_{name}({value})"
    step = f"__set({name!r}, {value})"
    return [f"if {alias} is not __default_{name}:", f"    {step}"] if is_left_out else [step]


def _alias(field: attrs.Attribute[Any]) -> str:
    return field.alias or field.name


def _has_factory(field: attrs.Attribute[Any]) -> bool:
    return type(field.default) is _FACTORY


def _can_be_left_out(field: attrs.Attribute[Any]) -> bool:
    is_one_object = field.init and field.default is not attrs.NOTHING and not _has_factory(field)
    return is_one_object and (field.converter is None or field.default is Unset)


def _is_rare(field: attrs.Attribute[Any]) -> bool:
    """Return whether the default or the converter of a field gets more than a value, for example the instance."""
    default: Any = field.default
    return isinstance(field.converter, attrs.Converter) or (_has_factory(field) and default.takes_self)
