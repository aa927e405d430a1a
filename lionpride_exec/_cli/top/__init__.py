"""
The command ``top``: a run on the screen of a terminal, read once a second.

``feed`` reads, through the ``Source`` of ``_faces/snapshot.py``. ``panels``, ``rows`` and ``event_text`` are plain
functions that say what was read. The screens show what they return. Textual runs on asyncio only, so ``top`` is a
process of its own, and never the process of the executor.
"""
