"""
The command line. It needs the extra ``cli``; nothing else in the package imports it.

``_app`` (arguments) → ``_run`` (one run) → ``_target``, ``_source``, ``_jobs`` (lines become events) and
``_output``, ``_tally``, ``_display`` (events become results).
"""

from ._app import run_command

__all__ = ["run_command"]
