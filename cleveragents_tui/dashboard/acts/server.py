"""The verbs of the team server and the sync."""

import asyncio
from typing import TYPE_CHECKING, Literal

from cleveragents_tui import hosting, verbs, wording
from cleveragents_tui.cli import sync_text
from cleveragents_tui.dashboard.dialogs import Question
from cleveragents_tui.dashboard.screens.connect_form import ConnectForm
from cleveragents_tui.dashboard.screens.host_form import HostForm, TokenForm, TokenShown, ordered
from cleveragents_tui.dashboard.screens.server import Standing
from cleveragents_tui.dashboard.screens.sync_conflict import SyncConflict
from cleveragents_tui.dashboard.screens.timed import working
from daemon import protocol, sync_views
from daemon.team import orders
from store import errors

if TYPE_CHECKING:
    from cleveragents_tui.dashboard.app import Dashboard


async def now(app: "Dashboard", _standing: Standing) -> None:
    await _sync(app, "now")


async def full(app: "Dashboard", _standing: Standing) -> None:
    await _sync(app, "full")


async def _sync(app: "Dashboard", what: Literal["now", "full"]) -> None:
    app.echo(verbs.VERBS[f"sync.{what}"].ca)
    async with working(app, "syncing…"):
        run = await app.link.call(protocol.SyncRun(what=what), timeout=None)
    app.notify(_ran(run), markup=False)


def _ran(run: sync_views.SyncRunView) -> str:
    """What a sync brought."""
    counts = ((run.pulled, "pulled"), (run.removed, "removed"), (run.pushed, "pushed"))
    done = [f"{number} {word}" for number, word in counts if number]
    return f"{run.namespace or ''}: {', '.join([*done, *sync_text.needs_you(run)]) or 'nothing new'}"


async def resolve(app: "Dashboard", standing: Standing) -> None:
    conflict = standing.conflict
    if conflict is None:
        raise errors.NotFoundError("no definition is in conflict", suggestions=["ca sync conflicts --history"])
    side = await app.push_screen_wait(SyncConflict(conflict))
    if side is None:
        return
    async with working(app, "resolving…"):
        await app.link.call(protocol.SyncResolve(kind=conflict.kind, name=conflict.name, take=side), timeout=None)
    name = f"{conflict.kind} {verbs.quoted(conflict.name)}"
    app.echo(f"{verbs.VERBS['sync.resolve'].ca} {name} --take {side}")
    stays = "this version goes to the server" if side == "local" else "the server's version is in force here"
    app.notify(f"{name}: {stays}; the other one is kept: ca sync conflicts --history", markup=False)


async def connect(app: "Dashboard", standing: Standing) -> None:
    hosted = standing.server.host.url if standing.server is not None and standing.server.host.running else None
    made = await app.push_screen_wait(ConnectForm(hosted or ""))
    if made is None:
        return
    view = made.view
    app.echo(connect_command(made.request))
    if view.mode == "error":
        app.notify(sync_text.said(view.reason or ""), title="not connected", severity="error", markup=False)
        return
    stock = sync_text.stock(view.sync)
    app.notify(f"connected to {view.url}, sharing {view.namespace}: {stock}", markup=False)
    if view.token_set and sync_text.in_the_clear(view.url or ""):
        app.notify(f"the token travels unencrypted to {view.url}; use https:// outside of your own machine",
                   severity="warning", markup=False)  # fmt: skip


def connect_command(request: protocol.ServerConnect) -> str:
    """The command, without the token."""
    words = [verbs.VERBS["sync.connect"].ca, verbs.quoted(request.url)]
    words += ["--namespace", verbs.quoted(request.namespace)] if request.namespace else []
    words += ["--token-stdin"] if request.token else []
    if request.tls_verify is not None:
        words.append("--tls-verify" if request.tls_verify else "--no-tls-verify")
    return " ".join([*words, *(["--offline"] if request.offline else [])])


async def disconnect(app: "Dashboard", standing: Standing) -> None:
    verb, before = verbs.VERBS["sync.disconnect"], standing.sync
    asked = Question(verb.ask, *_staying(before), yes=verb.title)
    if not await app.push_screen_wait(asked):
        return
    async with working(app, "disconnecting…"):
        await app.link.call(protocol.ServerDisconnect(), timeout=None)
    app.echo(verb.ca)


def _staying(sync: sync_views.SyncView) -> list[str]:
    """What a disconnect leaves behind."""
    lines = [f"still here and in use afterwards: {wording.count(sync.entities, 'shared definition')}"]
    if sync.pending:
        lines.append(f"{wording.count(sync.pending, 'change')} not pushed: kept for the next connection")
    return lines


async def host(app: "Dashboard", _standing: Standing) -> None:
    hosted = await app.push_screen_wait(HostForm())
    if hosted is None:
        return
    words = ["--host", verbs.quoted(hosted.order.host)] if hosted.order.host != hosting.HOST else []
    words += ["--port", str(hosted.order.port)] if hosted.order.port != hosting.PORT else []
    app.echo(" ".join([verbs.VERBS["sync.host"].ca, *words]))
    for message in [f"the team server is running at {hosted.started.server.url}", *hosted.started.messages]:
        app.notify(message, markup=False)


async def stop(app: "Dashboard", standing: Standing) -> None:
    verb = verbs.VERBS["sync.stop"]
    url = standing.server.host.url if standing.server is not None else None
    if not await app.push_screen_wait(Question(verb.ask, f"whoever uses {url} waits until it is back", yes=verb.title)):
        return
    async with working(app, "stopping the team server…"):
        stopped = await ordered(app, orders.Stop(pid_file=None, timeout=hosting.STOPPING_SECONDS), orders.Stopped)
    app.echo(verb.ca)
    how = f"did not end within {hosting.STOPPING_SECONDS} s and was killed; its store is whole"
    app.notify(f"the team server {how}" if stopped.killed else "the team server is stopped")


async def token(app: "Dashboard", standing: Standing) -> None:
    namespace = standing.sync.namespace or await asyncio.to_thread(app.setting, "server.namespace")
    made = await app.push_screen_wait(TokenForm(namespace))
    if made is None:
        return
    order, verb = made.order, verbs.VERBS["sync.token"]
    words = ["--role", order.role] if order.role != "write" else []
    words += ["--name", verbs.quoted(order.name)] if order.name else []
    app.echo(" ".join([verb.command(name=order.namespace), *words]))
    url = standing.server.host.url if standing.server is not None else None
    await app.push_screen_wait(TokenShown(made.token, url or "URL"))


TABLE = {
    "sync.now": now, "sync.full": full, "sync.resolve": resolve, "sync.connect": connect, "sync.disconnect": disconnect,
    "sync.host": host, "sync.stop": stop, "sync.token": token,
}  # fmt: skip
