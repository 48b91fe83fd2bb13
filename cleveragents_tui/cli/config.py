"""`ca config`: settings, and where each one comes from. Works without a daemon; a running one notices changes of the file."""

import contextlib
import re
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import click
import msgspec

from cleveragents_tui.cli.commands import Noun, Verb
from cleveragents_tui.cli.session import Session
from cleveragents_tui.cli.tables import Cell, Column, pairs, table
from cleveragents_tui.output import Look, Result
from cleveragents_tui.wording import Tone
from daemon import protocol
from store import config, errors, names
from store.config import Config, Key, Resolved, Value

command = Noun("config", help="Settings: flag, environment, project, file, default; the first that has a value wins.")

TELLING_SECONDS = 5.0


class LevelView(msgspec.Struct, frozen=True):
    level: str
    value: Value | None


class KeyView(msgspec.Struct, frozen=True):
    """A key as programs get it; durations are seconds, secrets are masked."""

    key: str
    value: Value | None
    level: str
    env: str
    default: Value | None
    chain: list[LevelView]
    description: str


class KeysView(msgspec.Struct, frozen=True):
    keys: list[KeyView]
    total: int


class PathView(msgspec.Struct, frozen=True):
    path: str
    exists: bool


def _view(found: Resolved) -> KeyView:
    key = found.key
    chain = [LevelView(level, config.mask(key, value)) for level, value in found.chain]
    return KeyView(
        key.name,
        config.mask(key, found.value),
        found.level,
        key.env,
        config.mask(key, key.default),
        chain,
        key.description,
    )


def _config(session: Session) -> Config:
    return Config(session.paths.config_file, session.environ)


@command.verb(examples=["ca config get core.format", "ca config get apply.mode --project web --verbose"])
@click.argument("key")
@click.option("--project", metavar="P", help="As this project sees it.")
@click.option("--verbose", is_flag=True, help="What each level says.")
def get(session: Session, key: str, project: str | None, *, verbose: bool) -> Result[KeyView]:
    """A key's value, and the level it came from."""
    if project is not None:
        _ask_the_daemon(session, project, written=False)
    return Result(_view(_config(session).get(key, project=project)), partial(_get, verbose=verbose))


_NEGATIVE = re.compile(r"-[0-9.]")
_VALUE = "\0"
"""Before a word that is no option; no argument of a process can have it."""


class _Setting(Verb):
    """A verb whose arguments may be negative numbers: a key's own check refuses them in better words."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, but what begins like a negative number is no option."""
        words = [_marked(word, before) for before, word in zip(["", *args], args, strict=False)]
        left = super().parse_args(ctx, words)
        ctx.params["pairs_"] = tuple(word.removeprefix(_VALUE) for word in ctx.params["pairs_"])
        return left


def _marked(word: str, before: str) -> str:
    return f"{_VALUE}{word}" if _NEGATIVE.match(word) and not before.startswith("--") else word


@click.command(
    "set",
    cls=_Setting,
    examples=[
        "ca config set core.format json",
        "ca config set apply.mode commit --project web",
        "ca config set async.max_workers 8 lock.ttl 600",
    ],
)
@click.argument("pairs_", metavar="KEY VALUE...", nargs=-1, required=True)
@click.option("--project", metavar="P", help="Only for this project.")
def set_(session: Session, pairs_: Sequence[str], project: str | None) -> Result[Any]:
    """Set keys: all of them, or on any failure none."""
    if len(pairs_) % 2:
        raise errors.UsageError(
            f"{pairs_[-1]!r} has no value; write KEY VALUE, as often as needed",
            suggestions=[f"ca config set {pairs_[-1]} VALUE"],
        )
    changes = {
        key: config.parse_value(config.find(key), text) for key, text in zip(pairs_[::2], pairs_[1::2], strict=True)
    }
    config.edit(session.paths.config_file, changes, project=project)
    return _after(session, list(changes), project)


command.add_command(set_)


@command.verb(examples=["ca config unset core.format"])
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@click.option("--project", metavar="P", help="Only for this project.")
def unset(session: Session, keys: Sequence[str], project: str | None) -> Result[Any]:
    """Take keys out of the file; the next level holds."""
    config.edit(session.paths.config_file, dict.fromkeys(keys), project=project)
    return _after(session, keys, project)


def _after(session: Session, keys: Sequence[str], project: str | None) -> Result[Any]:
    _ask_the_daemon(session, project, written=True)
    found = [_view(_config(session).get(key, project=project)) for key in keys]
    for view in found:
        if view.level == "environment":
            session.messages.append(f"{view.env} in the environment overrides {view.key}")
    if len(found) == 1:
        return Result(found[0], partial(_get, verbose=False))
    return Result(KeysView(found, len(found)), _list)


def _ask_the_daemon(session: Session, project: str | None, *, written: bool) -> None:
    """What was written holds at once, and a project that is not registered is told, when a daemon is there.

    One that cannot be told looks at the file soon.
    """
    with contextlib.suppress(errors.CleverAgentsError):
        daemon = session.existing()
        if daemon is None:
            return
        if written:
            daemon.call(protocol.SettingsChanged(), timeout=TELLING_SECONDS)
        if project is not None:
            try:
                daemon.call(protocol.ProjectShow(names.parse_name(project)), timeout=TELLING_SECONDS)
            except errors.NotFoundError as error:
                session.messages.append(error.message)


@command.verb("list", examples=["ca config list", "ca config list --project web --format json"])
@click.option("--project", metavar="P", help="As this project sees them.")
def list_(session: Session, project: str | None) -> Result[KeysView]:
    """Every key with its value and level."""
    if project is not None:
        _ask_the_daemon(session, project, written=False)
    found = _config(session)
    views = [_view(found.get(key, project=project)) for key in config.KEYS]
    session.messages += [f"{name} in {found.path} is a key that nothing reads" for name in found.unknown_keys()]
    return Result(KeysView(views, len(views)), _list)


@command.verb(examples=["ca config path"])
def path(session: Session) -> Result[PathView]:
    """Where the configuration file is, or would be."""
    file = session.paths.config_file
    return Result(PathView(str(file), file.exists()), lambda view, _look: [view.path])


def _shown(name: str, value: Value | None) -> str:
    key: Key = config.find(name)
    return config.show(key, value) or "unset"


def _get(view: KeyView, look: Look, *, verbose: bool) -> Iterable[str]:
    yield f"{look.bold(_shown(view.key, view.value))}  {look.dim(f'({view.level})')}"
    if verbose:
        yield look.dim(view.description)
        rows = [
            (item.level, _shown(view.key, item.value) if item.value is not None else "unset") for item in view.chain
        ]
        yield from pairs(look, [*rows, ("variable", view.env)])


_COLUMNS = (Column("KEY"), Column("VALUE", minimum=8), Column("LEVEL", drop=1), Column("", minimum=16, drop=2))


def _list(keys: KeysView, look: Look) -> Iterable[str]:
    yield from table(look, _COLUMNS, [_row(view) for view in keys.keys])


def _row(view: KeyView) -> list[Cell | str]:
    changed = view.level != "default"
    tone = Tone.PLAIN if changed else Tone.WAITING
    return [
        Cell(view.key, bold=changed),
        Cell(_shown(view.key, view.value), tone),
        Cell(view.level, tone),
        Cell(view.description, Tone.WAITING),
    ]
