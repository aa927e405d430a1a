"""The metrics of an executor for Prometheus, if that can be had."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse, Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from lionpride_exec._executor.executor import Executor


def metrics_of(executor: Executor | None) -> Callable[[Request], Awaitable[Response]]:
    """
    Return the route ``/metrics``.

    The collector is made at the first scrape, since it costs 2.7 us an event from then on. So the histograms count from
    the first scrape.
    """
    collect: Callable[[], Response] | None = None

    async def scrape(request: Request) -> Response:  # noqa: ARG001  as all routes
        """Return the metrics."""
        nonlocal collect
        if executor is None:
            return PlainTextResponse("The metrics are those of an executor in this process.\n", 404)
        if collect is None:
            try:
                collect = _collecting(executor)
            except ModuleNotFoundError as exc:
                return PlainTextResponse(f"{exc}\n", 404)
        return collect()

    return scrape


def _collecting(executor: Executor) -> Callable[[], Response]:
    from lionpride_exec.telemetry import PrometheusCollector  # noqa: PLC0415  another extra

    collector = PrometheusCollector(executor)

    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415  likewise
    from prometheus_client.exposition import CONTENT_TYPE_LATEST  # noqa: PLC0415  likewise

    registry = CollectorRegistry()  # of its own: that of the program may have the same metrics
    registry.register(collector)
    return lambda: Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
