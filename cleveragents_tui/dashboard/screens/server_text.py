"""How the connection to the team server is said in the dashboard; the words are those of `ca server status`."""

from collections.abc import Iterable

from textual.content import Content

from cleveragents_tui import verbs, wording
from cleveragents_tui.cli import sync_text
from cleveragents_tui.cli.tables import Cell
from cleveragents_tui.dashboard.widgets.toned import toned
from cleveragents_tui.wording import Mood, Tone
from daemon import sync_views

RESOLVE = verbs.VERBS["sync.resolve"]

LABELS = 17
"""Columns of the names of the facts."""


def standing(sync: sync_views.SyncView, server: sync_views.ServerView | None, moment: float) -> Content:
    """Everything that is known, line by line."""
    lines: list[Content] = []
    if sync.namespace is not None:
        step = [] if _same(sync, server) else [_in_step(sync)]
        lines += [_reached(server), *step, *_invalid(sync), *_facts(sync, server, moment)]
    if server is not None and server.host.running:
        lines.append(_line(Mood.RUNNING, f"this home hosts one at {server.host.url} (pid {server.host.pid})"))
    return Content("\n").join(lines)


def _line(mood: Mood, text: str) -> Content:
    return Content.assemble(toned(f"{mood.sign} ", mood.tone), wording.one_line(text))


def _reached(server: sync_views.ServerView | None) -> Content:
    if server is None:
        return _line(Mood.QUEUED, "the server is asked…")
    if server.mode == "error":
        return _line(Mood.FAILED, _once(server.url or "", sync_text.said(server.reason or "it does not answer")))
    version = f"  version {server.server_version}" if server.server_version else f"  {server.reason or ''}"
    return _line(Mood.DONE, f"{server.url} answers{version}" if server.server_version else f"{server.url}{version}")


def _once(url: str, reason: str) -> str:
    """What is wrong with a server, its address said once."""
    return reason if url in reason else f"{url}: {reason}"


def _same(sync: sync_views.SyncView, server: sync_views.ServerView | None) -> bool:
    """Whether the sync failed of what the server was just found to fail of."""
    return server is not None and server.mode == "error" and sync.last_error in {server.reason, None}


def _in_step(sync: sync_views.SyncView) -> Content:
    """What matters most of how the sync stands."""
    name = sync.namespace or ""
    if sync.last_error is not None:
        return _line(Mood.FAILED, f"{name}: {sync_text.said(sync.last_error)}")
    needed = sync_text.needs_you(sync)
    if needed:
        return _line(Mood.NEEDS_YOU, f"{name}: {', '.join(needed)}")
    if sync.running:
        return _line(Mood.RUNNING, f"{name} syncs now")
    if sync.pending:
        return _line(Mood.QUEUED, f"{name}: {wording.count(sync.pending, 'change')} to push")
    if sync.last_pull_at is None:
        return _line(Mood.QUEUED, f"{name} is not synced yet")
    return _line(Mood.DONE, f"{name} is in step with the server")


def _facts(sync: sync_views.SyncView, server: sync_views.ServerView | None, moment: float) -> Iterable[Content]:
    known: list[tuple[str, str | Cell]] = []
    if server is not None:
        insecure = (server.url or "").startswith("https:") and not server.tls_verify
        known.append(("token", "set" if server.token_set else "none"))
        known.append(("certificate", Cell("not checked", Tone.NEEDS_YOU) if insecure else ""))
    pulls = ("pulls", f"{sync.pulls} since the daemon started")
    for name, fact in [("namespace", sync.namespace or ""), *known, *sync_text.facts(sync, moment), pulls]:
        cell = fact if isinstance(fact, Cell) else Cell(fact)
        if cell.text:
            yield Content.assemble(
                toned(f"  {name:<{LABELS}}", Tone.WAITING), toned(wording.one_line(cell.text), cell.tone)
            )


def _invalid(sync: sync_views.SyncView) -> Iterable[Content]:
    """What one side does not take from the other, each with its reason."""
    for one in sync.invalid:
        whose = "the server refuses" if one.origin == "local" else "not usable here:"
        yield _line(Mood.NEEDS_YOU, f"{whose} {one.kind} {one.name}")
        yield Content(f"  {wording.one_line(one.reason)}")
