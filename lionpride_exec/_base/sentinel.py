"""The value that means "no value yet", where ``None`` may be a real value."""

from __future__ import annotations

from typing import Any, ClassVar, Final, Self, final


@final
class UnsetType:
    """The type of :data:`Unset`, of which there is one object in a process. Copies and pickles return that object."""

    __slots__ = ()
    _instance: ClassVar[UnsetType | None] = None

    def __new__(cls) -> UnsetType:
        if cls._instance is None:
            cls._instance = super().__new__(cls)
        return cls._instance

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "Unset"

    def __reduce__(self) -> str:
        return "Unset"  # pickle and copy look the name up in this module

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


Unset: Final = UnsetType()
