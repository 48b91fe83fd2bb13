"""One mapping of a file under a strict schema: typed access to its keys, each refusal with file, line and key."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NoReturn, TypeVar, overload

from daemon import documents, templates
from daemon.documents import Node
from store import errors, names

T = TypeVar("T", bound=str)

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_OURS = re.compile(r"CA_(?:PLAN_ID|JOB_ID|STEP_ID|PROJECT|SANDBOX|ITEM|GUIDANCE|ARG_.*)")


class Section:
    """A mapping whose keys are all known; `path` says where it is, as in `steps[2].subplans`."""

    def __init__(self, node: Node, values: dict[str, Node], source: str, path: str) -> None:
        self.line = node.line
        self._values = values
        self._source = source
        self._path = path

    @classmethod
    def of(cls, node: Node, source: str, path: str, keys: Collection[str]) -> "Section":
        """`node` as a mapping that has no key outside of `keys`.

        Raises:
            InvalidActionError: it is something else, or has an unknown key.
        """
        if not isinstance(node.value, dict):
            wanted = f"must be a mapping with keys such as {', '.join(list(keys)[:3])}, not {shown(node)}"
            documents.refuse(source, wanted, line=node.line, key=path or None)
        for key, value in node.value.items():
            if key not in keys:
                near = names.nearest(key, keys)
                hint = f"did you mean {near!r}?" if near else f"the keys here are {', '.join(keys)}"
                where = f"{path}.{key}" if path else key
                documents.refuse(source, f"unknown key; {hint}", line=value.line, key=where, nearest=near)
        return cls(node, node.value, source, path)

    def has(self, key: str) -> bool:
        """Whether the key is written."""
        return key in self._values

    def where(self, key: str) -> str:
        """The key with the path to it."""
        return f"{self._path}.{key}" if self._path else key

    def refuse(self, key: str, message: str, *, line: int | None = None, **more: object) -> NoReturn:
        """Raise the error about `key`."""
        at = line or (self._values[key].line if key in self._values else self.line)
        documents.refuse(self._source, message, line=at, key=self.where(key), **more)

    def node(self, key: str) -> Node:
        """The value of a key that must be there."""
        if key not in self._values:
            self.refuse(key, "is missing")
        return self._values[key]

    @overload
    def text(self, key: str) -> str: ...
    @overload
    def text(self, key: str, default: str) -> str: ...
    @overload
    def text(self, key: str, default: None) -> str | None: ...
    def text(self, key: str, default: str | None = "\0") -> str | None:
        """A text; required when no default is given, and then not empty."""
        if default != "\0" and not self.has(key):
            return default
        found = self._text_of(key, self.node(key))
        if default == "\0" and not found.strip():
            self.refuse(key, "must not be empty")
        return found

    def _text_of(self, key: str, node: Node) -> str:
        if not isinstance(node.value, str):
            quotes = f'; put it in quotes: "{node.text}"' if isinstance(node.value, bool | int | float) else ""
            self.refuse(key, f"must be text, not {shown(node)}{quotes}", line=node.line)
        if "\0" in node.value:
            self.refuse(key, "must not contain a NUL character", line=node.line)
        return node.value

    def flag(self, key: str, *, default: bool) -> bool:
        """A boolean."""
        node = self._values.get(key)
        if node is None:
            return default
        if not isinstance(node.value, bool):
            self.refuse(key, f"must be true or false, not {shown(node)}")
        return node.value

    def integer(self, key: str, low: int, high: int, default: int) -> int:
        """A whole number within a range."""
        node = self._values.get(key)
        if node is None:
            return default
        if isinstance(node.value, bool) or not isinstance(node.value, int) or not low <= node.value <= high:
            self.refuse(key, f"must be a whole number from {low} to {high}, not {shown(node)}")
        return node.value

    def duration(self, key: str) -> float | None:
        """Seconds, longer than none."""
        node = self._values.get(key)
        if node is None:
            return None
        if isinstance(node.value, bool) or not isinstance(node.value, str | int | float):
            self.refuse(key, f"must be a duration such as 90s, 10m or 2h, not {shown(node)}")
        try:
            seconds = names.parse_duration(node.value)
        except errors.InvalidArgumentError as error:
            self.refuse(key, error.message)
        if seconds == 0:
            self.refuse(key, "must be longer than 0; leave it out for no limit")
        return seconds

    @overload
    def choice(self, key: str, allowed: Sequence[T], default: T) -> T: ...
    @overload
    def choice(self, key: str, allowed: Sequence[T], default: None) -> T | None: ...
    def choice(self, key: str, allowed: Sequence[T], default: T | None) -> T | None:
        """One of a few words."""
        if not self.has(key):
            return default
        word = self.text(key)
        found = next((candidate for candidate in allowed if candidate == word), None)
        if found is None:
            hint = templates.did_you_mean(word, allowed)
            self.refuse(key, f"must be one of {', '.join(allowed)}, not {word!r}{hint}")
        return found

    def name(self, key: str) -> str:
        """A `[namespace/]name`, with its namespace."""
        try:
            return names.parse_name(self.text(key), what=key)
        except errors.InvalidArgumentError as error:
            self.refuse(key, error.message)

    def nodes(self, key: str) -> list[Node]:
        """The entries of a list; none when the key is not written."""
        node = self._values.get(key)
        if node is None:
            return []
        if not isinstance(node.value, list):
            self.refuse(key, f"must be a list, not {shown(node)}")
        return node.value

    def texts(self, key: str) -> list[str]:
        """A list of texts."""
        return [self._text_of(f"{key}[{index}]", node) for index, node in enumerate(self.nodes(key))]

    def list(self, key: str, keys: Collection[str]) -> "list[Section]":
        """A list of mappings."""
        path = self.where(key)
        return [Section.of(node, self._source, f"{path}[{at}]", keys) for at, node in enumerate(self.nodes(key))]

    def entry(self, node: Node, place: str, keys: Collection[str]) -> "Section":
        """One entry of a list below this section, as a mapping."""
        return Section.of(node, self._source, self.where(place), keys)

    def section(self, key: str, keys: Collection[str]) -> "Section":
        """The mapping below `key`."""
        return Section.of(self.node(key), self._source, self.where(key), keys)

    def scalars(self, key: str) -> dict[str, str]:
        """A mapping to single values, each as it was written."""
        node = self._values.get(key)
        if node is None:
            return {}
        if not isinstance(node.value, dict):
            self.refuse(key, f"must be a mapping, not {shown(node)}")
        for name, value in node.value.items():
            if value.value is None or isinstance(value.value, list | dict):
                self.refuse(f"{key}.{name}", f"must be text or a number, not {shown(value)}", line=value.line)
        return {name: value.text for name, value in node.value.items()}

    def environment(self, key: str) -> dict[str, str]:
        """Environment variables."""
        if not self.has(key):
            return {}
        node = self.node(key)
        if not isinstance(node.value, dict):
            self.refuse(key, f"must be a mapping of variables, not {shown(node)}")
        for name, value in node.value.items():
            place = f"{key}.{name}"
            if not _VARIABLE.fullmatch(name):
                wanted = "letters, digits and '_', not starting with a digit"
                self.refuse(
                    place, f"{name!r} is not the name of an environment variable: use {wanted}", line=value.line
                )
            if _OURS.fullmatch(name):
                self.refuse(place, "is set by CleverAgents for every command; choose another name", line=value.line)
            self._text_of(place, value)
        return {name: value.text for name, value in node.value.items()}

    def template(self, key: str, known: Mapping[str, bool], *, shell: str | None = None, command: bool = True) -> str:
        """A text with placeholders for `known`."""
        found = self.text(key)
        self.check_template(key, found, known, shell=shell, command=command)
        return found

    def check_template(
        self, key: str, text: str, known: Mapping[str, bool], *, shell: str | None = None, command: bool = False
    ) -> None:
        """That the placeholders of `text` can be filled."""
        try:
            templates.check(text, known, shell=shell, command=command)
        except templates.TemplateError as error:
            self.refuse(key, f"{error}")


def shown(node: Node) -> str:
    """A value in words for a message."""
    match node.value:
        case None:
            return "nothing"
        case bool():
            return f"the boolean {node.text}"
        case int() | float():
            return f"the number {node.text}"
        case str():
            return f"the text {node.value[:60]!r}"
        case list():
            return "a list"
        case _:
            return "a mapping"
