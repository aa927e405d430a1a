"""
A journal: the events of an executor on disk, in SQLite.

:class:`Journal` is what a user gives to an executor. Below it, from the executor down to the file:

``_durable`` and ``_keeping`` (in the package above) ask for an event to be written and learn when it was; ``_book``
turns what happens to events into rows (by ``_codec`` with ``_plan`` and ``_hints``, and ``_outcome``) and knows how far
each is on its way (``_way``); ``_writer`` gathers rows and has them committed together (``_commit``); ``_store`` is the
file, in a worker thread (``_schema`` says what is in it, ``_statements`` how it is written). On the way back,
``_restore`` decides what becomes of the rows that were open, and ``_lookup`` finds what has ended. ``_reader`` looks at
a file that may be somebody else's.
"""

from ._journal import Journal

__all__ = ["Journal"]
