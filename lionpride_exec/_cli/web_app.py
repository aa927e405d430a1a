"""The arguments of ``lionpride-exec web`` and ``cluster web``. They need the extra ``web`` when they are run."""

from __future__ import annotations

from typing import Annotated, Final

from cyclopts import Parameter

from lionpride_exec._base.wording import install_command

from .cluster_app import Queue, UrlFile  # noqa: TC001  cyclopts looks at them
from .guard import Extra, guarded
from .web_options import WebOptions

_DEFAULTS: Final = WebOptions()

WEB: Final = Extra(
    ("starlette", "jinja2", "uvicorn", "msgspec"), f"the dashboard needs: {install_command('web,journal')}"
)
CLUSTER_WEB: Final = Extra(
    ("starlette", "jinja2", "uvicorn", "coredis", "msgspec"),
    f"the dashboard of a cluster needs: {install_command('web,cluster')}",
)


@guarded(WEB)
def web(  # noqa: D417  the options are explained in their class
    journal: str,
    /,
    *,
    options: Annotated[WebOptions, Parameter(name="*")] = _DEFAULTS,
) -> int:
    """
    Show a run in browsers, until Ctrl-C: counts, charts, events, errors, a timeline.

    The address is written to standard output. It has a token, which is new each time.

    Args:
        journal: File of the journal; a run may be writing it.
    """
    from .web_server import serve_journal  # noqa: PLC0415  the extra may not be installed

    return serve_journal(journal, options)


@guarded(CLUSTER_WEB)
def cluster_web(  # noqa: D417  likewise
    *,
    queue: Queue = "default",
    url_file: UrlFile = None,
    options: Annotated[WebOptions, Parameter(name="*")] = _DEFAULTS,
) -> int:
    """
    Show a queue in browsers, until Ctrl-C, as far as its server knows it.

    The address is written to standard output. It has a token, which is new each time.

    Args:
        queue: Name of the queue.
        url_file: File whose first line is the URL of the server.
    """
    from .web_server import serve_queue  # noqa: PLC0415  the extra may not be installed

    return serve_queue(queue, url_file, options)
