"""`ca diagnostics`: check everything that can be checked."""

from collections.abc import Iterable

from cleveragents_tui import wording
from cleveragents_tui.cli.commands import make_verb
from cleveragents_tui.cli.daemon import worker_lines
from cleveragents_tui.cli.session import Session
from cleveragents_tui.output import Look, Result
from cleveragents_tui.wording import Tone
from daemon import protocol, views

_SIGNS = {"ok": ("✔", Tone.DONE), "warn": ("◆", Tone.NEEDS_YOU), "error": ("✘", Tone.FAILED)}


@make_verb("diagnostics", examples=["ca diagnostics", "ca diagnostics --format json"])
def command(session: Session) -> Result[views.DiagnosticsView]:
    """Check everything that can be checked; exit 1 when something is broken."""
    found = session.call(protocol.Diagnostics())
    return Result(found, render, exit_code=1 if found.summary.errors else 0)


def render(found: views.DiagnosticsView, look: Look) -> Iterable[str]:
    """One line a check, and below it what to do."""
    width = max((len(check.name) for check in found.checks), default=0)
    for check in found.checks:
        sign, tone = _SIGNS.get(check.status, ("·", Tone.PLAIN))
        yield wording.cut(f"{sign} {check.name.ljust(width)}  {check.message}", look.width).replace(
            sign, look.paint(sign, tone), 1
        )
        if check.fix and check.status != "ok":
            yield f"  {' ' * width}  {look.dim('→')} {check.fix}"
    if found.workers:
        yield ""
        yield from worker_lines(found.workers, look)
    yield ""
    summary = found.summary
    yield f"{summary.ok} ok, {wording.count(summary.warnings, 'warning')}, {wording.count(summary.errors, 'error')}"
