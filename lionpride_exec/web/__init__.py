"""
A dashboard of a run, for browsers: what runs, what waits and why, how full the limits are, which errors there were.

:func:`dashboard` returns an ASGI application. A program mounts it beside its own routes, or a server runs it alone. See
``docs/dashboard.md``. The package does not import this module, and this module imports Starlette and Jinja2 only when
a dashboard is made.
"""

from ._dashboard import dashboard

__all__ = ["dashboard"]
