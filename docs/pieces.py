"""Pieces of the generated pages."""

import inspect
import re
from collections.abc import Iterable, Sequence

ATTRIBUTES = "\nAttributes:\n"
"""What begins the part of a docstring that goes into a table."""


def page(title: str, *parts: str) -> str:
    note = "This page is generated from the program by `python docs/generate.py`."
    return "\n\n".join([f"# {title}", note, *parts]) + "\n"


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def text(thing: object) -> str:
    """A docstring, one sentence a line; what it says of attributes stands in their table."""
    return sentences((inspect.getdoc(thing) or "").partition(ATTRIBUTES)[0])


def sentences(text: str) -> str:
    return re.sub(r"(?<=[.:]) (?=[A-Z`])", "\n", " ".join(text.split()))
