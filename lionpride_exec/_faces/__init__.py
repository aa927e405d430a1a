"""
What people look at: charts and the report of a run. Nothing here is imported with the package.

``charts`` draws on the side that writes the page, with the pieces of ``_display``: no script, no library.
``scales`` chooses what an axis shows. ``summary`` makes numbers of what a journal has, and ``page`` shows them.
"""
