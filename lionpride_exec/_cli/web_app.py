"""The arguments of ``lionpride-exec web`` and ``cluster web``. They need the extra ``web`` when they are run."""

from __future__ import annotations

from typing import Annotated, Final

from cyclopts import Parameter

from lionpride_exec._base.wording import install_command

from .cluster_app import Queue, UrlFile  # noqa: TC001  cyclopts looks at them
from .guard import Extra, guarded
from .parameters import FLAG, REPEATED

WEB: Final = Extra(
    ("starlette", "jinja2", "uvicorn", "msgspec"), f"the dashboard needs: {install_command('web,journal')}"
)
CLUSTER_WEB: Final = Extra(
    ("starlette", "jinja2", "uvicorn", "coredis", "msgspec"),
    f"the dashboard of a cluster needs: {install_command('web,cluster')}",
)


@guarded(WEB)
def web(
    journal: str,
    /,
    *,
    port: int = 8765,
    host: str = "127.0.0.1",
    allow_host: Annotated[tuple[str, ...], REPEATED] = (),
    writable: Annotated[bool, FLAG] = False,
    no_token: Annotated[bool, FLAG] = False,
    open_browser: Annotated[bool, Parameter(name="--open"), FLAG] = False,
) -> int:
    """
    Show a run in browsers, until Ctrl-C: counts, charts, events, errors, a timeline.

    The address is written to standard output. It has a token, which is new each time.

    Args:
        journal: File of the journal; a run may be writing it.
        port: Port to listen on; 0 for any free port.
        host: Address to listen at. Other machines need one that is not the default.
        allow_host: Name by which other machines reach the dashboard. Repeatable.
        writable: Offer actions: pause, resume, resize, cancel, skip, retry.
        no_token: Serve all users of this machine, without a token.
        open_browser: Open the address in a browser.
    """
    from .web_server import Place, serve_journal  # noqa: PLC0415  the extra may not be installed

    place = Place(
        host=host, port=port, allowed=allow_host, writable=writable, has_token=not no_token, opens_browser=open_browser
    )
    return serve_journal(journal, place)


@guarded(CLUSTER_WEB)
def cluster_web(
    *,
    queue: Queue = "default",
    url_file: UrlFile = None,
    port: int = 8765,
    host: str = "127.0.0.1",
    allow_host: Annotated[tuple[str, ...], REPEATED] = (),
    writable: Annotated[bool, FLAG] = False,
    no_token: Annotated[bool, FLAG] = False,
    open_browser: Annotated[bool, Parameter(name="--open"), FLAG] = False,
) -> int:
    """
    Show a queue in browsers, until Ctrl-C, as far as its server knows it.

    The address is written to standard output. It has a token, which is new each time.

    Args:
        queue: Name of the queue.
        url_file: File whose first line is the URL of the server.
        port: Port to listen on; 0 for any free port.
        host: Address to listen at. Other machines need one that is not the default.
        allow_host: Name by which other machines reach the dashboard. Repeatable.
        writable: Offer actions: pause, resume, cancel, retry.
        no_token: Serve all users of this machine, without a token.
        open_browser: Open the address in a browser.
    """
    from .web_server import Place, serve_queue  # noqa: PLC0415  the extra may not be installed

    place = Place(
        host=host, port=port, allowed=allow_host, writable=writable, has_token=not no_token, opens_browser=open_browser
    )
    return serve_queue(queue, url_file, place)
