"""A child made by ``fork()``, also one without rights."""

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


def drop_rights():
    """In a child: go on as a user who owns no file, if this is root."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
