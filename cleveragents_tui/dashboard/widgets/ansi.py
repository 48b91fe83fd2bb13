r"""One line of what a program printed, as a terminal would have left it: text, and how it looks.

Colours and attributes are kept, other escapes and control characters are dropped, a line that was drawn again and again is
shown as it ended up, and a byte that is not UTF-8 is shown as `\xNN`. Every line begins without colours: what one line
forgot to switch off must not depend on where reading began.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from rich.cells import cell_len
from rich.color import Color
from rich.style import Style

TAB = 8
"""Columns between two tab stops, as terminals have them."""

ESCAPE = b"\x1b"
"""What every sequence begins with that says something to the terminal."""

_BACK = (b"\r", b"\x1b[G", b"\x1b[1G")
_STRING = r"[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?"
_ESCAPES = rf"\x1b(?:\[[0-?]*[ -/]*[@-~]?|{_STRING}|[ -/]*[0-~]|(?=\n)|\Z)"
_ESCAPE = re.compile(rf"\x1b\[(?P<look>[0-9;:]{{0,64}})m|{_ESCAPES}")
_ESCAPE_BYTES = re.compile(_ESCAPES.encode())


class Piece(NamedTuple):
    """Text in one look."""

    text: str
    style: Style


class _Look(NamedTuple):
    color: Color | None = None
    bgcolor: Color | None = None
    bold: bool = False
    dim: bool = False
    italic: bool = False
    underline: bool = False
    reverse: bool = False
    strike: bool = False


_PLAIN = _Look()
_NULL = Style.null()
_SWITCHES: dict[int, dict[str, bool]] = {
    1: {"bold": True}, 2: {"dim": True}, 3: {"italic": True}, 4: {"underline": True}, 7: {"reverse": True},
    9: {"strike": True}, 21: {"underline": True}, 22: {"bold": False, "dim": False}, 23: {"italic": False},
    24: {"underline": False}, 27: {"reverse": False}, 29: {"strike": False},
}  # fmt: skip


def visible(raw: bytes) -> bytes:
    """What of `raw`, one or more lines, can be seen and therefore be searched."""
    if any(back in raw for back in _BACK):
        raw = b"\n".join(_last_drawing(line)[1] for line in raw.split(b"\n"))
    return _ESCAPE_BYTES.sub(b"", raw) if ESCAPE in raw else raw


def pieces(raw: bytes, like_paper: frozenset[int] = frozenset()) -> list[Piece]:
    """The line `raw` in pieces of one look each.

    Args:
        raw: The line without its end.
        like_paper: Standard colours that are not seen on the ground: text in them is in the colour of other text.
    """
    overdrawn, last = _last_drawing(raw)
    text = last.decode("utf-8", "backslashreplace")
    look = _look_after(overdrawn) if overdrawn else _PLAIN
    if look is _PLAIN and text.isprintable():
        return [Piece(text, _NULL)]
    found: list[Piece] = []
    column = 0
    for part, look_of_part in _parts(text, look):
        clean = _clean(part, column)
        column += cell_len(clean)
        found.append(Piece(clean, _style(look_of_part, like_paper)))
    return found


def _last_drawing(line: bytes) -> tuple[bytes, bytes]:
    """What was drawn over, and what is seen, for the cursor was sent back to the first column."""
    for back in _BACK[1:]:
        line = line.replace(back, b"\r")
    line = line.rstrip(b"\r")
    begin = line.rfind(b"\r") + 1
    return line[:begin], line[begin:]


def _look_after(overdrawn: bytes) -> _Look:
    look = _PLAIN
    for match in _ESCAPE.finditer(overdrawn.decode("latin-1")):
        look = _changed(look, match["look"])
    return look


def _parts(text: str, look: _Look) -> Iterator[tuple[str, _Look]]:
    at = 0
    for match in _ESCAPE.finditer(text):
        if match.start() > at:
            yield text[at : match.start()], look
        look = _changed(look, match["look"])
        at = match.end()
    if at < len(text):
        yield text[at:], look


def _clean(text: str, column: int) -> str:
    """`text`, which begins in `column`, with spaces for tabs and without what cannot be seen."""
    if text.isprintable():
        return text
    first, *others = ("".join(_shown(char) for char in part) for part in text.split("\t"))
    clean = first
    for part in others:
        clean += " " * (TAB - (column + cell_len(clean)) % TAB) + part
    return clean


def _shown(char: str) -> str:
    if char.isprintable():
        return char
    return " " if char.isspace() and ord(char) >= 0xA0 else ""


@lru_cache(maxsize=1024)
def _style(look: _Look, like_paper: frozenset[int]) -> Style:
    color = look.color
    if color is not None and color.number in like_paper and look.bgcolor is None and not look.reverse:
        color = None
    return Style(
        color=color, bgcolor=look.bgcolor, bold=look.bold or None, dim=look.dim or None, italic=look.italic or None,
        underline=look.underline or None, reverse=look.reverse or None, strike=look.strike or None,
    )  # fmt: skip


@lru_cache(maxsize=4096)
def _changed(look: _Look, codes: str | None) -> _Look:
    """The look after `ESC [ codes m`; None is an escape that says nothing about looks."""
    if codes is None:
        return look
    fields = codes.split(";")
    while fields:
        look = _with_code(look, fields)
    return look


def _with_code(look: _Look, fields: list[str]) -> _Look:
    """Take one code, with what belongs to it, from the front of `fields`."""
    code, *details = fields.pop(0).split(":")
    number = int(code or 0)
    if number in {38, 48}:
        color = _color(_details(details) if details else _taken(fields))
        return look if color is None else look._replace(**{"color" if number == 38 else "bgcolor": color})
    if number == 4 and details == ["0"]:
        number = 24
    if number in _SWITCHES:
        return look._replace(**_SWITCHES[number])
    return _with_standard_color(look, number)


def _with_standard_color(look: _Look, number: int) -> _Look:
    match number:
        case 0:
            return _PLAIN
        case 39:
            return look._replace(color=None)
        case 49:
            return look._replace(bgcolor=None)
        case _ if 30 <= number <= 37 or 90 <= number <= 97:
            return look._replace(color=_standard(number))
        case _ if 40 <= number <= 47 or 100 <= number <= 107:
            return look._replace(bgcolor=_standard(number - 10))
        case _:
            return look


def _standard(number: int) -> Color:
    return Color.from_ansi(number - 30 if number < 90 else number - 82)


def _details(details: list[str]) -> list[str]:
    """`2::R:G:B` has a colour space that nobody uses between the kind and the numbers."""
    return [details[0], *details[-3:]] if details[0] == "2" else details


def _taken(fields: list[str]) -> list[str]:
    """The fields that say a colour, taken away from the front."""
    length = {"5": 2, "2": 4}.get(fields[0], 1) if fields else 0
    taken, fields[:] = fields[:length], fields[length:]
    return taken


def _color(fields: list[str]) -> Color | None:
    """The colour of `5 N` or `2 R G B`; None when it is none."""
    if not all(field.isdigit() for field in fields):
        return None
    match [int(field) for field in fields]:
        case [5, number] if number < 256:
            return Color.from_ansi(number)
        case [2, red, green, blue] if max(red, green, blue) < 256:
            return Color.from_rgb(red, green, blue)
        case _:
            return None
