"""
Compressed INPUT: its bytes are decompressed as they come.

A file may have several parts (gzip calls them members), as `cat a.gz b.gz` makes them. Each piece of what
comes out has a largest size, so a small file cannot fill the memory.
"""

from __future__ import annotations

import zlib
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol

from lionpride_exec._base.wording import install_command
from lionpride_exec._cli.errors import UsageError

from .records import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# The first bytes of a format, and its name.
_MAGIC: Final = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\xfd7zXZ\0", "xz"))

# What follows "BZh" and a digit. A text may begin with these letters too.
_BZIP2_BLOCKS: Final = (b"1AY&SY", b"\x17rE8P\x90")

# What the names of compressed files end with.
SUFFIXES: Final = (".gz", ".zst", ".zstd", ".bz2", ".xz")

# How many bytes come out at once.
PIECE: Final = 256 * 1024


class _Decompressor(Protocol):
    """Decompresses one part, as those of ``bz2``, ``lzma`` and ``compression.zstd`` do."""

    @property
    def eof(self) -> bool:
        """Whether the part has ended."""
        ...

    @property
    def needs_input(self) -> bool:
        """Whether nothing comes out without more bytes."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What follows the part."""
        ...

    def decompress(self, data: bytes, /, max_length: int = -1) -> bytes:
        """Return what these bytes, and those that were kept, decompress to. With a length, not more than that."""
        ...


class _Gunzip:
    """The decompressor of ``zlib`` for one member, with the methods of the others."""

    def __init__(self) -> None:
        self._one = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        """Whether the member has ended."""
        return self._one.eof

    @property
    def unused_data(self) -> bytes:
        """What follows the member."""
        return self._one.unused_data

    def decompress(self, data: bytes, /, max_length: int = -1) -> bytes:
        """Return what these bytes, and those that were kept, decompress to."""
        found = self._one.decompress(self._one.unconsumed_tail + data, max_length)
        self.needs_input = not self._one.unconsumed_tail and len(found) < max_length
        return found


def codec_of(head: bytes) -> str | None:
    """Return the name of the compression that a file has, by its first bytes. None if there is none."""
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    is_bzip2 = head.startswith(b"BZh") and head[3:4].isdigit() and head[4:10] in _BZIP2_BLOCKS
    return "bzip2" if is_bzip2 else None


def may_be_compressed(head: bytes) -> bool:
    """Whether more bytes have to come before :func:`codec_of` can tell."""
    if b"BZh".startswith(head[:3]) and len(head) < 4 + len(_BZIP2_BLOCKS[0]):
        return b"\n" not in head
    return any(len(head) < len(magic) and magic.startswith(head) for magic, _ in _MAGIC)


class Decoder:
    """
    Decompresses one file.

    Args:
        name: The name of the file, for messages.
        codec: What :func:`codec_of` has found. None to hand the bytes on as they are.

    Raises:
        UsageError: The package for this compression is not installed.
    """

    def __init__(self, name: str, codec: str | None) -> None:
        self._codec = codec
        self._make: Callable[[], _Decompressor] | None = None
        self._error: type[Exception] = OSError
        if codec is not None:
            self._make, self._error = _maker_of(name, codec)
        self._part: _Decompressor | None = None  # None between two parts

    def feed(self, data: bytes) -> Iterator[bytes]:
        """
        Yield what these bytes decompress to, in pieces.

        Raises:
            InputError: The data are damaged.
        """
        if self._make is None:
            yield data
            return
        try:
            yield from self._decompress(data, self._make)
        except self._error as exc:
            raise InputError(f"its {self._codec} data are damaged ({exc})") from exc

    def _decompress(self, data: bytes, make: Callable[[], _Decompressor]) -> Iterator[bytes]:
        while True:
            if self._part is None:
                data = data.lstrip(b"\0")  # some programs fill up the last block of a tape
                if not data:
                    return
                self._part = make()
            found = self._part.decompress(data, PIECE)
            data = b""
            if found:
                yield found
            if self._part.eof:
                data, self._part = self._part.unused_data, None
            elif self._part.needs_input:
                return

    def end(self) -> None:
        """
        Check that the last part has ended.

        Raises:
            InputError: The file is cut off.
        """
        if self._part is not None:
            raise InputError(f"it is cut off: its {self._codec} data have no end")


def _maker_of(name: str, codec: str) -> tuple[Callable[[], _Decompressor], type[Exception]]:
    """Return what makes a decompressor, and the error of damaged data. Most runs need none of these modules."""
    if codec == "gzip":
        return _Gunzip, zlib.error
    if codec == "bzip2":
        return import_module("bz2").BZ2Decompressor, OSError
    if codec == "xz":
        lzma = import_module("lzma")
        return lzma.LZMADecompressor, lzma.LZMAError
    for module in ("compression.zstd", "backports.zstd"):  # the first is that of Python 3.14
        try:
            zstd: Any = import_module(module)
        except ImportError:
            continue
        return zstd.ZstdDecompressor, zstd.ZstdError
    raise UsageError(f"{name} is compressed with zstd, which needs: {install_command('zstd')}")
