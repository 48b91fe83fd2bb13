"""Paths that complete themselves: the directory is read in a thread, and nothing outside of the given roots is looked at."""

import asyncio
import os
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.suggester import Suggester
from textual.widgets import Input

MOST_ENTRIES = 5_000
"""Entries of one directory that are looked at."""


class PathInput(Input):
    """A line for a path: tab completes what one has begun, and goes on when there is nothing to complete."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "complete", "Complete", show=False, tooltip="Complete the path that was begun, or go on.")
    ]

    _before = ""

    def on_focus(self) -> None:
        """What is here already was not begun by anybody."""
        self._before = self.value

    def action_complete(self) -> None:
        """Take what is suggested; a path that lacks only its last slash is complete."""
        begun = self.value
        if begun != self._before and not begun.endswith("/"):
            self.action_end()
            self.action_cursor_right()
        if self.value.rstrip("/") == begun.rstrip("/"):
            self.screen.focus_next()


class PathSuggester(Suggester):
    """Goes on with the path that was begun."""

    def __init__(self, roots: Callable[[], Sequence[Path]] | None = None, *, directories: bool = False) -> None:
        """Paths relative to the first of `roots` that has them and never out of it; without roots, any path."""
        super().__init__(use_cache=False, case_sensitive=True)
        self._roots = roots
        self._directories = directories

    async def get_suggestion(self, value: str) -> str | None:
        """The whole path, None when there is none that begins like this."""
        if self._roots is None:
            return await asyncio.to_thread(complete_anywhere, value, directories=self._directories)
        for root in self._roots():
            found = await asyncio.to_thread(complete_inside, value, root)
            if found is not None:
                return found
        return None


def complete_anywhere(text: str, *, directories: bool = False) -> str | None:
    """The first path that begins with `text`; `~` is the home directory and stays as it was typed."""
    above, slash, begun = text.rpartition("/")
    place = Path(above + slash).expanduser() if slash else Path()
    return _with(above + slash, _first(place, begun, directories=directories))


def complete_inside(text: str, root: Path) -> str | None:
    """The same relative to `root`; None for what leads out of it, through a link too."""
    above, slash, begun = text.rpartition("/")
    if text.startswith(("/", "~")) or ".." in above.split("/"):
        return None
    try:
        place = (root / above).resolve()
        inside = place.is_relative_to(root.resolve())
    except (OSError, ValueError):
        return None
    return _with(above + slash, _first(place, begun)) if inside else None


def _with(above: str, name: str | None) -> str | None:
    return None if name is None else above + name


def _first(place: Path, begun: str, *, directories: bool = False) -> str | None:
    """The first name in a directory that begins so, an exact one before all; hidden ones only when they are asked for."""
    try:
        with os.scandir(place) as entries:
            names = [
                f"{entry.name}/" if entry.is_dir() else entry.name
                for entry in islice(entries, MOST_ENTRIES)
                if entry.name.startswith(begun)
                and entry.name.isprintable()
                and (begun or not entry.name.startswith("."))
                if not directories or entry.is_dir()
            ]
    except (OSError, ValueError):  # nothing to suggest: there is no such directory, or it may not be read
        return None
    return min(names, key=lambda name: (name.rstrip("/") != begun, name), default=None)
