"""
What is public, as a listing: ``python tests/project/public_api.py > tests/project/public_api.txt`` writes it anew.

Public are the modules without an underscore, the names in their ``__all__`` (of one without: what it defines), a few
classes of which public methods give objects (``GIVEN``), and of all these classes the names without an underscore. What
a class has from a public base is listed with that one only; what it has from other classes of the package is its own.
"""

import ast
import importlib
import inspect
import pkgutil
import sys
import textwrap
from dataclasses import dataclass
from enum import Enum
from functools import cache

import attrs

import lionpride_exec

ROOT = lionpride_exec.__name__
# Iterators that public methods give; nobody makes one by hand.
GIVEN = {"_events.streaming": ["ChunkReader"], "_iteration.completion": ["Endings"], "_iteration.map": ["EventMap"]}


@dataclass(frozen=True)
class Member:
    """A public member of a class: its kind, its name, the class that defines it, and what stands there."""

    kind: str
    name: str
    owner: type
    value: object

    @property
    def function(self):
        """The function behind it, if there is one."""
        value = self.value
        value = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        return inspect.unwrap(value) if inspect.isfunction(value) else None

    def __str__(self):
        if self.kind == "attribute":
            return f"attribute {self.name}"
        if self.kind == "value":
            return f"value {self.name} = {self.value.value!r}"
        if self.kind == "property":
            return f"property {self.name}{', can be set' if self.value.fset else ''}"
        return f"{self.kind} {self.name}{signature_of(self.value, is_bound='static' not in self.kind)}"


@cache
def public_modules():
    """Give the modules of the package whose name has no underscore in front, the package first."""
    names = [
        module.name
        for module in pkgutil.walk_packages(lionpride_exec.__path__, f"{ROOT}.")
        if not any(part.startswith("_") for part in module.name.split("."))
    ]
    return tuple(importlib.import_module(name) for name in (ROOT, *names))


def names_of(module):
    """Give the public names of a module."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    return sorted(
        name
        for name, value in vars(module).items()
        if name[0] != "_" and getattr(value, "__module__", "") == module.__name__
    )


@cache
def public_values():
    """Give what is public by its full name: each thing once, under the first of its names."""
    seen, values = set(), {}
    for module in public_modules():
        for name in names_of(module):
            value = getattr(module, name)
            if id(value) not in seen:
                seen.add(id(value))
                values[f"{module.__name__}.{name}"] = value
    for module, names in GIVEN.items():
        for name in names:
            values[f"{ROOT}.{module}.{name}"] = getattr(importlib.import_module(f"{ROOT}.{module}"), name)
    return values


def public_classes():
    """Give the public classes by full name."""
    return {name: value for name, value in public_values().items() if inspect.isclass(value)}


def is_ours(cls):
    """Whether a class is of the package."""
    return cls.__module__.partition(".")[0] == ROOT


def own_bases(cls):
    """Give the class, and those of its bases of the package that are not public, nor above a public one."""
    public = set(public_classes().values()) - {cls}
    above = {ancestor for base in cls.__mro__[1:] if base in public for ancestor in base.__mro__}
    return [base for base in cls.__mro__ if (is_ours(base) or base is cls) and base not in public | above]


@cache
def class_trees():
    """Return each module of the package that is loaded, with the syntax trees of its classes by name."""
    modules = [module for name, module in sys.modules.copy().items() if name.partition(".")[0] == ROOT]
    trees = [(module, ast.parse(inspect.getsource(module)).body) for module in modules if module.__spec__.has_location]
    return [(module, {node.name: node for node in body if isinstance(node, ast.ClassDef)}) for module, body in trees]


def has(module, cls, trees):
    """Whether a class is written in a module. The class itself names the module from which users import it."""
    return cls.__name__ in trees and vars(module).get(cls.__name__) is cls


@cache
def tree_of(value):
    """Return the syntax tree of a class or a function."""
    if inspect.isclass(value) and is_ours(value):
        return next(trees[value.__name__] for module, trees in class_trees() if has(module, value, trees))
    return ast.parse(textwrap.dedent(inspect.getsource(value))).body[0]


def set_in_init(cls):
    """Give the public names that ``__init__`` assigns to itself."""
    for function in tree_of(cls).body:
        if isinstance(function, ast.FunctionDef) and function.name == "__init__":
            for node in ast.walk(function):
                if (
                    isinstance(node, ast.Attribute)
                    and isinstance(node.ctx, ast.Store)
                    and ast.unparse(node.value) == "self"
                ):
                    yield node.attr


def kind_of(value):
    """Say what a member is."""
    if isinstance(value, property):
        return "property"
    kind = type(value).__name__ if isinstance(value, classmethod | staticmethod) else "method"
    function = getattr(value, "__func__", value)
    if not inspect.isroutine(function) or not callable(function):  # a descriptor may stand for an attribute
        return "attribute"
    return f"async {kind}" if inspect.iscoroutinefunction(inspect.unwrap(function)) else kind


@cache
def members_of(cls):
    """Give the public members of a class that it does not have from a public base, by name."""
    if issubclass(cls, Enum):
        return tuple(Member("value", member.name, cls, member) for member in cls) + tuple(
            Member(kind_of(value), name, cls, value)
            for name, value in sorted(vars(cls).items())
            if name[0] != "_" and name not in cls.__members__
        )
    found = {}
    for base in own_bases(cls):
        names = [*vars(base), *inspect.get_annotations(base), *set_in_init(base)]
        for name in names:
            if name[0] != "_" and name not in found:
                value = vars(base).get(name)
                is_slot = inspect.ismemberdescriptor(value)
                found[name] = Member("attribute" if is_slot else kind_of(value), name, base, value)
    return tuple(found[name] for name in sorted(found))


def signature_of(value, *, is_bound=False):
    """Give the parameters of a callable, with kinds and defaults, without types."""
    value = getattr(value, "__func__", value)
    try:
        signature = inspect.signature(value)
    except ValueError:  # a class that has the constructor of a built-in error
        return "(*args)"
    parameters = list(signature.parameters.values())[is_bound:]
    return str(inspect.Signature([shown(parameter) for parameter in parameters]))


def shown(parameter):
    """Give a parameter without its type, its default such as it is shown alike everywhere."""
    default = parameter.default
    if isinstance(default, type) and default is not parameter.empty:
        default = Shown(default.__qualname__)
    elif " at 0x" in repr(default) or default is attrs.NOTHING:  # made anew, or nobody's to give
        default = Shown("...")
    elif isinstance(default, Enum):
        default = Shown(f"{type(default).__name__}.{default.name}")
    return parameter.replace(annotation=parameter.empty, default=default)


@dataclass(frozen=True)
class Shown:
    """Something whose repr is a text."""

    text: str

    def __repr__(self):
        return self.text


def lines_of(name, value):
    """Give the lines of the listing for something public."""
    if not inspect.isclass(value):
        yield f"{name}{signature_of(value)}" if inspect.isroutine(value) else f"{name}: {type(value).__name__}"
        return
    public = set(public_classes().values())
    known = [base for base in value.__mro__[1:] if base in public or not is_ours(base)]
    bases = [base.__name__ for base in known if sum(issubclass(other, base) for other in known) == 1]
    bases = [base for base in bases if base not in {"object", "Generic"}]
    yield f"class {name}({', '.join(bases)})" if bases else f"class {name}"
    if not issubclass(value, Enum):
        yield f"    {value.__name__}{signature_of(value)}"
    for member in members_of(value):
        yield f"    {member}"


def listing():
    """Give the whole listing."""
    return "".join(f"{line}\n" for name, value in public_values().items() for line in lines_of(name, value))


if __name__ == "__main__":
    sys.stdout.write(listing())
