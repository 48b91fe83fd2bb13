"""The configuration of a running daemon: a mistake in the file, made while it runs, does not end it.

The value that was in force stays in force, the log says why, and `ca diagnostics` shows it until it is mended.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from store import config_file, errors
from store.config import KEYS, Config

log = logging.getLogger(__name__)


class Settings(Config):
    """As `Config`, but `value` falls back to the last good value, or to the default. `get` still raises."""

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        super().__init__(path, environ)
        self._good: dict[tuple[str, str | None], Any] = {}
        self._signature: config_file.Signature = None
        self._values: dict[tuple[str, str | None], Any] = {}
        self._said = ""

    def value(self, key: str, project: str | None = None) -> Any:
        """The value of `key` that is in force; looked up anew whenever the file is another one."""
        signature = config_file.signature(self.path)
        if signature != self._signature:
            self._signature, self._values = signature, {}
        if (key, project) not in self._values:
            self._values[key, project] = self._in_force(key, project)
        return self._values[key, project]

    def _in_force(self, key: str, project: str | None) -> Any:
        try:
            value = super().value(key, project)
        except errors.InvalidConfigError as error:
            if error.message != self._said:
                self._said = error.message
                log.warning("the configuration is not used as it is: %s", error.message)
            return self._good.get((key, project), KEYS[key].default)
        self._good[key, project] = value
        return value

    def check(self) -> None:
        """That every key has a value it may have.

        Raises:
            InvalidConfigError: the first one that has not.
        """
        for key in KEYS:
            self.get(key)
