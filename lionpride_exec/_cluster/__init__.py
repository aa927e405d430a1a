"""
The queue on a server (Valkey or Redis): events that many processes submit and work on.

The engine is the server's: a stream for each level of priority, with a consumer group. The group hands each entry to
one worker, knows who holds it, and lets another worker take it over. The scripts in ``lua`` add what a stream lacks:
statuses, keys, delays, dependencies, limits, and a stream of all transitions. Nothing here knows what an event is: an
envelope is bytes.

What is promised
    An event that was submitted once is there once: its id and its key are checked by the server. It begins at least
    once and has one final status. A worker that dies or stalls loses what it holds after its lease, and what it reports
    after that is not recorded. Each script may be sent twice, so an answer that is lost does no harm.

How an event goes
    A client submits it (``server_queue``). A ``worker`` takes it, has its start recorded under a token, and reports its
    end. ``steps`` gathers what a worker reports, so that a round trip carries many steps. A ``follower`` reads the
    stream of transitions for a client. ``envelopes`` signs what is left on the server. ``wire`` is the only module that
    knows the client library.
"""

from .cluster_error import ClusterError
from .envelopes import EVENT, OUTCOME, Signer, UntrustedRecordError
from .follower import Follower
from .server_queue import EVENTS_AT_A_TIME, Entry, Limit, ServerQueue, Submission
from .wire import Wire
from .worker import QueueWorker

__all__ = [
    "EVENT",
    "EVENTS_AT_A_TIME",
    "OUTCOME",
    "ClusterError",
    "Entry",
    "Follower",
    "Limit",
    "QueueWorker",
    "ServerQueue",
    "Signer",
    "Submission",
    "UntrustedRecordError",
    "Wire",
]
