"""
The file of a chunk: what a worker process gets, and by which it tells of each call while it makes the next one.

The first byte says whether the worker has to stop. Then come the arguments of all calls, and then the outcomes, each
with its length. A pipe would wake both sides for each 64 KiB of arguments, and the program at each outcome. The
outcomes are read when the worker is ready, has died, or has to stop. The file is gone after that.
"""

from __future__ import annotations

import pickle
import struct
from contextlib import suppress
from pathlib import Path
from tempfile import mkstemp
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

_LENGTH: Final = struct.Struct("<Q")
_GO, _STOP = b"g", b"s"
_START: Final = len(_GO) + _LENGTH.size


class ResultsWriter:
    """
    The file in the worker process.

    Attributes:
        arguments: The arguments of each call.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            (length,) = _LENGTH.unpack(file.read(_START)[len(_GO) :])
            self.arguments: list[bytes] = pickle.loads(file.read(length))  # noqa: S301  from the program itself
        self._flag = path.open("rb", buffering=0)
        self._file = path.open("r+b", buffering=0)
        self._file.seek(_START + length)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()
        self._flag.close()

    def write(self, outcome: bytes) -> None:
        """Write the outcome of a call."""
        left = memoryview(_LENGTH.pack(len(outcome)) + outcome)
        while left:
            left = left[self._file.write(left) :]

    def has_to_stop(self) -> bool:
        """Return whether no further call may begin."""
        self._flag.seek(0)
        return self._flag.read(1) == _STOP


class ResultsReader:
    """
    The file in the program, which makes it and removes it.

    Args:
        arguments: The arguments of each call.

    Raises:
        OSError: The file cannot be made.
    """

    def __init__(self, arguments: Sequence[bytes]) -> None:
        data = pickle.dumps(list(arguments), pickle.HIGHEST_PROTOCOL)
        handle, path = mkstemp(prefix="lionpride_exec-")
        self._path = Path(path)
        self._file = open(handle, "r+b", buffering=0)  # noqa: SIM115, PTH123  closed by close(); it is a handle
        self._at = _START + len(data)
        left = memoryview(_GO + _LENGTH.pack(len(data)) + data)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError:  # the disk is full
            self.close()
            raise

    @property
    def path(self) -> str:
        """Where the file is."""
        return str(self._path)

    def stop(self) -> None:
        """Have the worker begin no further call. The one that it makes goes on."""
        self._file.seek(0)
        self._file.write(_STOP)

    def read(self) -> list[bytes]:
        """Return the outcomes that have come since the last call, in the order of the calls."""
        self._file.seek(self._at)
        found = self._file.read()
        outcomes, at = [], 0
        while len(found) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(found, at)
            if len(found) - at - _LENGTH.size < length:
                break  # it is being written
            at += _LENGTH.size + length
            outcomes.append(found[at - length : at])
        self._at += at
        return outcomes

    def close(self) -> None:
        """Remove the file. Idempotent."""
        self._file.close()
        with suppress(OSError):  # it is gone, or Windows still has it open in a process that is ending
            self._path.unlink()
