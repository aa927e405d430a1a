"""
The rules for docstrings of the public API. Each rule yields a message for each thing that is missing.

- *Docstrings*: each class, method, property and function has one. A dunder method does what the data model says.
- *Parameters*: the docstring of the function or of its class has the name of each parameter, or a word of the name.
- *Times and numbers*: the description of a time has its unit, for parameters, properties and fields. The name tells
  whether a number is a time. The description of any other number that a caller passes has its range.
- *Errors*: ``Raises:`` has each error that the function raises, or a base of the error. This includes the errors of
  functions of the package that the function calls. Each name under ``Raises:`` is the name of an exception.
- *Cancellation*: the docstring of a coroutine function says what a cancellation does, or that the function does not
  wait.
"""

import ast
import builtins
import importlib
import inspect
import re

import anyio
import attrs
from public_api import is_ours, members_of, tree_of

import lionpride_exec
from lionpride_exec import errors, testing

TIME = re.compile(
    r"seconds|delay|timeout|backoff|deadline|grace|interval|duration|retry_after|refresh_time|period"
    r"|^(per|age|until|now|every|at|rate|due|window)$"
)
UNIT = re.compile(r"\bseconds?\b|\d s\b|current_time\(\)|\bUTC\b", re.IGNORECASE)
RANGE = re.compile(
    r"\d|\b(finite|positive|negative|at least|or more|within|bounds?|None|any|likewise)\b", re.IGNORECASE
)
# Errors that need no documentation: an abstract method, the end of an iteration, a bug of the package.
UNSAID = (NotImplementedError, StopAsyncIteration, StopIteration, AssertionError)
# The docstring of a class that only the package makes.
NOT_BY_HAND = re.compile(r"made by ``|^The iterator of ``")
WORD = r"(?<![A-Za-z0-9]){}(?:s|es)?(?![A-Za-z0-9])"


def document_of(cls, member=None):
    """Return the docstring of a class or of its member."""
    if member is None:
        return (inspect.getdoc(cls) if cls.__doc__ else "") or ""
    return inspect.getdoc(member.value) or inspect.getdoc(getattr(cls, member.name, None)) or ""


def sections(document):
    """Return the entries of the sections ``Args:``, ``Attributes:`` and ``Raises:``. Merge sections of one name."""
    found, entries, name = {"Args": {}, "Attributes": {}, "Raises": {}}, None, ""
    for line in document.splitlines():
        if heading := re.fullmatch(r"(\w+):", line):
            entries = found.get(heading[1])
        elif line and not line.startswith(" "):
            entries = None
        elif entries is not None and (entry := re.match(r"    ([\w.]+): ?(.*)", line)):
            name = entry[1]
            entries[name] = f"{entries.get(name, '')} {entry[2]}".strip()
        elif entries is not None and name:
            entries[name] = f"{entries.get(name, '')} {line.strip()}".strip()
    return found


def entry_of(documents, name):
    """Return the entry of a name in the first docstring that has one. If none has, return all the docstrings."""
    for document in documents:
        found = sections(document)
        if entry := found["Args"].get(name) or found["Attributes"].get(name):
            return entry
    return "\n".join(documents)


def names(text, name):
    """Return whether a text has the name of a parameter, or a word of the name."""
    words = [name, *(word for word in name.split("_") if len(word) > 2)]
    return any(re.search(WORD.format(re.escape(word)), text, re.IGNORECASE) for word in words)


def parameters_of(function):
    """Return the parameters of a function, without ``self``, ``cls``, ``*args`` and ``**kwargs``."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:
        return []
    return [
        parameter
        for parameter in parameters
        if parameter.name not in {"self", "cls"}
        and parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
    ]


def classes_of(cls):
    """Return a class and its bases in the package. Their docstrings describe the class."""
    return [base for base in cls.__mro__ if is_ours(base) or base is cls]


# ---------------------------------------------------------------- parameters and units


def unnamed(function, documents):
    """Yield a message for each parameter that the docstrings do not name."""
    text = "\n".join(documents)
    for parameter in parameters_of(function):
        if not names(text, parameter.name):
            yield f"the parameter {parameter.name} is not described"


def without_unit(name, annotation, entry, *, is_given):
    """Yield a message if the description of a time has no unit, or that of another number has no range."""
    annotation = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    if not {"float", "int"} & set(annotation.split(" | ")):
        return
    if TIME.search(name):
        if not UNIT.search(entry):
            yield f"the time {name} has no unit"
    elif is_given and not RANGE.search(entry):
        yield f"the number {name} has no range"


# ---------------------------------------------------------------- errors


def own_nodes(function):
    """Yield the nodes of a function, without the nodes of functions and classes inside it."""
    waiting = list(ast.iter_child_nodes(function))
    while waiting:
        node = waiting.pop()
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            yield node
            waiting += ast.iter_child_nodes(node)


def called(node, function, cls):
    """Return the function or method of the package that a node calls. None if the node calls anything else."""
    target = None
    if isinstance(node.func, ast.Name):
        target = function.__globals__.get(node.func.id)
    elif isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) in {"self", "cls", "super()"}:
        target = inspect.getattr_static(cls, node.func.attr, None) if cls is not None else None
        target = getattr(target, "__func__", target)
    target = inspect.unwrap(target) if inspect.isfunction(target) else None
    return (
        target
        if target is not None and target.__module__.partition(".")[0] == function.__module__.partition(".")[0]
        else None
    )


def caught(function):
    """Return the names of the errors that a function catches."""
    return {
        name.id
        for handler in ast.walk(function)
        if isinstance(handler, ast.ExceptHandler) and handler.type is not None
        for name in ast.walk(handler.type)
        if isinstance(name, ast.Name)
    }


def raised(function, cls, steps=1):
    """Yield the classes of the errors that a function raises, and of those that its calls raise, down to ``steps``."""
    tree = tree_of(function)
    passed = caught(tree)
    for node in own_nodes(tree):
        if isinstance(node, ast.Raise) and node.exc is not None:
            name = ast.unparse(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)
            if (error := error_named(name, function.__globals__)) is not None:
                yield error
        elif isinstance(node, ast.Call) and steps and (helper := called(node, function, cls)) not in {None, function}:
            for error in raised(helper, cls, steps - 1):
                if not any(base.__name__ in passed for base in error.__mro__):
                    yield error


def error_named(name, names):
    """Return the exception class with a name. None if there is none."""
    value = names
    for part in name.split("."):
        value = (
            value.get(part, getattr(builtins, part, None)) if isinstance(value, dict) else getattr(value, part, None)
        )
    return value if isinstance(value, type) and issubclass(value, BaseException) else None


KNOWN = {
    **vars(lionpride_exec),
    **vars(errors),
    **vars(testing),
    "anyio": anyio,
    "attrs": importlib.import_module("attrs"),
}


def referred(document, cls):
    """Yield the docstrings that one refers to: "what :meth:`append` raises", "As :meth:`to_dict`."."""
    for text in re.findall(r"\bwhat (:meth:`.*?) raises?\b|: As (:meth:`\w+`)\.", " ".join(document.split())):
        for name in re.findall(r":meth:`(\w+)`", "".join(text)):
            yield inspect.getdoc(getattr(cls, name, None)) or ""


def unsaid_errors(functions, cls, documents):
    """Yield a message for each error that is raised but not documented, and for each unknown name of an error."""
    said = {}
    for document in documents:
        for text in (document, *referred(document, cls)):
            said |= {name: error_named(name, KNOWN) for name in sections(text)["Raises"]}
    # Errors that the docstring of the class documents for all its methods.
    prose = " ".join("\n".join(map(document_of, classes_of(cls))).split()) if cls is not None else ""
    said |= {name: error_named(name, KNOWN) for name in re.findall(r"\braises ``(\w+)``", prose)}
    for name, error in said.items():
        if error is None:
            yield f"no error has the name {name}"
    for function in functions:
        for error in sorted(set(raised(function, cls)), key=lambda one: one.__name__):
            if not issubclass(error, UNSAID) and not any(base and issubclass(error, base) for base in said.values()):
                yield f"{error.__name__} is raised but not documented"


# ---------------------------------------------------------------- all rules


def validators_of(cls):
    """Yield the validators and converters of an attrs class that the package defines."""
    if "__attrs_attrs__" in vars(cls):
        for field in attrs.fields(cls):
            for function in (field.validator, field.converter):
                if (
                    inspect.isfunction(function)
                    and function.__module__.partition(".")[0] == cls.__module__.partition(".")[0]
                ):
                    yield function


def problems_of_class(cls):
    """Yield what the docstring of a class lacks about the class, its constructor and its fields."""
    documents = [document_of(base) for base in classes_of(cls)]
    if not documents[0].strip():
        yield "the docstring is missing"
        return
    init = inspect.unwrap(cls.__init__)
    if inspect.isfunction(init) and not NOT_BY_HAND.search(documents[0]):
        yield from unnamed(init, documents)
        given = {name for document in documents for name in sections(document)["Args"]}
        for parameter in parameters_of(init):
            name = parameter.name
            yield from without_unit(name, parameter.annotation, entry_of(documents, name), is_given=name in given)
        is_written = not init.__code__.co_filename.startswith("<")  # which made constructors do
        yield from unsaid_errors([*([init] if is_written else []), *validators_of(cls)], cls, documents)
    for base in classes_of(cls):
        for name, annotation in inspect.get_annotations(base).items():
            if name[0] != "_":
                yield from without_unit(name, annotation, entry_of(documents, name), is_given=False)


def without_cancellation(function, document):
    """Yield a message if the docstring of a coroutine function does not describe cancellation."""
    if inspect.iscoroutinefunction(function) and not re.search(r"cancel|does not wait", document, re.IGNORECASE):
        yield "the coroutine function does not describe cancellation"


def problems_of_member(cls, member):
    """Yield what the docstring of a method or a property lacks."""
    document = document_of(cls, member)
    function = member.function
    if not document.strip():
        yield "the docstring is missing"
        return
    documents = [document, *(document_of(base) for base in classes_of(cls))]
    if member.kind == "property":
        functions = [inspect.unwrap(part) for part in (member.value.fget, member.value.fset) if part]
        annotation = functions[0].__annotations__.get("return", "")
        yield from without_unit(member.name, annotation, document, is_given=False)
        yield from unsaid_errors(functions, cls, [document])
        return
    yield from unnamed(function, documents[:2])
    for parameter in parameters_of(function):
        if names(document, parameter.name):  # otherwise the docstring of the class describes the parameter
            entry = entry_of(documents[:1], parameter.name)
            yield from without_unit(parameter.name, parameter.annotation, entry, is_given=True)
    yield from unsaid_errors([function], cls, [document])
    yield from without_cancellation(function, document)


def is_rule(function):
    """Return whether a method is a rule of a state machine, which only Hypothesis calls."""
    return any(name.startswith("hypothesis_stateful") for name in getattr(function, "__dict__", ()))


def problems_of(cls):
    """Yield what the docstrings of a class and its members lack."""
    for problem in problems_of_class(cls):
        yield f"{cls.__name__}: {problem}"
    for member in members_of(cls):
        if member.function is not None and not is_rule(member.value):
            for problem in problems_of_member(cls, member):
                yield f"{cls.__name__}.{member.name}: {problem}"


def problems_of_function(function):
    """Yield what the docstring of a function lacks."""
    document = inspect.getdoc(function) or ""
    if not document:
        yield "the docstring is missing"
        return
    yield from unnamed(function, [document])
    for parameter in parameters_of(function):
        entry = entry_of([document], parameter.name)
        yield from without_unit(parameter.name, parameter.annotation, entry, is_given=True)
    yield from unsaid_errors([function], None, [document])
    yield from without_cancellation(function, document)
