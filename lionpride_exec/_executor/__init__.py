"""The executor: the facade, and the parts that join processing, journal, tracking and iteration."""

from .executor import Executor as Executor
