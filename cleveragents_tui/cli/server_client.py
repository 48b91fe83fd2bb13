"""The verbs of `ca server` for one who uses a team server: connect, disconnect, status."""

import sys
from collections.abc import Iterable
from functools import partial

import click

from cleveragents_tui import wording
from cleveragents_tui.cli import sync_text
from cleveragents_tui.cli.commands import make_verb
from cleveragents_tui.cli.session import Session
from cleveragents_tui.cli.tables import Cell, pairs
from cleveragents_tui.output import Look, Result
from cleveragents_tui.wording import Mood, Tone
from daemon import protocol, sync_views
from store import errors

TOKEN_LIMIT = 4096
"""Bytes of the longest line that is read from standard input."""


@make_verb(
    "connect",
    examples=[
        "ca server connect https://team.example.org --namespace web --token-stdin < token",
        "ca server connect http://127.0.0.1:8420",
        "ca server connect https://team.example.org --offline",
    ],
)
@click.argument("url")
@click.option("--namespace", metavar="N", help="The namespace that is shared; without it the one that is set.")
@click.option(
    "--token",
    metavar="T",
    help="What the server knows you by. Other users of this machine see it in the list of processes: "
    "better is --token-stdin.",
)
@click.option("--token-stdin", is_flag=True, help="Read the token from standard input; on a terminal it is asked for.")
@click.option(
    "--tls-verify/--no-tls-verify", default=None, help="Whether the server's certificate has to be one that is trusted."
)
@click.option("--offline", is_flag=True, help="Only write the configuration; the server is not asked.")
def connect(
    session: Session,
    url: str,
    namespace: str | None,
    token: str | None,
    *,
    token_stdin: bool,
    tls_verify: bool | None,
    offline: bool,
) -> Result[sync_views.ServerView]:
    """Share a namespace through the team server at URL: check it, remember it, sync.

    On any failure nothing is changed.
    """
    if token is not None and token_stdin:
        raise errors.UsageError(
            "--token and --token-stdin exclude each other", suggestions=["ca server connect --help"]
        )
    request = protocol.ServerConnect(
        url=url,
        namespace=namespace,
        token=_read_token(session) if token_stdin else token,
        tls_verify=tls_verify,
        offline=offline,
    )
    if session.watched and not offline:
        session.say("fetching what is shared…")
    view = session.call(request, timeout=None)
    if view.token_set and sync_text.in_the_clear(view.url or ""):
        session.messages.append(
            f"the token travels unencrypted to {view.url}; use https:// outside of your own machine"
        )
    return Result(view, _connected)


def _read_token(session: Session) -> str:
    """The first line of standard input; on a terminal it is not shown.

    Raises:
        UsageError: there is none, or none that could be a token.
    """
    if session.interactive:
        line = str(click.prompt("Token", hide_input=True, err=True)).encode("utf-8", "surrogateescape")
    else:
        line = sys.stdin.buffer.readline(TOKEN_LIMIT + 1)
    token = line.strip().decode("utf-8", "replace")
    if token and len(line) <= TOKEN_LIMIT and token.isascii() and token.isprintable():
        return token
    # What it is instead is not repeated: it may be half of a token.
    raise errors.UsageError(
        f"--token-stdin: there is no {'usable ' if token else ''}token on standard input",
        suggestions=["ca server connect URL --token-stdin < FILE"],
    )


@make_verb("disconnect", examples=["ca server disconnect"])
def disconnect(session: Session) -> Result[sync_views.ServerView]:
    """Stop syncing and forget the team server; what came from it stays, and is marked."""
    before = session.call(protocol.SyncStatus())
    view = session.call(protocol.ServerDisconnect(), timeout=None)
    return Result(view, partial(_disconnected, before=before))


@make_verb("status", examples=["ca server status", "ca server status --format json"])
def status(session: Session) -> Result[sync_views.ServerView]:
    """Whether the team server answers, asked now; and whether this home hosts one."""
    return Result(session.call(protocol.ServerStatus(), timeout=None), _status)


def _connected(view: sync_views.ServerView, look: Look) -> Iterable[str]:
    if view.mode == "error":
        yield from _status(view, look)
        return
    yield f"{look.mood(Mood.DONE)} connected to {look.bold(view.url or '')}, sharing {look.bold(view.namespace or '')}"
    if view.reason is not None:
        yield look.dim(f"  {view.reason}")
    yield f"  {sync_text.stock(view.sync)}{'' if view.token_set else ', without a token'}"
    yield from sync_text.troubles(view.sync, look)
    if not view.sync.entities:
        yield look.dim(f"  what you name {view.namespace}/… is shared: actions, actors, projects")


def _disconnected(_view: sync_views.ServerView, look: Look, *, before: sync_views.SyncView) -> Iterable[str]:
    yield f"{look.mood(Mood.DONE)} no team server is connected"
    if before.namespace is not None and before.entities:
        stock = wording.count(before.entities, "shared definition")
        yield look.dim(f"  still here and in use: {stock} of {before.namespace}")
    if before.pending:
        yield look.dim(f"  {wording.count(before.pending, 'change')} not pushed: kept for the next connection")


def _status(view: sync_views.ServerView, look: Look) -> Iterable[str]:
    yield from _MODES[view.mode](view, look)
    if view.mode != "disabled":
        yield from pairs(look, _facts(view, look.now))
        yield from sync_text.troubles(view.sync, look)
    if view.host.running:
        yield f"{look.mood(Mood.RUNNING)} this home hosts one at {look.bold(view.host.url or '')} (pid {view.host.pid})"


def _disabled(_view: sync_views.ServerView, look: Look) -> Iterable[str]:
    yield look.bold("No team server is connected.")
    yield "  ca server connect URL"


def _reached(view: sync_views.ServerView, look: Look) -> Iterable[str]:
    version = look.dim(f"version {view.server_version}") if view.server_version else ""
    yield f"{look.mood(Mood.DONE)} {look.bold(view.url or '')} answers  {version}".rstrip()


def _failing(view: sync_views.ServerView, look: Look) -> Iterable[str]:
    yield f"{look.mood(Mood.FAILED)} {sync_text.said(view.reason or '')}"


_MODES = {"disabled": _disabled, "connected": _reached, "error": _failing}


def _facts(view: sync_views.ServerView, now: float) -> list[tuple[str, str | Cell]]:
    insecure = view.url is not None and view.url.startswith("https:") and not view.tls_verify
    return [
        ("namespace", view.namespace or ""),
        ("token", "set" if view.token_set else "none"),
        ("certificate", Cell("not checked", Tone.NEEDS_YOU) if insecure else ""),
        *sync_text.facts(view.sync, now),
    ]
