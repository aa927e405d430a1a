"""The options of ``web`` and ``cluster web``: where a dashboard is served, and to whom."""

from __future__ import annotations

from typing import Annotated

import attrs
from cyclopts import Parameter

from .parameters import FLAG, REPEATED


@attrs.frozen(kw_only=True)
class WebOptions:
    """
    Where a dashboard is served, and to whom.

    Attributes:
        port: Port to listen on; 0 for any free port.
        host: Address to listen at. Other machines need one that is not the default.
        allow_host: Name by which other machines reach the dashboard. Repeatable.
        writable: Offer actions, such as pause, resume, cancel and retry.
        no_token: Serve all users of this machine, without a token.
        open_browser: Open the address in a browser.
    """

    port: int = 8765
    host: str = "127.0.0.1"
    allow_host: Annotated[tuple[str, ...], REPEATED] = ()
    writable: Annotated[bool, FLAG] = False
    no_token: Annotated[bool, FLAG] = False
    open_browser: Annotated[bool, Parameter(name="--open"), FLAG] = False
