"""
Redaction: three stars replace a secret value in results, messages and errors.

Paths say what is redacted: the fields of a class with ``metadata={"redact": True}``, and the paths of ``--redact`` for
a run of the command. The text of a secret value is replaced wherever it is quoted: plainly, in a repr, in JSON or in a
URL. A text of less than four characters would occur everywhere, so it is replaced only where it is the whole text.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

from .field_paths import MISSING, look_up_field, step_into
from .json_text import digits

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

STARS: Final = "***"
MIN_LENGTH = 4  # of a secret that is searched for inside other texts
DIGEST = 8  # bytes
NO_SECRETS: Final[frozenset[str]] = frozenset()


def secrets_of(event: Any) -> frozenset[str]:
    """Return the secret texts of an event: those that were kept with it, and those of its fields now."""
    if not event._redacted:
        return NO_SECRETS
    known: frozenset[str] = getattr(event, "_secrets", NO_SECRETS)
    return known | texts_of(look_up_field(event, path) for path in type(event)._redacted)


def keep_secrets(event: Any, secrets: frozenset[str]) -> None:
    """Keep the secret texts of a new event with it. Its fields may be changed while it runs."""
    event._set("_secrets", secrets)


def redacted_paths(owner: Any) -> frozenset[str]:
    """Return the redacted paths of an event, or of the events of a class."""
    paths: frozenset[str] = owner._redacted
    return paths


@contextmanager
def also_redacting(event_type: Any, paths: Iterable[str]) -> Generator[None]:
    """
    Redact the values at these paths too, inside the block.

    The class itself is changed, and restored at the end of the block. So a journal redacts the values as well.

    Args:
        event_type: A class of events.
        paths: Paths from the event, such as ``record.token``.
    """
    before = event_type._redacted
    event_type._redacted = before | frozenset(paths)
    try:
        yield
    finally:
        event_type._redacted = before


def texts_of(values: Iterable[Any]) -> frozenset[str]:
    """Return the texts of values and of the values inside them. None and bools have no text."""
    texts: set[str] = set()
    rest = list(values)
    while rest:
        value = rest.pop()
        if isinstance(value, str):
            texts.add(str(value))
        elif isinstance(value, bytes | bytearray):
            texts.add(bytes(value).decode("utf-8", "backslashreplace"))
        elif isinstance(value, dict):
            rest += value.values()
        elif isinstance(value, list | tuple | set | frozenset):
            rest += cast("list[Any]", value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            texts.add(digits(value) if isinstance(value, int) else repr(value))
        elif value is not None and value is not MISSING and not isinstance(value, bool):
            texts.add(_text(value))
    return frozenset(texts - {""})


def mask(text: str, secrets: frozenset[str]) -> str:
    """Return a text with stars in place of quoted secrets."""
    if not secrets:
        return text
    if text in secrets:
        return STARS
    for form in _forms(secrets):
        if form in text:
            text = text.replace(form, STARS)
    return text


def quotes(value: Any, secrets: frozenset[str]) -> bool:
    """Return whether a value, or a value inside it, quotes a secret of four characters or more."""
    long = frozenset(secret for secret in secrets if len(secret) >= MIN_LENGTH)
    return bool(long) and any(mask(text, long) != text for text in texts_of([value]))


def mask_data(value: Any, secrets: frozenset[str]) -> Any:
    """Return JSON data with stars in place of quoted secrets. A number of 4 digits or more is replaced whole."""
    if not secrets:
        return value
    if isinstance(value, str):
        return mask(value, secrets)
    if isinstance(value, dict):
        pairs = cast("Mapping[str, Any]", value).items()
        return {mask(name, secrets): mask_data(item, secrets) for name, item in pairs}
    if isinstance(value, list | tuple):
        return [mask_data(item, secrets) for item in cast("list[Any]", value)]
    if isinstance(value, int | float) and not isinstance(value, bool):
        text = digits(value) if isinstance(value, int) else repr(value)
        return STARS if text in secrets and len(text) >= MIN_LENGTH else value
    return value


def mask_path(value: Any, path: str) -> Any:
    """Return JSON data with stars at a path. Return the data unchanged if there is no value at the path."""
    if step_into(value, path) is not MISSING:
        return _replaced(value, path, STARS)
    first, _, rest = path.partition(".")
    inside = step_into(value, first)
    return value if not rest or inside is MISSING else _replaced(value, first, mask_path(inside, rest))


def digest_of(value: object) -> str:
    """Return a digest to replace a value where only equality counts, for instance the key of a limit."""
    from hashlib import blake2b  # noqa: PLC0415  slow to import, and few programs have secrets

    return f"redacted:{blake2b(repr(value).encode('utf-8', 'surrogatepass'), digest_size=DIGEST).hexdigest()}"


def _replaced(value: Any, name: str, by: Any) -> Any:
    if isinstance(value, dict):
        return {**value, name: by}
    return [by if place == int(name) else item for place, item in enumerate(value)]


def _forms(secrets: frozenset[str]) -> list[str]:
    """Return the forms in which long secrets may be quoted, the longest first."""
    from urllib.parse import quote, quote_plus  # noqa: PLC0415  slow to import, and few programs have secrets

    forms: set[str] = set()
    for secret in secrets:
        if len(secret) >= MIN_LENGTH:
            forms |= {secret, " ".join(secret.split()), repr(secret)[1:-1]}
            forms |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
            for safe in ("", "/"):
                forms |= {quote(secret, safe, errors="replace"), quote_plus(secret, safe, errors="replace")}
            forms.add(secret.encode("utf-8", "backslashreplace").decode())
    return sorted((form for form in forms if len(form) >= MIN_LENGTH), key=len, reverse=True)


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001  an error of a user class
        return ""
