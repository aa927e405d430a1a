"""Lines in the log for transitions: the name by which users import it."""

from lionpride_exec._executor.transition_log import log_transitions

__all__ = ["log_transitions"]
