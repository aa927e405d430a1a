"""The choice of the part that finds events. The part is made at the first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .finding import Finding
    from .parts import Parts


def make_finding(parts: Parts) -> Finding:
    """Return the part that finds events: in memory, in a journal or in a cluster."""
    if parts.cluster is not None:
        from .cluster_finding import ClusterFinding  # noqa: PLC0415  needs the extra

        return ClusterFinding(parts)
    if parts.link is not None:
        from .journal_finding import JournalFinding  # noqa: PLC0415  needs the extra

        return JournalFinding(parts)
    from .finding import Finding  # noqa: PLC0415  few programs need it

    return Finding(parts)
