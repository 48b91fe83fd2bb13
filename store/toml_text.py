"""Changing keys in the text of a TOML file, and not one byte beside them.

A change replaces, inserts or cuts out characters where the key stands. The result is parsed and compared with the
same change made to the parsed original: it is what was intended, or the change is refused.
"""

import copy
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, cast

from store import toml_scan
from store.toml_scan import Path

Scalar: TypeAlias = bool | int | float | str

_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class CannotChangeError(ValueError):
    """The text cannot be changed without changing something else; the message says which key."""


def change(text: str, changes: Mapping[Path, Scalar | None]) -> str:
    """`text` with keys set, or removed where the value is None.

    Args:
        text: Valid TOML.
        changes: Values by the path of the key.

    Raises:
        CannotChangeError: no way of writing it parses as what was intended.
    """
    for path, value in changes.items():
        before = tomllib.loads(text)
        if _same(_get(before, path), value):
            continue
        intended = _with_value(before, path, value)
        candidates = _removals(text, path) if value is None else _settings(text, path, value)
        found = next((new for new in candidates if _means(new, intended, path)), None)
        if found is None:
            raise CannotChangeError(f"{'.'.join(path)} cannot be changed in the form in which the file has it")
        text = found
    return text


def _settings(text: str, path: Path, value: Scalar) -> Iterator[str]:
    """The ways to set a key, the one that fits the text best first."""
    layout = toml_scan.scan(text)
    literal = _literal(value)
    for entry in layout.entries:
        if entry.fixed and entry.path == path:
            yield text[: entry.value] + literal + text[entry.value_end :]
    for header in layout.headers:
        if header.fixed and header.path == path[:-1]:
            yield _line_at(text, header.end, f"{_indent(text, layout, header)}{_key(path[-1:])} = {literal}")
    for entry in sorted(layout.entries, key=lambda entry: -_shared(entry.path, path)):
        if entry.fixed and not entry.inline and _shared(entry.path, path) > len(entry.table) < len(path):
            indent = re.match(r"[ \t]*", text[entry.start :])
            line = f"{indent[0] if indent else ''}{_key(path[len(entry.table) :])} = {literal}"
            yield _line_at(text, entry.end, line)
            if text[entry.value] == "{" and entry.path == path[: len(entry.path)]:
                yield _into_inline(text, entry.value_end - 1, f"{_key(path[len(entry.path) :])} = {literal}")
    newline = _newline(text)
    gap = newline if text.strip() and not text.endswith((newline * 2, "\n\n")) else ""
    body = f"[{_key(path[:-1])}]{newline}{_key(path[-1:])} = {literal}"
    yield _line_at(text, len(text), f"{gap}{body}")


def _removals(text: str, path: Path) -> Iterator[str]:
    for entry in toml_scan.scan(text).entries:
        if entry.fixed and entry.path == path:
            start, end = entry.start, entry.end
            if entry.inline:
                after = re.match(r"[ \t]*,[ \t]*", text[end:])
                before = re.search(r"[ \t]*,[ \t]*$", text[:start])
                start, end = (start, end + after.end()) if after else (before.start() if before else start, end)
            yield text[:start] + text[end:]


def _line_at(text: str, at: int, line: str) -> str:
    newline = _newline(text)
    before = text[:at]
    if before and not before.endswith("\n"):
        before += newline
    return f"{before}{line}{newline}{text[at:]}"


def _into_inline(text: str, close: int, assignment: str) -> str:
    before = text[:close].rstrip(" \t")
    comma = " " if before.endswith(("{", ",")) else ", "
    return f"{before}{comma}{assignment} {text[close:]}"


def _newline(text: str) -> str:
    first = text.find("\n")
    return "\r\n" if first > 0 and text[first - 1] == "\r" else "\n"


def _indent(text: str, layout: toml_scan.Layout, header: toml_scan.Header) -> str:
    """The white space before the last key below a header."""
    last = next((entry for entry in reversed(layout.entries) if entry.end == header.end and not entry.inline), None)
    found = None if last is None else re.match(r"[ \t]*", text[last.start :])
    return found[0] if found else ""


def _key(path: Path) -> str:
    return ".".join(part if _BARE.fullmatch(part) else _literal(part) for part in path)


def _literal(value: Scalar) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)


def _shared(one: Path, other: Path) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _means(text: str, intended: dict[str, Any], path: Path) -> bool:
    try:
        parsed = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return _same(_without_empty(parsed, path), _without_empty(intended, path))


def _with_value(document: dict[str, Any], path: Path, value: Scalar | None) -> dict[str, Any]:
    """A copy of `document` with the change; what stands in the way of a table makes the change impossible."""
    changed = copy.deepcopy(document)
    table = changed
    for part in path[:-1]:
        below = table.setdefault(part, {})
        if not isinstance(below, dict):
            raise CannotChangeError(f"{part} is a value in the file, and {'.'.join(path)} needs it to be a table")
        table = cast("dict[str, Any]", below)
    if value is None:
        table.pop(path[-1], None)
    else:
        table[path[-1]] = value
    return changed


def _without_empty(document: dict[str, Any], path: Path) -> dict[str, Any]:
    """`document` without the tables on the way to `path` that hold nothing: removing a key may leave or take them."""
    for length in range(len(path) - 1, 0, -1):
        parent = _get(document, path[: length - 1])
        if isinstance(parent, dict) and parent.get(path[length - 1]) == {}:  # pyright: ignore[reportUnknownMemberType]
            del parent[path[length - 1]]
    return document


def _get(document: dict[str, Any], path: Path) -> object:
    found: object = document
    for part in path:
        found = cast("dict[str, object]", found).get(part) if isinstance(found, dict) else None
    return found


def _same(one: object, other: object) -> bool:
    """Equal in value and type: True is not 1, and a NaN is itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        left, right = cast("dict[str, object]", one), cast("dict[str, object]", other)
        return left.keys() == right.keys() and all(_same(value, right[key]) for key, value in left.items())
    if isinstance(one, list) and isinstance(other, list):
        first, second = cast("list[object]", one), cast("list[object]", other)
        return len(first) == len(second) and all(map(_same, first, second))
    return one == other or (one != one and other != other)  # noqa: PLR0124  only a NaN differs from itself
