"""A child made by ``fork()``."""

import os
import warnings


def fork():
    """
    Fork, although this process has threads: of pytest-xdist, of a journal, of pyarrow.

    Python warns of these threads from 3.12 on. With warnings as errors, ``os.fork()`` of Python 3.15 makes the child,
    and raises in the parent, which then does not know the child. Older Pythons drop this error.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        return os.fork()
