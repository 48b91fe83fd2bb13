"""Where each key and value of a TOML text stands. The text is known to be valid, so this only has to find ends."""

import re
import tomllib
from typing import NamedTuple, TypeAlias, cast

Path: TypeAlias = tuple[str, ...]

_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}'
    r"|'''(?:[^']|'{1,2}(?!'))*'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_PART = r"(?:[A-Za-z0-9_-]+|\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*')"
_KEY = re.compile(rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*")
_SCALAR = re.compile(r"[^,\]}#\r\n]*")
_BLANK = re.compile(r"[ \t]*")
_NOTHING = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_LINE_END = re.compile(r"[^\n]*(?:\n|$)")


class Header(NamedTuple):
    """A `[table]` line; `fixed` is False inside an array of tables, where a path names nothing."""

    path: Path
    fixed: bool
    end: int
    """After its line, or after the last statement below it."""


class Entry(NamedTuple):
    """A `key = value`; `table` is the path of what it is written in: a header's, or an inline table's."""

    path: Path
    table: Path
    inline: bool
    fixed: bool
    start: int
    """Of its line, or of its key in an inline table."""
    value: int
    value_end: int
    end: int
    """After its line, or after its value in an inline table."""


class Layout(NamedTuple):
    """What a text consists of, in order."""

    headers: list[Header]
    entries: list[Entry]


def scan(text: str) -> Layout:
    """The places of everything in `text`, which must be valid TOML."""
    return _Scanner(text).scan()


def key_path(written: str) -> Path:
    """The parts of a dotted key."""
    found: object = tomllib.loads(f"{written} = 0")
    parts: list[str] = []
    while isinstance(found, dict):
        [(part, found)] = cast("dict[str, object]", found).items()
        parts.append(part)
    return tuple(parts)


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._headers: list[Header] = []
        self._entries: list[Entry] = []
        self._arrays: set[Path] = set()
        self._table: Path = ()
        self._fixed = True

    def scan(self) -> Layout:
        at = self._skip(_NOTHING, 0)
        while at < len(self._text):
            at = self._header(at) if self._text[at] == "[" else self._statement(at)
            at = self._skip(_NOTHING, at)
        return Layout(self._headers, self._entries)

    def _header(self, at: int) -> int:
        array = self._text.startswith("[[", at)
        path, after = self._key(self._skip(_BLANK, at + 1 + array))
        if array:
            self._arrays.add(path)
        self._table = path
        self._fixed = not any(path[:length] in self._arrays for length in range(1, len(path) + 1))
        end = self._skip(_LINE_END, after)
        self._headers.append(Header(path, self._fixed, end))
        return end

    def _statement(self, at: int) -> int:
        path, value = self._assignment(at)
        place = len(self._entries)
        value_end = self._value(value, (*self._table, *path))
        start = self._text.rfind("\n", 0, at) + 1
        end = self._skip(_LINE_END, value_end)
        entry = Entry((*self._table, *path), self._table, False, self._fixed, start, value, value_end, end)  # noqa: FBT003
        self._entries.insert(place, entry)
        if self._headers:
            self._headers[-1] = self._headers[-1]._replace(end=end)
        return end

    def _assignment(self, at: int) -> tuple[Path, int]:
        path, after = self._key(at)
        equals = self._text.index("=", after)
        return path, self._skip(_BLANK, equals + 1)

    def _key(self, at: int) -> tuple[Path, int]:
        match = _KEY.match(self._text, at)
        if match is None:
            raise ValueError(f"no key at {at}")
        return key_path(match[0]), match.end()

    def _value(self, at: int, path: Path) -> int:
        """The end of the value at `at`; the entries of inline tables are noted on the way."""
        if match := _STRING.match(self._text, at):
            return match.end()
        if self._text[at] == "[":
            return self._array(at, path)
        if self._text[at] == "{":
            return self._inline(at, path)
        end = self._skip(_SCALAR, at)
        return at + len(self._text[at:end].rstrip())

    def _array(self, at: int, path: Path) -> int:
        fixed, self._fixed = self._fixed, False
        at = self._skip(_NOTHING, at + 1)
        while self._text[at] != "]":
            at = self._skip(_NOTHING, at + 1 if self._text[at] == "," else self._value(at, path))
        self._fixed = fixed
        return at + 1

    def _inline(self, at: int, table: Path) -> int:
        at = self._skip(_NOTHING, at + 1)
        while self._text[at] != "}":
            if self._text[at] == ",":
                at = self._skip(_NOTHING, at + 1)
                continue
            path, value = self._assignment(at)
            place = len(self._entries)
            end = self._value(value, (*table, *path))
            self._entries.insert(place, Entry((*table, *path), table, True, self._fixed, at, value, end, end))  # noqa: FBT003
            at = self._skip(_NOTHING, end)
        return at + 1

    def _skip(self, pattern: re.Pattern[str], at: int) -> int:
        match = pattern.match(self._text, at)
        return at if match is None else match.end()
