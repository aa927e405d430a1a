"""``run --web``: a dashboard beside the run, in its event loop."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import anyio

from lionpride_exec._base.wording import install_command
from lionpride_exec._cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.abc import TaskStatus

    from lionpride_exec._executor.executor import Executor

    from .options import RunOptions


async def show_dashboard(
    executor: Executor,
    options: RunOptions,
    tell: Callable[[str], None],
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """
    Serve the dashboard of an executor until the call is cancelled. It only shows.

    Args:
        executor: The executor, which may have to be started yet.
        options: ``web`` is the port, ``backend`` the event loop that runs this call.
        tell: Shows a message.
        task_status: Started once the server listens.

    Raises:
        UsageError: The extra is missing, there is no server for the backend, or the port cannot be used.
    """
    if find_spec("starlette") is None or find_spec("jinja2") is None or find_spec("uvicorn") is None:
        raise UsageError(f"--web needs: {install_command('web')}")
    from lionpride_exec.web import dashboard  # noqa: PLC0415  needs the extra
    from lionpride_exec.web._server import (  # noqa: PLC0415  likewise
        CannotServeError,
        address_of,
        check_server,
        listener_at,
        make_token,
        serve,
    )

    backend = options.backend.partition("+")[0]
    try:
        check_server(backend)
        listener = listener_at("127.0.0.1", options.web or 0)
    except CannotServeError as exc:
        raise UsageError(f"--web: {exc}") from exc
    token = make_token()
    tell(f"dashboard: {address_of(listener, '127.0.0.1', token)}")
    task_status.started()
    await serve(dashboard(executor, auth=token), listener, backend)
