"""A YAML file as a tree of nodes that know their line: strict, safe, and bounded.

Scalars are read by the core schema of YAML 1.2 (`yes` and `on` are text). Tags, anchors, aliases, a second
document, a duplicate key and anything over the limits are refused here, so that a schema sees plain data only.
"""

import functools
import re
from collections.abc import Iterator
from typing import Any, NoReturn, TypeAlias

from store import errors

MAX_BYTES = 1 << 20
"""Bytes of a file."""
MAX_DEPTH = 24
"""Mappings and lists inside each other."""
MAX_NODES = 60_000
"""Keys and values in one file; a thousand steps that use every key have about half as many."""

STANDARD_INPUT = "standard input"
"""What the source of a file is called that came through a pipe."""

Plain: TypeAlias = str | int | float | bool | None
Value: TypeAlias = "Plain | list[Node] | dict[str, Node]"

_INT = re.compile(r"[-+]?[0-9]{1,18}|0o[0-7]{1,20}|0x[0-9a-fA-F]{1,15}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]{1,300}(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")
_WORDS: dict[str, Plain] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_HINTS = {
    "mapping values are not allowed here": "a text that contains ': ' must be put in quotes",
    "character '@'": "a text that starts with '@' must be put in quotes",
    "character '`'": "a text that starts with '`' must be put in quotes",
    "character '%'": "a text that starts with '%' must be put in quotes",
    "unexpected end of stream": "a quote or bracket is not closed",
}


class Node:
    """A value with the line where it, or its key, is written; 0 when nobody counted lines."""

    __slots__ = ("line", "text", "value")

    def __init__(self, value: Value, line: int, text: str = "") -> None:
        self.value = value
        self.line = line
        self.text = text
        """A scalar as it was written, before it became a number or a boolean."""


def refuse(source: str, message: str, *, line: int | None = None, key: str | None = None, **more: object) -> NoReturn:
    """Raise the one kind of error that a file gets, with its place in the text and in the detail."""
    line = line or None
    place = source if line is None else f"{source}, line {line}"
    raise errors.InvalidActionError(
        f"{place}: {message}" if key is None else f"{place}: {key}: {message}",
        detail={"file": source, "line": line, "key": key, **more},
        suggestions=[f"ca action validate {'-' if source == STANDARD_INPUT else source}"],
    )


def read(text: str | bytes, *, source: str) -> Node:
    """The one document in `text`.

    Raises:
        InvalidActionError: it is too large, not UTF-8, not YAML, or uses what is refused here.
    """
    content = _decoded(text, source)
    from ruamel.yaml.error import MarkedYAMLError, YAMLError  # noqa: PLC0415  an idle daemon never reads a file

    try:
        return _Builder(content, source).document()
    except MarkedYAMLError as error:
        _refuse_syntax(error, content, source)
    except YAMLError as error:  # the reader's: it has a position in the text, no mark
        position = int(getattr(error, "position", 0))
        line = content.count("\n", 0, position) + 1
        refuse(source, f"the character {content[position : position + 1]!r} is not allowed in YAML", line=line)


def _decoded(text: str | bytes, source: str) -> str:
    body = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(body) > MAX_BYTES:
        refuse(source, f"the file has {len(body):,} bytes, and 1 MiB ({MAX_BYTES:,}) is the limit")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        refuse(source, f"byte {error.start} (0x{body[error.start]:02x}) is not UTF-8; save it as UTF-8", line=line)


def _refuse_syntax(error: Any, content: str, source: str) -> NoReturn:  # a MarkedYAMLError, which has no types
    mark = error.problem_mark or error.context_mark
    line: int = mark.line + 1
    lines = content.splitlines()
    written = lines[line - 1] if line <= len(lines) else ""
    problem: str = error.problem or "not YAML"
    if "\\t" in problem or "\t" in written[: len(written) - len(written.lstrip())]:
        refuse(source, "a tab is used as white space; YAML is indented with spaces", line=line)
    hint = next((f"; {hint}" for sign, hint in _HINTS.items() if sign in problem), "")
    refuse(source, f"not valid YAML: {problem}{hint}", line=line, column=mark.column + 1)


@functools.cache
def _yaml() -> Any:
    """The parser's class; its own looks through the directories of its package for plug-ins each time it is made."""
    from ruamel.yaml import YAML  # noqa: PLC0415  an idle daemon never reads a file

    class Plain(YAML):
        def official_plug_ins(self) -> list[str]:
            return []

    return Plain


class _Builder:
    """Makes nodes of the parser's events; the limits hold before anything is built."""

    def __init__(self, content: str, source: str) -> None:
        parser: Any = _yaml()(typ="safe", pure=True)
        self._source = source
        self._events: Iterator[Any] = iter(parser.parse(content))
        self._nodes = 0

    def document(self) -> Node:
        next(self._events)  # the start of the stream
        if _kind(next(self._events)) == "StreamEndEvent":
            refuse(self._source, "the file is empty")
        root = self._node(next(self._events), 0)
        next(self._events)  # the end of the document
        after = next(self._events)
        if _kind(after) != "StreamEndEvent":
            refuse(self._source, "a second document starts here; one file has one", line=_line(after))
        return root

    def _node(self, event: Any, depth: int) -> Node:
        self._check(event, depth)
        match _kind(event):
            case "MappingStartEvent":
                return Node(self._mapping(depth + 1), _line(event))
            case "SequenceStartEvent":
                return Node(self._list(depth + 1), _line(event))
            case _:
                text: str = event.value
                return Node(text if event.style else _resolved(text), _line(event), text)

    def _check(self, event: Any, depth: int) -> None:
        line = _line(event)
        self._nodes += 1
        if _kind(event) == "AliasEvent" or event.anchor is not None:
            refuse(self._source, "anchors (&) and aliases (*) are not supported; write the value out", line=line)
        if event.tag is not None:
            refuse(self._source, "tags (!) are not supported; remove it", line=line)
        if depth > MAX_DEPTH:
            refuse(self._source, f"more than {MAX_DEPTH} levels inside each other", line=line)
        if self._nodes > MAX_NODES:
            refuse(self._source, f"more than {MAX_NODES:,} values in one file", line=line)

    def _mapping(self, depth: int) -> dict[str, Node]:
        found: dict[str, Node] = {}
        while _kind(event := next(self._events)) != "MappingEndEvent":
            key = self._node(event, depth)
            if isinstance(key.value, list | dict):
                refuse(self._source, "a list or mapping cannot be a key; is a text with braces missing its quotes?",
                       line=key.line)  # fmt: skip
            name = key.text
            if name in found:
                refuse(self._source, f"the key is given twice; the first is in line {found[name].line}",
                       line=key.line, key=name)  # fmt: skip
            node = self._node(next(self._events), depth)
            node.line = key.line
            found[name] = node
        return found

    def _list(self, depth: int) -> list[Node]:
        found: list[Node] = []
        while _kind(event := next(self._events)) != "SequenceEndEvent":
            found.append(self._node(event, depth))
        return found


def _kind(event: Any) -> str:
    return type(event).__name__


def _line(event: Any) -> int:
    return event.start_mark.line + 1


def _resolved(text: str) -> Plain:
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text, 0) if text.startswith("0") and text[1:2] in {"o", "x"} else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
