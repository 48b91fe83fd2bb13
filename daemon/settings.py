"""The configuration of a running daemon: a mistake in the file, made while it runs, does not end it.

The values that were in force stay in force, the log says why, and `ca diagnostics` shows it until it is mended.
"""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from store import config_file, errors
from store.config import KEYS, Config

log = logging.getLogger(__name__)

_NEVER_LOOKED = object()


class Settings(Config):
    """As `Config`, but `value` falls back to the last good value, or to the default. `get` still raises."""

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        super().__init__(path, environ)
        self._seen: object = _NEVER_LOOKED
        self._in_force: dict[tuple[str, str | None], Any] = {(name, None): key.default for name, key in KEYS.items()}

    def value(self, key: str, project: str | None = None) -> Any:
        """The value of `key` that is in force; all are looked up anew whenever the file is another one."""
        seen = self._look()
        if seen != self._seen:
            self._seen = seen
            self._renew()
        return self._in_force.get((key, project), self._in_force[key, None])

    def check(self) -> None:
        """That every key has a value it may have, for every project too.

        Raises:
            InvalidConfigError: the first one that has not.
        """
        for key, project in self._settable():
            self.get(key, project=project)

    def _look(self) -> config_file.Signature | str:
        """What the file is, or why that cannot be told."""
        try:
            return config_file.signature(self.path)
        except errors.CleverAgentsError as error:
            return error.message

    def _renew(self) -> None:
        """Take over the file. All of it at once: the next file may be one of which nothing can be used."""
        wrong: set[str] = set()
        try:
            self._in_force = {(key, project): self._good(key, project, wrong) for key, project in self._settable()}
        except errors.CleverAgentsError as error:
            wrong.add(error.message)
        for message in sorted(wrong):
            log.warning("the configuration is not used as it is: %s", message)

    def _settable(self) -> Iterator[tuple[str, str | None]]:
        """Every key, and again for each project of which the file says something."""
        projects = self.projects()
        for name, key in KEYS.items():
            yield name, None
            if key.project_scopable:
                yield from ((name, project) for project in projects)

    def _good(self, key: str, project: str | None, wrong: set[str]) -> Any:
        try:
            return super().value(key, project)
        except errors.CleverAgentsError as error:
            wrong.add(error.message)
            return self._in_force.get((key, project), self._in_force[key, None])
