"""`ca diagnostics`: check everything that can be checked."""

import textwrap
from collections.abc import Iterable

import click
import msgspec

from cleveragents_tui import wording
from cleveragents_tui.cli.commands import make_verb
from cleveragents_tui.cli.daemon import worker_lines
from cleveragents_tui.cli.session import Session
from cleveragents_tui.output import Look, Result
from cleveragents_tui.wording import Tone
from daemon import protocol, views
from store import errors

_SIGNS = {"ok": ("✔", Tone.DONE), "warn": ("◆", Tone.NEEDS_YOU), "error": ("✘", Tone.FAILED)}


@make_verb("diagnostics", examples=["ca diagnostics", "ca diagnostics --repair", "ca diagnostics --format json"])
@click.option("--repair", is_flag=True, help="Put right what can be put right, and say what was done.")
@click.option("--yes", is_flag=True, help="Do not ask before a damaged store is set aside for its newest sound copy.")
def command(session: Session, *, repair: bool, yes: bool) -> Result[views.DiagnosticsView]:
    """Check everything that can be checked; exit 1 when something is broken."""
    try:
        found = session.call(protocol.Diagnostics(repair=repair), timeout=None)
        if repair:
            _refuse_damage(found)
    except errors.CleverAgentsError as error:
        found = _without_daemon(session, error, repair=repair, yes=yes)
    return Result(found, render, exit_code=1 if found.summary.errors else 0)


def _refuse_damage(found: views.DiagnosticsView) -> None:
    """A daemon cannot exchange the store under its own feet.

    Raises:
        StoreDamagedError: the running daemon's store is damaged.
    """
    for check in found.checks:
        if check.name == "integrity" and check.status == "error":
            raise errors.StoreDamagedError(check.message)


def _without_daemon(
    session: Session, failure: errors.CleverAgentsError, *, repair: bool, yes: bool
) -> views.DiagnosticsView:
    """What can be checked when no daemon starts; with `repair` a damaged store is restored, and the daemon goes on.

    Raises:
        CleverAgentsError: `failure`, when it is not about starting; why the store could not be restored.
    """
    from cleveragents_tui import starting  # noqa: PLC0415  a daemon that answers needs none of it

    if session.environ.get("CLEVERAGENTS_NO_AUTOSTART") == "1":
        raise failure
    ask = repair and isinstance(failure, errors.StoreDamagedError) and session.must_be_told(yes=yes)
    if repair and isinstance(failure, errors.StoreDamagedError):
        _end_daemon(session)
    try:
        examined = starting.examine(session.environ)
    except errors.CleverAgentsError:
        raise failure from None
    found = _with_daemon_check(examined.diagnostics, failure)
    if not repair or examined.copy is None:
        return found
    if ask:
        session.confirm(*render(found, session.out.talk_look), "", _QUESTION)
    done = starting.repair(session.environ)
    return _with_done(session.call(protocol.Diagnostics(repair=True), timeout=None), done)


def _end_daemon(session: Session) -> None:
    """A daemon that runs with a damaged store goes; the steps that it started go on, and the next one adopts them."""
    running = session.existing()
    if running is None:
        return
    from cleveragents_tui import starting  # noqa: PLC0415  as above

    session.say("the daemon is stopped: its store is damaged")
    starting.end(running, session.paths.socket)
    vars(session).pop("client", None)


_QUESTION = "Set the damaged store aside, and put the newest sound copy in its place?"


def _with_daemon_check(found: views.DiagnosticsView, failure: errors.CleverAgentsError) -> views.DiagnosticsView:
    """The checks under the one that nobody needs to look for: there is no daemon."""
    known = found.summary.errors > 0
    reason = "it cannot start; see below" if known else failure.message
    fix = None if known else next(iter(failure.suggestions), None)
    check = views.CheckView("daemon", "error", reason, fix)
    summary = msgspec.structs.replace(found.summary, errors=found.summary.errors + 1)
    return msgspec.structs.replace(found, checks=[check, *found.checks], summary=summary)


def _with_done(found: views.DiagnosticsView, done: str) -> views.DiagnosticsView:
    repaired = [msgspec.structs.replace(one, fix=done) if one.name == "store" else one for one in found.checks]
    return msgspec.structs.replace(found, checks=repaired)


def render(found: views.DiagnosticsView, look: Look) -> Iterable[str]:
    """One line a check; what is wrong is told whole, and below it what to do, or what was done."""
    width = max((len(check.name) for check in found.checks), default=0)
    for check in found.checks:
        yield from _check(check, width, look)
    if found.workers:
        yield ""
        yield from worker_lines(found.workers, look)
    yield ""
    summary = found.summary
    yield f"{summary.ok} ok, {wording.count(summary.warnings, 'warning')}, {wording.count(summary.errors, 'error')}"


def _check(check: views.CheckView, width: int, look: Look) -> Iterable[str]:
    sign, tone = _SIGNS.get(check.status, ("·", Tone.PLAIN))
    well = check.status == "ok"
    indent = " " * (width + 4)
    text = f"{sign} {check.name.ljust(width)}  {check.message}"
    first, *rest = [wording.cut(text, look.width)] if well else _wrapped(text, indent, look)
    yield first.replace(sign, look.paint(sign, tone), 1)
    yield from rest
    if check.fix:
        mark = "✔" if well else "→"
        first, *rest = _wrapped(f"{indent}{mark} {check.fix}", f"{indent}  ", look)
        yield first.replace(mark, look.paint(mark, Tone.DONE) if well else look.dim(mark), 1)
        yield from rest


def _wrapped(text: str, indent: str, look: Look) -> list[str]:
    """The lines of a text; a path that is longer than a line stays whole, so that it can be copied."""
    return textwrap.wrap(
        wording.plain(text),
        look.width,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    ) or [""]
