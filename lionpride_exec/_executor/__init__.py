"""The executor: the parts that join processing, journal, tracking and iteration, and the facade over them."""

from .executor import Executor as Executor
