"""
A journal: the events of an executor on disk, in SQLite.

:class:`Journal` is what a user gives to an executor. Below it, from the executor down to the file:

``_durable`` (in the package above) asks for an event to be written and learns when it was; ``_book`` turns what happens
to events into rows (by ``_codec`` and ``_outcome``); ``_writer`` gathers rows and has them committed together;
``_store`` is the file, in a worker thread (``_schema`` says what is in it). On the way back, ``_restore`` decides what
becomes of the rows that were open. ``_reader`` looks at a file that may be somebody else's.
"""

from ._journal import Journal

__all__ = ["Journal"]
