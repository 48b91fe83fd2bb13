"""The settings as the dashboard shows and writes them: what each key is, which level says so, and what that would change.

Files are read and written in threads; a write is what `ca config set` and `ca config unset` do.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cleveragents_tui import verbs
from daemon import protocol
from store import config, errors
from store.config import Config, Key, Level, Resolved, Value

if TYPE_CHECKING:
    from cleveragents_tui.dashboard.app import Dashboard

TELLING_SECONDS = 5.0
THEME = "tui.theme"


class Setting(NamedTuple):
    """One key.

    Attributes:
        key: What it may be.
        found: What it is; None when what is set is not a value that it may have.
        error: Why it is none, in a sentence.
        projects: What it is for the projects that have their own, as shown.
    """

    key: Key
    found: Resolved | None
    error: str
    projects: list[tuple[str, str]]

    @property
    def shown(self) -> str:
        """Its value as `ca config set` takes it; a secret is masked."""
        return "" if self.found is None else config.show(self.key, self.found.value)

    @property
    def level(self) -> str:
        """Where the value comes from."""
        return "invalid" if self.found is None else self.found.level

    @property
    def in_file(self) -> bool:
        """Whether the file has something for it, which can be taken out; what is none of its values may be from there."""
        return self.found is None or dict(self.found.chain).get(Level.GLOBAL) is not None

    @property
    def overridden(self) -> bool:
        """Whether what the file says does not hold."""
        return self.found is not None and self.found.level is Level.ENVIRONMENT


class Settings(NamedTuple):
    """Every key in the order of the registry, and the keys of the file that nothing reads."""

    settings: list[Setting]
    unknown: list[str]


def read(path: Path, environ: Mapping[str, str]) -> Settings:
    """What every key is now.

    Raises:
        InvalidConfigError: the file does not parse.
        CleverAgentsError: it cannot be read.
    """
    found = Config(path, environ)
    unknown, projects = found.unknown_keys(), found.projects()
    return Settings([_setting(found, key, projects) for key in config.KEYS.values()], unknown)


def _setting(found: Config, key: Key, projects: list[str]) -> Setting:
    own = [(project, value) for project in projects if key.project_scopable and (value := _of(found, key, project))]
    try:
        return Setting(key, found.get(key.name), "", own)
    except errors.InvalidConfigError as error:
        return Setting(key, None, error.message, own)


def _of(found: Config, key: Key, project: str) -> str:
    """What a project has of its own, as shown; empty when it has nothing."""
    try:
        chain = dict(found.get(key.name, project=project).chain)
    except errors.InvalidConfigError as error:
        return error.message
    return config.show(key, chain[Level.PROJECT])


async def write(app: "Dashboard", key: Key, value: Value | None) -> None:
    """Set a key, or unset it when the value is None; say so, and let it hold.

    Raises:
        CleverAgentsError: it was not written; the file is as it was.
    """
    await asyncio.to_thread(config.edit, app.paths.config_file, {key.name: value})
    app.echo(command(key, value))
    if key.name.startswith("server."):
        with contextlib.suppress(errors.CleverAgentsError):  # a daemon that cannot be told looks at the file soon
            await app.link.call(protocol.SettingsChanged(), timeout=TELLING_SECONDS)
    found = await asyncio.to_thread(Config(app.paths.config_file, app.environ).get, key.name)
    if found.level is Level.ENVIRONMENT:
        app.notify(f"{key.env} in the environment overrides {key.name}", severity="warning", markup=False)
    if key.path[0] == "tui":
        await app.obey_settings()


def command(key: Key, value: Value | None) -> str:
    """The `ca` command that does the same; a secret is masked."""
    if value is None:
        return verbs.VERBS["setting.unset"].command(name=key.name)
    return f"{verbs.VERBS['setting.edit'].command(name=key.name)} {verbs.quoted(config.show(key, value))}"
