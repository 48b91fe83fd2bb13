"""What `ca` says, said in the dashboard: the same lines, with the terminal's colours as the theme's."""

from collections.abc import Iterable
from typing import TypeVar

from rich.text import Text
from textual.content import Content

from cleveragents_tui.output import Look, Renderer

T = TypeVar("T")


def spoken(render: Renderer[T], data: T, *, width: int, now: float) -> list[Content]:
    """The lines that a command prints for `data`."""
    return lines(render(data, Look(width=width, colour=True, now=now)))


def lines(printed: Iterable[str]) -> list[Content]:
    """Printed lines, their colours kept."""
    return [Content.from_rich_text(Text.from_ansi(line)) for line in printed]
