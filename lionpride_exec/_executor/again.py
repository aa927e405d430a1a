"""The choice of the part that runs events again. The part is made at the first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .parts import Parts
    from .retrying import Retrying


def make_retrying(parts: Parts) -> Retrying:
    """Return the part that runs events again: in memory, in a journal or in a cluster."""
    if parts.cluster is not None:
        from .cluster_retrying import ClusterRetrying  # noqa: PLC0415  needs the extra

        return ClusterRetrying(parts)
    if parts.link is not None:
        from .journal_retrying import JournalRetrying  # noqa: PLC0415  needs the extra

        return JournalRetrying(parts)
    from .retrying import Retrying  # noqa: PLC0415  few programs need it

    return Retrying(parts)
