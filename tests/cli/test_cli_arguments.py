"""Plain arguments of ``run`` are read without cyclopts, and mean what they mean to cyclopts."""

import subprocess
import sys
from random import Random

import pytest
from cyclopts import CycloptsError
from parts import command_app, plain_arguments

WORDS = ["a", "5", "5.5", "-", "", "10%", "trio", "full", "plain", "007", "1e3", "-1", "a=b", "true", " ", "5/1s", "٣"]
NAMES = [*plain_arguments.OPTIONS, "--nope", "--no-quiet", "-q", "--help", "--quiet", "--"]


def read_by_cyclopts(words):
    """Return target, files of INPUT and options as cyclopts reads them. An error is returned too."""
    try:
        _, bound, _ = command_app.parse_args(words, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        return error
    bound.apply_defaults()
    target, *sources = bound.args
    return target, tuple(sources), bound.kwargs["options"]


def drawn_words(random):
    """Return arguments of ``run``, right ones and wrong ones."""
    words = []
    for _ in range(random.randrange(5)):
        name = random.choice(NAMES)
        words.append(name if random.random() < 0.5 else f"{name}={random.choice(WORDS)}")
        if random.random() < 0.6:
            words.append(random.choice(WORDS))
    given = random.choice([1, 2, 2, 2, 3])
    for place in ("target", "input", "more")[:given]:
        words.insert(random.randrange(len(words) + 1), place)
    return ["run", *words]


def test_plain_arguments_mean_what_they_mean_to_cyclopts():
    """Whatever is read without cyclopts, cyclopts reads the same."""
    random = Random(1)  # noqa: S311  no secret
    read = [words for words in (drawn_words(random) for _ in range(2000)) if plain_arguments.read_plain(words)]
    assert len(read) > 300
    for words in dict.fromkeys(map(tuple, read)):  # many are drawn more than once, and cyclopts takes 8 ms
        assert read_by_cyclopts(words) == plain_arguments.read_plain(list(words)), words


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["inspect", "j.db"],
        ["run"],
        ["run", "t"],
        ["run", "--help"],
        ["run", "t", "i", "--nope", "1"],
        ["run", "t", "i", "--concurrency"],
        ["run", "t", "i", "--concurrency", "many"],
        ["run", "t", "i", "--quiet", "--quiet"],
        ["run", "t", "i", "--key", "a", "--key", "b"],
        ["run", "t", "i", "--output", "--quiet"],
        ["run", "t", "i", "--backend", "curio"],
        ["run", "-", "i"],
    ],
    ids=" ".join,
)
def test_everything_else_is_for_cyclopts(words):
    """Other commands, help, and all that is wrong."""
    assert plain_arguments.read_plain(words) is None


def test_a_plain_run_does_not_import_cyclopts(tmp_path):
    """Nor rich, unless there is a display."""
    (tmp_path / "target.py").write_text("async def nothing(record):\n    return None\n", "utf-8")
    (tmp_path / "input.jsonl").write_text('{"n": 1}\n', "utf-8")
    program = (
        "import sys; from lionpride_exec._cli.entry import prepare;"
        "status = prepare(['run', 'target.py:nothing', 'input.jsonl', '--quiet', '--concurrency=5'])();"
        "sys.exit(status or [name for name in ('cyclopts', 'rich', 'msgspec') if name in sys.modules] or None)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: S603  our own
    assert (done.returncode, done.stderr) == (0, "")
    assert '"completed"' in done.stdout
