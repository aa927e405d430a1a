"""What is expensive to find out is found out once for a whole run, also when pytest-xdist has many workers."""

import os
import pickle
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: each worker finds it out for itself
    fcntl = None


def directory_of_run(tmp_path_factory):
    """Return the temporary directory that all workers of this run have in common. None if each has to be alone."""
    base = tmp_path_factory.getbasetemp()
    if fcntl is None:
        return None
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def once(directory, name, make):
    """
    Return what a function returns. Of all workers, the first calls the function; the others wait, and read the result.

    If the function raises, or the worker dies, the next worker calls the function.

    Args:
        directory: The directory that the workers have in common. None if there is none.
        name: The name of the file with the result.
        make: Returns the result, which can be pickled.
    """
    if directory is None:
        return make()
    path = Path(directory, f"{name}.pickle")
    with Path(directory, f"{name}.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # ends with the file, or with the process
        if path.exists():
            return pickle.loads(path.read_bytes())  # noqa: S301  of this run
        made = make()
        path.write_bytes(pickle.dumps(made))
        return made
