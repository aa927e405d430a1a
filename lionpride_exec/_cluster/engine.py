"""
The queue on a server (Valkey or Redis): events that many processes submit and work on.

The engine is the server's: a stream for each level of priority, with a consumer group. The group hands each entry to
one worker, knows which worker holds it, and lets another worker take it over. The scripts in ``lua`` add what a stream
lacks: statuses, keys, delays, dependencies, limits, and a stream of all transitions. Nothing here knows what an event
is: an envelope is bytes.

What is promised
    The queue has an event once, even if it is submitted twice: the server checks id and key. An event begins at least
    once and has one final status. A worker that dies or stalls loses the events that it holds after its lease, and its
    later reports are not recorded. Each script may be sent twice, so a lost answer does no harm.

How an event goes
    A client submits it (``server_queue``). A ``worker`` takes it, has its start recorded under a token, and reports its
    end. ``round_trips`` gathers what a worker reports, so that a call carries many steps. ``transition_reader`` reads
    the stream of transitions for a client. ``queue_queries`` answers what people ask. ``signer`` signs what is stored
    on the server. Only ``wire`` and ``client_errors`` know the client library.
"""

from lionpride_exec.errors import ClusterError

from .queue_queries import BucketState, Details, QueueQueries, WorkerInfo, find_names, find_queue
from .queue_types import BucketLimit, Moved, StreamEntry, Submission, Taken
from .round_trips import Answer, RoundTrips
from .server_check import check_server
from .server_queue import EVENTS_AT_A_TIME, ServerQueue, batches
from .signer import EVENT, OUTCOME, Signer, UntrustedRecordError, unverified
from .transition_reader import TransitionReader
from .wire import Wire
from .worker import QueueWorker
from .worker_host import Start, WorkerHost

__all__ = [
    "EVENT",
    "EVENTS_AT_A_TIME",
    "OUTCOME",
    "Answer",
    "BucketLimit",
    "BucketState",
    "ClusterError",
    "Details",
    "Moved",
    "QueueQueries",
    "QueueWorker",
    "RoundTrips",
    "ServerQueue",
    "Signer",
    "Start",
    "StreamEntry",
    "Submission",
    "Taken",
    "TransitionReader",
    "UntrustedRecordError",
    "Wire",
    "WorkerHost",
    "WorkerInfo",
    "batches",
    "check_server",
    "find_names",
    "find_queue",
    "unverified",
]
