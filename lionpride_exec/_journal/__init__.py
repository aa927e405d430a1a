"""
A journal: the events of an executor on disk, in SQLite.

:class:`Journal` is what a user gives to an executor. Below it, from the executor down to the file:

``_executor.durable_submissions`` and ``_executor.retention`` (in the package above) ask for an event to be written and
learn when it was; ``session`` turns what happens to events into rows (by ``codec`` with ``class_codec`` and
``annotations``, and ``outcome_codec``) and knows how far each is on its way (``pending_write``); ``writer`` gathers
rows and has them committed together (``commit``); ``store`` is the file, in a worker thread (``schema`` says what is in
it, ``bulk_sql`` how it is written). On the way back, ``recovery`` decides what becomes of the rows that were open, and
``lookup`` finds what has ended. ``reader`` looks at a file that may be somebody else's.
"""

from .journal import Journal

__all__ = ["Journal"]
