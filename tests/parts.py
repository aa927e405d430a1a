"""
The private parts that tests look at, in one place, each with the reason why no public name does.

Whatever can be seen through the public interface is tested there. A part that is here is tested as a unit: it has many
cases that would each take a whole run, or a limit on memory or time that no caller sees.
"""

from lionpride_exec._base import (
    backend,  # what differs between event loops
    field_paths,  # paths such as a.b[0], by generated examples
    redaction,  # what is taken for a secret, by generated examples
    state_machine,  # every pair of states
    wall_clock,  # a day that stands still, or goes back
)
from lionpride_exec._cli.app import app as command_app  # what cyclopts reads
from lionpride_exec._cli.run import arguments as plain_arguments  # compared with what cyclopts reads
from lionpride_exec._cli.run import summary as cli_summary  # what is shown at a moment
from lionpride_exec._cli.top import command as top_command  # its screens, without a terminal
from lionpride_exec._cli.top import feed as top_feed  # how often it reads, by a clock of the test
from lionpride_exec._cluster import engine as cluster  # the queue on a server, without events and executors
from lionpride_exec._executor import executor_states  # every pair of states
from lionpride_exec._faces import sources as faces_sources  # and what they return; a dashboard shows it as a page
from lionpride_exec._journal import journal_lifecycle  # every pair of states
from lionpride_exec._journal import reader as journal_reader  # reading in pieces, and without rights
from lionpride_exec._journal import store as journal_store  # a second process that has the file
from lionpride_exec._journal import worker_thread as journal_worker_thread  # a simulation has no threads
from lionpride_exec._model import limits as model_limits  # routes through limits
from lionpride_exec._model import triggers  # due times, by generated examples
from lionpride_exec._processing import processor_lifetime  # every pair of states
from lionpride_exec._processing import retries as processing_retries  # the budget, by a simple count
from lionpride_exec._scheduling import forecast as scheduling_forecast  # compared with a simulation
from lionpride_exec._scheduling import limit_state as scheduling_limit_state  # the same
from lionpride_exec._scheduling import pacing as scheduling_pacing  # without an event loop
from lionpride_exec._scheduling import reopening as scheduling_reopening  # the same
from lionpride_exec.testing._invariants import invariant as invariants  # each by itself, of a broken executor
from lionpride_exec.testing._time import asyncio_clock as clock  # a virtual clock as coarse as that of uvloop

faces_snapshot = faces_sources.snapshot

__all__ = [
    "backend",
    "cli_summary",
    "clock",
    "cluster",
    "command_app",
    "executor_states",
    "faces_snapshot",
    "faces_sources",
    "field_paths",
    "invariants",
    "journal_lifecycle",
    "journal_reader",
    "journal_store",
    "journal_worker_thread",
    "model_limits",
    "plain_arguments",
    "processing_retries",
    "processor_lifetime",
    "redaction",
    "scheduling_forecast",
    "scheduling_limit_state",
    "scheduling_pacing",
    "scheduling_reopening",
    "state_machine",
    "top_command",
    "top_feed",
    "triggers",
    "wall_clock",
]
