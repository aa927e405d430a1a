"""What tests of several commands share."""

import pytest
from commands import run_command


@pytest.fixture
def call(capsys):
    """Run a command; give its exit status and what it wrote to standard output and error."""

    def run(*argv):
        status = run_command(argv)
        out, err = capsys.readouterr()
        return status, out, err

    return run
