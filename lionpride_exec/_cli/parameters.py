"""How cyclopts reads the arguments of the commands."""

from __future__ import annotations

from typing import Annotated, Any, Final

import attrs
from cyclopts import Parameter

from .run.options import NAMES, WITH_DASH, RunOptions

# A single "-" is a value.
DASH: Final = Parameter(allow_leading_hyphen=True)

# Takes one value each time, and no --empty-rate is made.
REPEATED: Final = Parameter(negative="", consume_multiple=False, show_default=False, json_list=False)

# No --no-quiet is made.
FLAG: Final = Parameter(negative="")


def annotate_run_options() -> None:
    """
    Add what cyclopts has to know to the annotations of the constructor of :class:`RunOptions`.

    The class itself does not import cyclopts, since most runs do not need it (see ``run.arguments``). A second call
    changes nothing.
    """
    annotated: Any = Annotated  # type checkers take it for a type
    for field in attrs.fields(RunOptions):
        parameter = _parameter_of(field)
        if parameter is not None:
            RunOptions.__init__.__annotations__[field.name] = annotated[field.type, parameter]


def _parameter_of(field: attrs.Attribute[Any]) -> Parameter | None:
    if field.name in NAMES:
        return Parameter(name=NAMES[field.name])
    if field.name in WITH_DASH:
        return DASH
    kind: object = field.type
    return {"bool": FLAG, "tuple[str, ...]": REPEATED}.get(str(kind))
