"""Cursors and page tokens: places in a namespace's history as opaque text, fit for a header."""

import re
from typing import NamedTuple

from store import errors, names
from store.team import Position, Standing

_CURSOR = re.compile(r"([0-7][0-9A-HJKMNP-TV-Z]{25})\.(0|[1-9][0-9]{0,17})\.([0-9a-f]{16})", re.ASCII)
_PAGE = re.compile(r"(.+)\.(action|actor|project)\.([a-z0-9][a-z0-9_-]{0,63})", re.ASCII)


class Cursor(NamedTuple):
    """A place in the history of a namespace in the database of an epoch."""

    epoch: str
    position: Position

    @classmethod
    def at(cls, standing: Standing) -> "Cursor":
        """The newest place."""
        return cls(standing.epoch, standing.newest)

    def __str__(self) -> str:
        return f"{self.epoch}.{self.position.revision}.{self.position.chain}"


class PageToken(NamedTuple):
    """How far a full sync got: where it started in the history, and the last definition that it was given."""

    cursor: Cursor
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.cursor}.{self.kind}.{self.name}"


def parse(text: str) -> Cursor:
    """A cursor from its text.

    Raises:
        InvalidArgumentError: this server never made it.
    """
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise _invalid("cursor", text)
    return Cursor(match[1], Position(int(match[2]), match[3]))


def parse_page(text: str) -> PageToken:
    """A page token from its text.

    Raises:
        InvalidArgumentError: this server never made it.
    """
    match = _PAGE.fullmatch(text)
    if match is None:
        raise _invalid("page token", text)
    return PageToken(parse(match[1]), match[2], match[3])


def _invalid(what: str, text: str) -> errors.InvalidArgumentError:
    shown = text[: names.MAX_PART]
    return errors.InvalidArgumentError(f"{shown!r} is not a {what} of a team server", detail={"what": what})
