"""
How progress is shown: as lines, as a bar on a terminal, or as a bar of ``tqdm``. Nothing here knows an event.

``parts`` has what a display shows at a moment. ``displays`` has the displays that need nothing. The others are imported
if they are wanted, since they are slow to import and need an extra. ``choice`` finds the display for a stream.

``markup``, ``pieces`` and ``quantities`` are for pages and notebooks. ``markup`` escapes every text, ``pieces`` are
made with it, and ``quantities`` has the words for numbers and times.
"""
