"""Shows a source of the tests on this terminal: ``python top_program.py plain`` or ``hostile``."""

import sys

import anyio
from parts import top_command
from top_source import FakeSource, hostile_source

if __name__ == "__main__":
    source = {"plain": FakeSource, "hostile": hostile_source}[sys.argv[1]]()
    sys.exit(anyio.run(top_command.run_app, source, backend="asyncio"))
