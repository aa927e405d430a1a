"""
Traces, metrics and logs of what an executor does. See ``docs/telemetry.md`` and ``docs/logs.md``.

The package does not import this module, and this module imports OpenTelemetry and prometheus_client only when a name
that needs them is used.
"""

import typing as _typing

if _typing.TYPE_CHECKING:
    from ._instrument import instrument
    from ._instrumentor import LionprideInstrumentor
    from ._logging import log_transitions
    from ._prometheus import PrometheusCollector

__all__ = ["LionprideInstrumentor", "PrometheusCollector", "instrument", "log_transitions"]

# The module of each name, and the extra that it needs.
_ON_DEMAND = {
    "LionprideInstrumentor": ("_instrumentor", "otel-auto"),
    "PrometheusCollector": ("_prometheus", "metrics"),
    "instrument": ("_instrument", "otel"),
    "log_transitions": ("_logging", None),
}


def __getattr__(name: str) -> _typing.Any:
    if name not in _ON_DEMAND:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  not needed by most programs

    module, extra = _ON_DEMAND[name]
    try:
        value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
    except ModuleNotFoundError as exc:
        if extra is None:
            raise
        from lionpride_exec._base.wording import install_command  # noqa: PLC0415  no name of this module

        raise ModuleNotFoundError(f"{name} needs an extra: {install_command(extra)}", name=exc.name) from exc
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_DEMAND})
