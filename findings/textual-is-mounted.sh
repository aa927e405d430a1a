#!/usr/bin/env bash
# Textual 8.2.8: `is_mounted` of a screen stays True after the screen was popped and its widgets are gone.
#
# A task that updates a screen from outside, and asks `screen.is_mounted` before it queries a widget, gets NoMatches
# once the user has left the screen. `is_attached` and `is_running` are False by then.
#
# Output seen:
#   new: mounted False, attached False, running False, 0 widgets
#   shown: mounted True, attached True, running True, 1 widgets
#   popped: mounted True, attached False, running False, 0 widgets
#
# Exits 1 if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q textual==8.2.8 2>/dev/null
cat >"$folder/screens.py" <<'PY'
import asyncio

from textual.app import App
from textual.screen import Screen
from textual.widgets import Static


class Details(Screen):
    def compose(self):
        yield Static(id="head")


def tell(when, screen):
    state = f"mounted {screen.is_mounted}, attached {screen.is_attached}, running {screen.is_running}"
    print(f"{when}: {state}, {len(screen.query('#head'))} widgets")


async def main():
    app, screen = App(), Details()
    tell("new", screen)
    async with app.run_test() as pilot:
        await app.push_screen(screen)
        await pilot.pause()
        tell("shown", screen)
        await app.pop_screen()
        await pilot.pause()
        tell("popped", screen)


asyncio.run(main())
PY
"$folder/venv/bin/python" "$folder/screens.py" 2>&1 | tee "$folder/seen"
diff "$folder/seen" - <<'SEEN'
new: mounted False, attached False, running False, 0 widgets
shown: mounted True, attached True, running True, 1 widgets
popped: mounted True, attached False, running False, 0 widgets
SEEN
