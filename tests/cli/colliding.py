"""Plans whose children change the same file, each in its way."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.homes import Home

LINES = "".join(f"line {number}\n" for number in range(10))
EDITS = {"one": "sed -i s/5/ONE/ f", "two": "sed -i s/5/TWO/ f"}


def plan(home: Home, edits: Mapping[str, str] = EDITS, *projects: Path, code: int | None = 1, **subplans: Any) -> str:
    """The name of a plan with a child for each of `edits`, by its item; Execute has ended with exit code `code`.

    Args:
        home: Where.
        edits: What each child runs.
        projects: What it works on; without one, a new repository with a file `f` of some lines.
        code: The exit code of waiting for it.
        subplans: Keys of the step.
    """
    scripts = home.work / home.fresh("scripts")
    scripts.mkdir()
    for item, edit in edits.items():
        (scripts / item).write_text(edit)
    child = home.action(f"sh {scripts}/{{what}}", arguments=[{"name": "what", "required": True}])
    keys = {"action": child, "for_each": list(edits), "arguments": {"what": "{item}"}, **subplans}
    parent = home.action(steps=[{"id": "all", "subplans": keys}])
    return home.use(parent, *(projects or [home.repository({"f": LINES})]), code=code)
