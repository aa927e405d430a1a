"""``--delimiter`` and ``--encoding``: what they mean, and what is said about a byte that does not fit."""

from __future__ import annotations

import codecs
from typing import Final

from lionpride_exec._base.wording import did_you_mean
from lionpride_exec._cli.errors import UsageError

_TABS: Final = {"tab": "\t", "\\t": "\t"}

_UTF_8: Final = frozenset({"utf-8", "utf-8-sig"})

# Names that people may have meant.
_COMMON: Final = ("cp1250", "cp1251", "cp1252", "cp932", "gb18030", "iso8859-15", "latin-1", "utf-16", "utf-8")


def check_encoding(name: str | None) -> str | None:
    """
    Return the encoding that ``--encoding`` means. None for UTF-8, and if the option is not given.

    Raises:
        UsageError: There is no such encoding.
    """
    if name is None:
        return None
    try:
        known = codecs.lookup(name).name
        "a".encode(known)  # base64 and the like are none of text
        codecs.getincrementaldecoder(known)("surrogateescape")
    except (LookupError, ValueError) as exc:
        raise UsageError(f"--encoding {name}: there is no such encoding{did_you_mean(name, _COMMON)}") from exc
    return None if known in _UTF_8 else name


def bad_byte(encoding: str | None, byte: int, where: str) -> str:
    """
    Return the message about a byte that is not in the encoding of INPUT.

    Args:
        encoding: What ``--encoding`` says. None for UTF-8.
        byte: The byte.
        where: Where in the line it is, such as "in column 2".
    """
    if encoding is None:
        return f"not UTF-8: byte 0x{byte:02x} {where}; --encoding NAME reads another encoding, such as cp1252"
    return f"not {encoding}: byte 0x{byte:02x} {where}; is --encoding {encoding} right?"


def check_delimiter(text: str | None, input_format: str | None) -> str | None:
    """
    Return the delimiter that ``--delimiter`` means. None if the option is not given.

    Raises:
        UsageError: It can be no delimiter, or INPUT is in a format without.
    """
    if text is None:
        return None
    if input_format not in {None, "csv", "tsv"}:
        raise UsageError(f"--delimiter and --input-format {input_format} exclude each other: it has none")
    delimiter = _TABS.get(text.lower(), text)
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise UsageError(f"--delimiter must be one character or tab, and no quote or line break, got {text!r}")
    return delimiter
