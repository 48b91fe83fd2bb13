"""`ca server serve|start|stop|token`: a team server of one's own. Its processes do the work; nothing here opens a store."""

import os
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TypeVar

import click

from cleveragents_tui import hosting, wording
from cleveragents_tui.cli.commands import NameOf, Noun, make_verb
from cleveragents_tui.cli.places import absolute
from cleveragents_tui.cli.session import Session
from cleveragents_tui.cli.tables import Cell, Column, pairs, table
from cleveragents_tui.output import Look, Result
from cleveragents_tui.wording import Mood, Tone
from daemon import sync_views
from daemon.team import orders
from store import errors, names

LOG_LEVELS = ("debug", "info", "warning", "error")

SHORTEST_PART = 4
"""Characters of an id that name it."""

S = TypeVar("S", bound=orders.Serve)
V = TypeVar("V")

_database = click.option(
    "--database", type=NameOf("file"), metavar="PATH", help="The server's store; without it server.db of this home."
)
_pid_file = click.option(
    "--pid-file",
    type=NameOf("file"),
    metavar="PATH",
    help="Where the server is noted; without it server.pid of this home.",
)


def _serving_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What `serve` and `start` have in common."""
    options = (
        click.option("--host", default=hosting.HOST, show_default=True, metavar="HOST", help="Where to listen."),
        click.option(
            "--port", type=click.IntRange(0, 65535), default=hosting.PORT, show_default=True, help="0 takes a free one."
        ),
        click.option(
            "--workers",
            type=click.IntRange(1, 64),
            default=1,
            show_default=True,
            metavar="N",
            help="So many processes.",
        ),
        click.option("--log-level", type=click.Choice(LOG_LEVELS), help="Without it core.log-level."),
        _database,
        click.option(
            "--rate-limit",
            type=click.FloatRange(0, 1_000_000),
            default=hosting.RATE,
            show_default=True,
            metavar="N",
            help="Requests a second and token; 0 is any number.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


@make_verb("serve", examples=["ca server serve", "ca server serve --host 0.0.0.0 --port 8420 --workers 4"])
@_serving_options
def serve(session: Session, **options: Any) -> NoReturn:
    """Be a team server in the foreground, for service managers; stdout gets one line of JSON when it answers."""
    order = _order(orders.Serve, session, {**options, "structured": session.out.structured})
    session.out.flush()
    arguments = [*hosting.COMMAND, "serve", hosting.encoded(order)]
    os.execve(sys.executable, arguments, dict(session.environ))


@make_verb("start", examples=["ca server start", "ca server start --host 0.0.0.0 --workers 4"])
@_serving_options
@_pid_file
def start(session: Session, pid_file: str | None, **options: Any) -> Result[sync_views.ServerStartedView]:
    """Start a team server in the background; returns when it answers."""
    order = _order(orders.Start, session, {**options, "pid_file": _path(pid_file)})
    started = _ask(session, order, orders.Started)
    return Result(started.server, _started, messages=started.messages)


def _order(kind: type[S], session: Session, options: dict[str, Any]) -> S:
    values: dict[str, Any] = {
        **options,
        "log_level": session.setting("core.log-level", flag=options["log_level"]),
        "database": _path(options["database"]),
    }
    return kind(**values)


@make_verb("stop", examples=["ca server stop", "ca server stop --timeout 60"])
@click.option(
    "--timeout",
    type=click.FloatRange(0, names.MAX_DURATION),
    default=10,
    show_default=True,
    metavar="S",
    help="Seconds until it is killed.",
)
@_pid_file
def stop(session: Session, timeout: float, pid_file: str | None) -> Result[sync_views.ServerStoppedView]:
    """Stop the team server and wait until it is gone."""
    stopped = _ask(session, orders.Stop(pid_file=_path(pid_file), timeout=timeout), orders.Stopped)
    killed = [f"it did not end within {timeout:g} s and was killed; its store is whole"] if stopped.killed else []
    return Result(stopped.server, _stopped, messages=killed)


# --- tokens -----------------------------------------------------------------------------------------------------------

token = Noun("token", help="Tokens of the team server: who may read or write a namespace.")


@token.verb(examples=["ca server token create --namespace team", "ca server token create --namespace team --role read"])
@click.option("--namespace", required=True, metavar="N", help="The namespace that it opens.")
@click.option(
    "--role", type=click.Choice(["read", "write"]), default="write", show_default=True, help="What it may do there."
)
@click.option("--name", metavar="NAME", help="Whose changes it marks; without it the token's id.")
@_database
def create(
    session: Session, namespace: str, role: str, name: str | None, database: str | None
) -> Result[sync_views.NewTokenView]:
    """Make a token and print it, this once: only its hash is stored."""
    order = orders.TokenCreate(database=_path(database), namespace=namespace, role=role, name=name)
    made = _ask(session, order, sync_views.NewTokenView)
    if not session.out.structured:
        session.say(f"token {made.name} may {made.role} {made.namespace}; it is shown this once:")
    return Result(made, lambda view, _look: [view.token])


@token.verb("list", examples=["ca server token list"])
@_database
def list_(session: Session, database: str | None) -> Result[sync_views.TokensView]:
    """Every token, the revoked ones too, without the secrets."""
    return Result(_tokens(session, database), _list)


def _tokens(session: Session, database: str | None) -> sync_views.TokensView:
    return _ask(session, orders.TokenList(database=_path(database)), sync_views.TokensView)


@token.verb(examples=["ca server token revoke 01JZX3", "ca server token revoke ci --yes"])
@click.argument("token_", metavar="TOKEN")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_database
def revoke(session: Session, token_: str, database: str | None, *, yes: bool) -> Result[sync_views.TokenView]:
    """Have a token open nothing any more, from now on; TOKEN is its id, a part of it, or its name."""
    ask = session.must_be_told(yes=yes)
    found = _find(_tokens(session, database), token_)
    if ask:
        session.confirm(
            f"  {found.name}  {found.role} {found.namespace}  {found.token_id}", "Revoke this token for good?"
        )
    order = orders.TokenRevoke(database=_path(database), token_id=found.token_id)
    return Result(_ask(session, order, sync_views.TokenView), _revoked)


def _find(tokens: sync_views.TokensView, text: str) -> sync_views.TokenView:
    """The token that somebody names; of several that fit, the one that is still in use.

    Raises:
        NotFoundError: there is none.
        AmbiguousError: there are several.
    """
    exact = [found for found in tokens.tokens if text.upper() == found.token_id]
    fitting = exact or [
        found
        for found in tokens.tokens
        if text == found.name or (len(text) >= SHORTEST_PART and text.upper() in found.token_id)
    ]
    if not fitting:
        # What was typed may be a token itself, and is not repeated.
        raise errors.NotFoundError("there is no token of that id or name", suggestions=["ca server token list"])
    live = [found for found in fitting if found.revoked_at is None]
    if len(fitting) > 1 and len(live) == 1:
        return live[0]
    if len(fitting) > 1:
        raise errors.AmbiguousError(
            f"{len(fitting)} tokens fit",
            detail={"candidates": [found.token_id for found in fitting]},
            suggestions=[f"ca server token revoke {found.token_id}" for found in fitting],
        )
    return fitting[0]


# --- the host's own process -------------------------------------------------------------------------------------------


def _path(given: str | None) -> str | None:
    return None if given is None else absolute(given)


def _ask(session: Session, order: orders.Order, answer: type[V]) -> V:
    return hosting.ask(session.environ, session.paths.server_log, order, answer)


# --- for people -------------------------------------------------------------------------------------------------------


def _started(view: sync_views.ServerStartedView, look: Look) -> Iterable[str]:
    yield f"{look.mood(Mood.RUNNING)} the team server is running at {look.bold(view.url)}"
    yield from pairs(look, [("process", f"pid {view.pid}"), ("pid file", view.pid_file), ("log", view.log)])


def _stopped(view: sync_views.ServerStoppedView, look: Look) -> Iterable[str]:
    if view.stopped:
        yield f"{look.mood(Mood.DONE)} stopped the team server (pid {view.pid})"
    else:
        yield look.dim("the team server is not running")


_COLUMNS = (
    Column("TOKEN", minimum=10), Column("NAME", minimum=8), Column("NAMESPACE", minimum=8), Column("ROLE"),
    Column("MADE", right=True, drop=2), Column("REVOKED", right=True, drop=1),
)  # fmt: skip


def _list(found: sync_views.TokensView, look: Look) -> Iterable[str]:
    if not found.tokens:
        yield look.dim("No tokens: this machine only, without one.  Make one: ca server token create --namespace NAME")
        return
    yield from table(look, _COLUMNS, [_row(view, look.now) for view in found.tokens])


def _row(view: sync_views.TokenView, now: float) -> list[Cell | str]:
    tone = Tone.PLAIN if view.revoked_at is None else Tone.WAITING
    return [
        Cell(view.token_id, tone),
        Cell(view.name if view.name != view.token_id else "", tone, bold=view.revoked_at is None),
        Cell(view.namespace, tone),
        Cell(view.role, tone),
        Cell(wording.age(view.created_at, now), Tone.WAITING),
        Cell(wording.age(view.revoked_at, now), Tone.WAITING),
    ]


def _revoked(view: sync_views.TokenView, look: Look) -> Iterable[str]:
    yield f"{look.mood(Mood.DONE)} the token {view.name} opens nothing any more"
