"""
HTML and SVG from values, with every text escaped.

A text becomes a part of a page by :func:`element` only, which escapes it unless it is :class:`Markup`. So no text of a
user can become an element, an attribute or a control character, wherever it is shown. What is made is well-formed XML
too.
"""

from __future__ import annotations

from html import escape

from lionpride_exec._base.wording import visible


class Markup(str):
    """A text that is HTML. Only :func:`element` and :func:`joined` make one, and constants of this part."""

    __slots__ = ()

    def __html__(self) -> str:
        """Return the text as it is. Templates ask by this name whether a text has to be escaped."""
        return self


def element(name: str, *children: str | Markup | None, **attributes: str | float | None) -> Markup:
    """
    Return an element.

    Args:
        name: Its name, a constant.
        children: What is in it. A text is escaped, and shown on one line. None is left out.
        attributes: Its attributes. An underscore at the end of a name is left out, any other becomes a hyphen. None is
            left out.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_text(_number(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{given}/>")
    return Markup(f"<{name}{given}>{joined(*children)}</{name}>")


def joined(*parts: str | Markup | None) -> Markup:
    """Return parts side by side. A text is escaped, None is left out."""
    return Markup("".join(part if isinstance(part, Markup) else _text(part) for part in parts if part is not None))


# Elements without an end tag.
_VOID = frozenset({"meta", "line", "rect"})


def _text(text: str) -> str:
    return escape(visible(text))


def _number(value: str | float) -> str:
    """Return a value as an attribute has it: two decimals are a hundredth of a pixel."""
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
