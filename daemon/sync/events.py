"""An event stream, as https://html.spec.whatwg.org/multipage/server-sent-events.html says it is to be read."""

import re

import msgspec

from store import errors

LIMIT = 64 * 1024
"""Bytes of the longest line, and characters of the data of one event."""

_END = re.compile(rb"\r\n|\r|\n")
_BOM = b"\xef\xbb\xbf"


class Event(msgspec.Struct, frozen=True):
    """One event.

    Attributes:
        id: The last id that the stream gave, with this event or before it.
        kind: What it is; `message` when the stream does not say.
    """

    id: str
    kind: str
    data: str


class Parser:
    """Makes events of bytes that come in pieces of any size."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._after_return = False
        self._first = True
        self._id = ""
        self._kind = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that are complete with this piece.

        Raises:
            ProtocolError: a line or an event is too long.
        """
        # The second half of CR LF may come with the next piece; it ends no line of its own.
        if self._after_return and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._after_return = False
        if not chunk:
            return []
        self._after_return = chunk.endswith(b"\r")
        *ended, rest = _END.split(chunk)
        found: list[Event] = []
        for piece in ended:
            self._extend(piece)
            event = self._take_line()
            if event is not None:
                found.append(event)
        self._extend(rest)
        return found

    def _extend(self, piece: bytes) -> None:
        self._line += piece
        if len(self._line) > LIMIT:
            raise errors.TeamProtocolError(f"a line of the event stream is longer than {LIMIT} bytes")

    def _take_line(self) -> Event | None:
        raw = bytes(self._line)
        self._line.clear()
        if self._first:
            raw = raw.removeprefix(_BOM)
            self._first = False
        if not raw:
            return self._dispatch()
        name, _, value = raw.decode(errors="replace").partition(":")
        self._set(name, value.removeprefix(" "))
        return None

    def _set(self, name: str, value: str) -> None:
        if name == "event":
            self._kind = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "data":
            self._size += len(value) + 1
            if self._size > LIMIT:
                raise errors.TeamProtocolError(f"an event has more than {LIMIT} characters")
            self._data.append(value)

    def _dispatch(self) -> Event | None:
        event = Event(id=self._id, kind=self._kind or "message", data="\n".join(self._data)) if self._data else None
        self._kind, self._data, self._size = "", [], 0
        return event
