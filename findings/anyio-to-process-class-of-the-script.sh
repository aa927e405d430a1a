#!/usr/bin/env bash
# AnyIO 4.16.0, to_process.run_sync(): what a function of a script returns or raises cannot come back if its class is one
# of the script. It can once anything has imported multiprocessing, without using it.
#
# The worker process imports the script as `__mp_main__`, as multiprocessing does. So the result is pickled as an instance
# of `__mp_main__.Answer`. In the program, the script is `__main__`. multiprocessing makes both names known when it is
# imported; AnyIO does not. Arguments of such a class arrive, since the worker knows the script by both names.
# An error of such a class becomes another error, so `except Refused:` around the call catches nothing.
#
# Seen on Python 3.11, on asyncio and trio (exits 1 if it changes):
#   plain: ModuleNotFoundError: No module named '__mp_main__', for a result and for an error
#   after `import multiprocessing`: Answer(number=4) and Refused
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q anyio==4.16.0 trio==0.35.0
cat > script.py <<'PY'
import sys
from dataclasses import dataclass

import anyio
from anyio import to_process

if "with" in sys.argv:
    import multiprocessing  # noqa: F401


@dataclass
class Answer:
    number: int


class Refused(Exception):
    pass


def double(answer):
    return Answer(answer.number * 2)


def refuse():
    raise Refused


async def main():
    for function, arguments in ((double, (Answer(2),)), (refuse, ())):
        try:
            print(await to_process.run_sync(function, *arguments))
        except Exception as error:
            print(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    anyio.run(main, backend=sys.argv[1])
PY
for backend in asyncio trio; do
    plain=$(venv/bin/python script.py "$backend")
    known=$(venv/bin/python script.py "$backend" with)
    printf '%s, plain:\n%s\n%s, after import multiprocessing:\n%s\n' "$backend" "$plain" "$backend" "$known"
    [ "$plain" = "$(printf "ModuleNotFoundError: No module named '__mp_main__'\n%.0s" 1 2)" ]
    [ "$known" = "$(printf 'Answer(number=4)\nRefused: ')" ]
done
