"""The configuration: what a key is now, and which of the five levels said so.

Flag, environment, project, global file, default: the first that has a value wins. The file is looked at on each use
and read again when it changed, so an edit is effective at once. Writing is `edit`; the registry is `config_keys`.
"""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

from msgspec import Struct

from store import config_file, errors, names
from store.config_file import edit, restore
from store.config_keys import KEYS, MASK, Key, Value, check_value, find, mask, parse_value, refusal, show

__all__ = [
    "KEYS",
    "MASK",
    "Config",
    "Key",
    "Level",
    "Resolved",
    "Value",
    "check_value",
    "edit",
    "find",
    "mask",
    "parse_value",
    "restore",
    "show",
]


_SCOPABLE = frozenset(name for name, key in KEYS.items() if key.project_scopable)


class Level(StrEnum):
    """Where a value comes from; the first of these that has one wins."""

    FLAG = "flag"
    ENVIRONMENT = "environment"
    PROJECT = "project"
    GLOBAL = "global"
    DEFAULT = "default"


class Resolved(Struct, frozen=True):
    """A key's value with the level it came from, and what every level says."""

    key: Key
    value: Value | None
    level: Level
    chain: list[tuple[Level, Value | None]]
    """All five levels, the strongest first; None where a level says nothing."""


class Config:
    """The configuration of one home.

    Args:
        path: `config.toml`; it need not exist.
        environ: The environment of the process that asks.
    """

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        self.path = path
        self._environ = environ
        self._read: tuple[config_file.Signature, dict[str, Any]] = (None, {})

    def get(self, key: str, *, project: str | None = None, flag: object = None) -> Resolved:
        """What `key` is, for `project` when it is given; `flag` is a value from the command line.

        A text as flag is parsed as from the command line. A level below the one that wins is not checked.

        Raises:
            NotFoundError: there is no such key.
            InvalidConfigError: the file does not parse, or the value that wins is not one that the key may have.
        """
        found = find(key)
        raw = self._levels(found, project, flag)
        level = next(level for level, value in raw.items() if value is not None or level is Level.DEFAULT)
        value = None if raw[level] is None else self._checked(found, level, raw[level], project)
        chain = [(at, value if at is level else _if_valid(found, at, text)) for at, text in raw.items()]
        return Resolved(found, value, level, chain)

    def value(self, key: str, project: str | None = None) -> Any:
        """The value of `key` alone; its type is the key's: durations are seconds.

        Raises:
            NotFoundError: there is no such key.
            InvalidConfigError: as `get`.
        """
        return self.get(key, project=project).value

    def unknown_keys(self) -> list[str]:
        """The keys of the file that nothing reads, as they would be written; a typo shows up here.

        Raises:
            InvalidConfigError: the file does not parse.
        """
        document = self._document()
        unknown = [name for name in config_file.leaves(document, skip="projects") if name not in KEYS]
        projects: object = document.get("projects", {})
        if not isinstance(projects, dict):
            return [*unknown, "projects"]
        known = self.projects()
        for project, table in cast("dict[str, object]", projects).items():
            keys = [key for key in config_file.leaves(table) if project not in known or key not in _SCOPABLE]
            unknown += [f'projects."{project}".{key}'.rstrip(".") for key in keys]
        return unknown

    def projects(self) -> list[str]:
        """The projects of which the file says something, by their whole names; others are unknown keys.

        Raises:
            InvalidConfigError: the file does not parse.
        """
        found: object = self._document().get("projects")
        return [name for name in cast("dict[str, object]", found) if _is_whole(name)] if isinstance(found, dict) else []

    def _levels(self, key: Key, project: str | None, flag: object) -> dict[Level, object]:
        document = self._document()
        levels: dict[Level, object] = {
            Level.FLAG: flag,
            Level.ENVIRONMENT: self._environ.get(key.env) or None,
            Level.PROJECT: None,
            Level.GLOBAL: self._lookup(document, key.path),
            Level.DEFAULT: key.default,
        }
        if project is not None and key.project_scopable:
            levels[Level.PROJECT] = self._lookup(document, ("projects", names.parse_name(project), *key.path))
        return levels

    def _lookup(self, document: Mapping[str, Any], path: tuple[str, ...]) -> object:
        found: object = document
        for depth, part in enumerate(path):
            if not isinstance(found, dict):
                above = ".".join(path[:depth])
                raise errors.InvalidConfigError(
                    f"{self.path}: {above} must be a table, because {'.'.join(path)} is a key of it",
                    detail={"file": str(self.path), "key": above},
                )
            found = cast("dict[str, object]", found).get(part)
            if found is None:
                return None
        return found

    def _checked(self, key: Key, level: Level, raw: object, project: str | None) -> Value:
        where = {
            Level.ENVIRONMENT: key.env,
            Level.GLOBAL: f"{self.path}",
            Level.PROJECT: f"{self.path}, project {project}",
        }.get(level, "")
        try:
            return _parsed(key, level, raw)
        except errors.InvalidConfigError as error:
            raise refusal(key, raw, where=where) from error

    def _document(self) -> dict[str, Any]:
        signature = config_file.signature(self.path)
        known, document = self._read
        if signature != known:
            signature, document = config_file.read_document(self.path)
            self._read = (signature, document)
        return document


def _is_whole(project: str) -> bool:
    try:
        return names.parse_name(project) == project
    except errors.InvalidArgumentError:
        return False


def _parsed(key: Key, level: Level, raw: object) -> Value:
    if isinstance(raw, str) and level in {Level.FLAG, Level.ENVIRONMENT}:
        return parse_value(key, raw)
    return check_value(key, raw)


def _if_valid(key: Key, level: Level, raw: object) -> Value | None:
    """What a level that did not win says; one that is invalid is shown as it is written."""
    if raw is None:
        return None
    try:
        return _parsed(key, level, raw)
    except errors.InvalidConfigError:
        return str(raw)
