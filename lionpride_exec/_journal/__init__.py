"""
A journal: the events of an executor on disk, in SQLite.

What is promised
    ``append()`` returns once the event is on disk, and no event starts before. Each transition is written in the order
    in which it happened to the event. With ``ack="strict"`` PROCESSING is on disk before an event runs, and its final
    status before anyone is told. With ``ack="lazy"`` transitions are on disk some milliseconds after they happen.

How a row gets to the disk
    The executor tells the ``session`` what happens to events. The session makes rows of it (``row_encoder``, with
    ``codec`` and ``outcome_codec``), and remembers what is not on disk yet (``pending_write``). The ``writer`` is a
    task in the executor's group. One ``commit`` at a time writes a batch of rows in a worker thread, in one transaction
    of the ``store``. Meanwhile the rows of the ``next_commit`` are gathered. After a commit the session learns what is
    on disk: events that have ended may leave memory, and tasks that waited go on. A strict journal writes the start of
    an event in the commit with the end that makes room for it (``starts_ahead``). ``journal_lifecycle`` has the states
    of the journal and of its writer.

What a crash leaves
    The last commit, whole: SQLite's log is replayed when the file is opened. Open rows are restored in order of arrival
    (``recovery``). A PROCESSING row was interrupted: its class says whether it runs again, fails, or is held. The runs
    that limits still have to count are read back (``recent_starts``). The lock ends with the process (``file_lock``).

What is written to the file is decided by ``schema`` (tables), ``class_codec`` (fields of events), ``fidelity`` (what is
refused) and ``rows``. Stored bytes stay readable: a change of them needs a new version. ``lookup`` reads for the owner,
``reader`` and ``overview`` read for anyone else, while the owner writes.
"""

from .journal import Journal

__all__ = ["Journal"]
