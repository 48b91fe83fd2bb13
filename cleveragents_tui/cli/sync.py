"""`ca sync`: definitions that are shared through a team server."""

from functools import partial
from typing import Literal

import click

from cleveragents_tui.cli import sync_text
from cleveragents_tui.cli.commands import Noun
from cleveragents_tui.cli.session import Session
from cleveragents_tui.output import Result
from daemon import protocol, sync_views

command = Noun("sync", help="Actions, actors and projects that are shared through a team server.")

KINDS = ("action", "actor", "project")


@command.verb(examples=["ca sync now"])
def now(session: Session) -> Result[sync_views.SyncRunView]:
    """Pull what changed on the server, then push what changed here."""
    return _run(session, "now")


@command.verb(examples=["ca sync pull"])
def pull(session: Session) -> Result[sync_views.SyncRunView]:
    """Only pull what changed on the server."""
    return _run(session, "pull")


@command.verb(examples=["ca sync push"])
def push(session: Session) -> Result[sync_views.SyncRunView]:
    """Only push what changed here."""
    return _run(session, "push")


@command.verb(examples=["ca sync full"])
def full(session: Session) -> Result[sync_views.SyncRunView]:
    """Compare everything with the server; what is gone there is removed here."""
    return _run(session, "full")


def _run(session: Session, what: Literal["now", "pull", "push", "full"]) -> Result[sync_views.SyncRunView]:
    if session.watched:
        session.say("syncing…")
    return Result(session.call(protocol.SyncRun(what=what), timeout=None), sync_text.ran)


@command.verb(examples=["ca sync status", "ca sync status --format json"])
def status(session: Session) -> Result[sync_views.SyncView]:
    """How the sync stands: when it last pulled, what waits, what is wrong."""
    return Result(session.call(protocol.SyncStatus()), sync_text.status)


@command.verb(examples=["ca sync conflicts", "ca sync conflicts --history --format json"])
@click.option("--history", is_flag=True, help="Also the versions that lost; nothing that somebody wrote is dropped.")
def conflicts(session: Session, *, history: bool) -> Result[sync_views.SyncConflictsView]:
    """Definitions that were changed here and on the server, with both versions."""
    found = session.call(protocol.SyncConflicts(history=history))
    return Result(found, partial(sync_text.conflicts, history=history))


@command.verb(
    examples=["ca sync resolve action web/tidy --take local", "ca sync resolve actor web/claude --take server"]
)
@click.argument("kind", type=click.Choice(KINDS), metavar="KIND")
@click.argument("conflicting", metavar="NAME")
@click.option(
    "--take",
    type=click.Choice(["local", "server"]),
    metavar="SIDE",
    required=True,
    help="local: this version goes to the server. server: its version takes the place of this one.",
)
def resolve(
    session: Session, kind: str, conflicting: str, take: Literal["local", "server"]
) -> Result[sync_views.SyncConflictView]:
    """Settle a conflict; the version that loses is kept in the history."""
    request = protocol.SyncResolve(kind=kind, name=conflicting, take=take)
    return Result(session.call(request, timeout=None), partial(sync_text.resolved, take=take))
