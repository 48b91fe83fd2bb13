"""The pictures of the dashboard: `python docs/pictures.py [NAME…]` draws docs/pictures/*.svg from a real daemon.

The plans are made anew each time, so ids and durations differ from run to run; names, commits, digests and ages do not.
"""

import asyncio
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from stage import PATIENCE, Stage, share, staged
from textual.pilot import Pilot

from cleveragents_tui.dashboard.app import Dashboard
from store import paths

PICTURES = Path(__file__).with_name("pictures")


class Picture(NamedTuple):
    """One picture.

    Attributes:
        keys: What is pressed before it is taken.
        sees: A text that is on the screen then.
        size: Columns and lines of the terminal.
        later: Seconds by which the clock of the dashboard is ahead, so that ages are the same each time.
        theme: What it looks like.
        before: What has to be there beside the plans.
    """

    keys: Sequence[str]
    sees: str
    size: tuple[int, int] = (120, 32)
    later: float = 720.0
    theme: str = "cleveragents"
    before: Callable[[Stage], None] | None = None


_AT_CALC, _AT_THANKS, _AT_ROUND, _AT_DOCUMENTS = (["j"] * number for number in (1, 2, 3, 5))
ALL = {
    "plans": Picture([*_AT_DOCUMENTS, "space"], "tools/rename.py"),
    "diff": Picture([*_AT_CALC, "d"], "shop/cart.py"),
    "log": Picture([*_AT_ROUND, "l"], "AssertionError"),
    "apply": Picture([*_AT_CALC, "a"], "merges cleanly"),
    "conflicts": Picture([*_AT_THANKS, "c"], "by grace"),
    "light": Picture([*_AT_CALC, "d"], "shop/cart.py", theme="cleveragents-light"),
    "narrow": Picture(_AT_CALC, "apply?", size=(80, 24)),
    "jobs": Picture(["2"], "worker-3", later=0),
    "server": Picture(["4"], "web/tidy", later=0, before=share),
}


async def draw(stage: Stage, name: str, picture: Picture) -> None:
    """Sit in front of a dashboard, go there, and take the picture."""
    now = time.time() + picture.later if picture.later else None
    app = Dashboard(paths.resolve(stage.environ), stage.environ, clock=lambda: now or time.time())
    async with app.run_test(size=picture.size) as pilot:
        await _until_seen(app, pilot, "shorten")
        app.theme = picture.theme
        for key in picture.keys:
            await pilot.press(key)
            await pilot.pause(0.2)
        await _until_seen(app, pilot, picture.sees)
        await pilot.pause(0.5)
        drawing = app.export_screenshot(title="ca tui", simplify=True)
    (PICTURES / f"{name}.svg").write_text(_tidied(drawing, name), encoding="utf-8")


async def _until_seen(app: Dashboard, pilot: Pilot[None], text: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while text not in app.export_screenshot(simplify=True).replace("&#160;", " "):
        if time.monotonic() > deadline:
            raise SystemExit(f"{text!r} was not seen")
        await pilot.pause(0.3)


def _tidied(drawing: str, name: str) -> str:
    """Without a font from elsewhere: every system has a monospaced one. And with names that stay."""
    drawing = re.sub(r"@font-face \{.*?\}\s*", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r"terminal-\d+", f"ca-{name}", drawing)
    return drawing.replace("<svg ", '<svg xml:space="preserve" ', 1)  # some viewers drop spaces otherwise


def main(names: Sequence[str]) -> None:
    """Draw those that are named, or all."""
    PICTURES.mkdir(exist_ok=True)
    with staged() as stage:
        for name in names or ALL:
            picture = ALL[name]
            if picture.before is not None:
                picture.before(stage)
            asyncio.run(draw(stage, name, picture))


if __name__ == "__main__":
    main(sys.argv[1:])
